"""Nodes that ask a store: `@vector_node` and `@knowledge_node`.

What their bodies return is the question; the answer is written to one key of the state.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any, TypeAlias

from duragraph_worker import coerce
from duragraph_worker.authoring.nodes import Lookup, NodeSpec
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.knowledge.graph import Direction, Entity, KnowledgeGraph, Node
from duragraph_worker.messages import HumanMessage, Message
from duragraph_worker.plan import Retry
from duragraph_worker.serialize import decode, encode
from duragraph_worker.state import MESSAGES
from duragraph_worker.vectors.filters import Where
from duragraph_worker.vectors.store import Vector, VectorStore

Values: TypeAlias = Mapping[str, Any]


def vector_node(
    store: VectorStore,
    *,
    k: int = 4,
    where: Where | Callable[[Values], Where | None] | None = None,
    namespace: str | Callable[[Values], str] = "",
    into: str = "documents",
    name: str | None = None,
    retry: Retry | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> NodeSpec:
    """A step that finds the `k` documents nearest to what its body returns.

    That is a text, a message or a vector; without one the state's last human message is asked,
    else its `input`. `where` and `namespace` may be functions of the state. `into` gets a list of
    `{"id", "text", "metadata", "score"}`, nearest first.
    """

    async def ask(node: str, returned: Any, values: Values) -> list[dict[str, Any]]:
        matches = await store.query(
            _question(node, returned, values),
            k=k,
            where=where(values) if callable(where) else where,
            namespace=namespace(values) if callable(namespace) else namespace,
        )
        return [match.plain() for match in matches]

    return NodeSpec(
        "vector",
        role=Lookup(ask, into),
        given_name=name,
        retry=retry,
        timeout=timeout,
        metadata=metadata or {},
    )


def knowledge_node(
    graph: KnowledgeGraph,
    *,
    cypher: str | None = None,
    depth: int = 1,
    types: Iterable[str] | str = (),
    direction: Direction = "both",
    limit: int = 100,
    into: str = "knowledge",
    name: str | None = None,
    retry: Retry | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> NodeSpec:
    """A step that asks a knowledge graph what its body returns.

    That is a statement, or one and its parameters: `into` gets a list of rows. With `cypher` it
    is the parameters. An `Entity`, a `Node` or a list of these: `into` gets what is around them,
    `{"nodes": […], "edges": […]}`, as `depth`, `types`, `direction` and `limit` say.
    """
    look = partial(graph.neighbours, depth=depth, types=types, direction=direction, limit=limit)

    async def ask(node: str, returned: Any, values: Values) -> Any:  # noqa: ARG001 - a Lookup's
        match (cypher, {} if returned in (None, ...) else returned) if cypher else returned:
            case str(statement):
                found: Any = await graph.query(statement)
            case (str(statement), Mapping() as parameters):
                found = await graph.query(statement, parameters)
            case Entity() | Node() | [Entity() | Node(), *_] | []:
                found = await look(returned)
            case _:
                raise _no_facts(node, returned)
        return decode(encode(found))

    return NodeSpec(
        "knowledge",
        role=Lookup(ask, into),
        given_name=name,
        retry=retry,
        timeout=timeout,
        metadata=metadata or {},
    )


def _no_facts(node: str, returned: Any) -> InvalidUpdateError:
    return InvalidUpdateError(
        f"knowledge node {node} returned {returned!r:.100}: return a statement, one with its "
        "parameters, or entities to look around"
    )


def _question(node: str, returned: Any, values: Values) -> str | Vector:
    """What the store is asked. Raises ValueError if that is nothing."""
    if _is_vector(returned):
        return [float(number) for number in returned]
    if isinstance(returned, str):
        text = returned
    elif returned is None or returned is ...:
        text = _asked(values)
    else:
        text = _said(node, returned)
    if not text:
        raise ValueError(
            f"vector node {node} has nothing to ask: return a text from its body, or give the "
            "state `messages` or `input`"
        )
    return text


def _asked(values: Values) -> str:
    for message in reversed(coerce.messages(values.get(MESSAGES) or [])):
        if isinstance(message, HumanMessage):
            return message.text
    asked = values.get("input")
    return asked if isinstance(asked, str) else "" if asked is None else encode(asked).decode()


def _said(node: str, returned: Any) -> str:
    if isinstance(returned, Message) or (isinstance(returned, dict) and "content" in returned):
        return coerce.messages(returned)[-1].text
    raise InvalidUpdateError(
        f"vector node {node} returned {returned!r:.100}, a {type(returned).__name__}: return what "
        "to look for, a text, a message or a vector"
    )


def _is_vector(returned: Any) -> bool:
    """Lists, tuples and whatever arrays a model's vectors come as."""
    if isinstance(returned, str | bytes | Mapping | Message) or not hasattr(returned, "__len__"):
        return False
    return len(returned) > 0 and all(isinstance(number, Real) for number in returned)
