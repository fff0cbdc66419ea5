"""From a checked blueprint and an instance of its class to the plan that the executor runs."""

from collections.abc import Mapping
from typing import Any

from duragraph_worker import state
from duragraph_worker.authoring import calls, llm_calls
from duragraph_worker.authoring.blueprint import Blueprint
from duragraph_worker.authoring.calls import Call, Method
from duragraph_worker.authoring.nodes import Human, Lookup, NodeSpec, Router, Subgraph
from duragraph_worker.llm.roles import LLM, ToolRunner
from duragraph_worker.plan import Node, Plan


def plan(blueprint: Blueprint, instance: Any) -> Plan:
    """The plan of a graph, its bodies bound to `instance`."""
    shape, channels = blueprint.shape, blueprint.channels
    declared = shape.state
    return Plan(
        graph_id=shape.id,
        version=shape.version,
        nodes={
            name: _node(name, spec, blueprint, instance) for name, spec in blueprint.nodes.items()
        },
        entry=(blueprint.entry,),
        edges=blueprint.edges,
        joins=blueprint.joins,
        channels=channels,
        input_keys=None if shape.input is None else state.keys(shape.input),
        output_keys=None if shape.output is None else state.keys(shape.output),
        load=state.load_plain if channels is None else state.loader(declared, channels),
        description=shape.description,
        context_type=shape.context,
    )


def _node(name: str, spec: NodeSpec, blueprint: Blueprint, instance: Any) -> Node:
    role = spec.role
    subgraph = role if isinstance(role, Subgraph) else None
    call, wants = _call(name, spec, blueprint, instance)
    return Node(
        name=name,
        kind=spec.kind,
        call=call,
        wants=wants,
        routes=blueprint.routes.get(name),
        goto=blueprint.goto[name],
        retry=spec.retry,
        timeout=spec.timeout,
        models=role.models if isinstance(role, LLM) else (),
        prompt=role.prompt if isinstance(role, Human) else None,
        subgraph=subgraph.graph().plan if subgraph else None,
        input=subgraph.input if subgraph else None,
        output=subgraph.output if subgraph else None,
        metadata=spec.metadata,
    )


def _call(
    name: str, spec: NodeSpec, blueprint: Blueprint, instance: Any
) -> tuple[Call, tuple[str, ...]]:
    """What runs the node, and what it needs injected."""
    if spec.kind == "subgraph":
        return _run_by_executor, ()
    wants = spec.signature.wants
    declared = blueprint.shape.state if blueprint.channels is not None else None
    method = Method(
        node=name,
        body=spec.body or _nothing,
        instance=instance,
        wants=wants,
        goto=(*blueprint.goto[name], *blueprint.routes.get(name, {}).values()),
        state=declared if state.is_class(declared) else None,
    )
    call: Call = method.update
    match spec.role:
        case LLM():
            call = llm_calls.llm(method, spec.role, blueprint.channels)
            wants = _with(wants, "ctx", without="llm")
        case ToolRunner():
            call = llm_calls.tools(method, spec.role, blueprint.channels)
            wants = _with(wants, "ctx")
        case Lookup(ask, into):
            call = calls.lookup(method, ask, into)
        case Human():
            call, wants = calls.human(method), _with(wants, "decision")
        case Router():
            call = calls.router(method, blueprint.routes[name])
    return call, wants


def _with(wants: tuple[str, ...], added: str, *, without: str = "") -> tuple[str, ...]:
    return tuple(dict.fromkeys(want for want in (*wants, added) if want != without))


async def _nothing(self: Any, state: Any) -> None:
    """The body of a node that needs none."""


async def _run_by_executor(state: Any, injected: Mapping[str, Any]) -> Any:  # noqa: ARG001
    raise RuntimeError("a subgraph's node has no body: the executor runs its plan")
