"""What is wrong with a node taken alone: its body, its tools, the keys that it reads and writes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from duragraph_worker import state
from duragraph_worker.authoring.nodes import Lookup, NodeSpec, Subgraph
from duragraph_worker.llm.roles import LLM, ToolRunner
from duragraph_worker.plan import Channel


def faults(name: str, spec: NodeSpec, channels: Mapping[str, Channel] | None) -> Iterator[str]:
    """Sentences about the node, none if all is well. `channels` are the declared state's."""
    yield from (f"`{name}` {problem}" for problem in spec.signature.problems)
    if spec.body is None and (spec.role is None or spec.picks):
        yield f"`{name}` has no body: decorate a method"
    wants = spec.signature.wants
    if "llm" in wants and spec.kind != "llm":
        yield f"`{name}` takes `llm` but names no model: make it an @llm_node"
    if "decision" in wants and spec.kind != "human":
        yield f"`{name}` takes `decision` but asks nobody: make it a @human_node"
    if isinstance(spec.role, LLM | ToolRunner):
        names = Counter(tool.name for tool in spec.role.tools)
        twice = [tool for tool, times in names.items() if times > 1]
        if twice:
            yield f"`{name}` has two tools named {listed(twice)}"
    if isinstance(spec.role, Subgraph):
        yield from _unshared(name, spec.role, channels)
    for keys in _written(spec):
        if channels is not None and not channels.keys() & set(keys):
            yield (
                f"`{name}` writes to {listed(keys)}, which the state doesn't have: declare it, "
                "or give `into=`"
            )


def listed(names: Iterable[str]) -> str:
    """Names as a message shows them."""
    return ", ".join(repr(name) for name in names)


def _unshared(name: str, role: Subgraph, channels: Mapping[str, Channel] | None) -> Iterator[str]:
    inside = role.graph.blueprint.channels
    for mapping in (role.input or {}, role.output or {}):
        for theirs, ours in mapping.items():
            if inside is not None and theirs not in inside:
                yield f"subgraph `{name}` has no key {theirs!r}"
            if channels is not None and ours not in channels:
                yield f"`{name}` maps to {ours!r}, which the state doesn't have"


def _written(spec: NodeSpec) -> Iterator[tuple[str, ...]]:
    """The keys that a model's reply needs, each with its alternatives."""
    if isinstance(spec.role, ToolRunner):
        yield (state.MESSAGES,)
    if isinstance(spec.role, Lookup):
        yield (spec.role.into,)
    if not isinstance(spec.role, LLM) or "llm" in spec.signature.wants:
        return
    if spec.role.into is not None:
        yield (spec.role.into,)
    elif spec.role.output is not None:
        yield ("response",)
    else:
        yield state.MESSAGES, "response"
