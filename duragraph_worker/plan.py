"""A graph as the executor runs it: plain data, no decorators, nothing of the network.

`authoring/` builds a `Plan` from a decorated class; `executor/` reads it and nothing else.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

START, END = "__start__", "__end__"

Kind: TypeAlias = Literal[
    "node", "llm", "tool", "router", "human", "vector", "knowledge", "subgraph"
]

Reducer = Callable[[Any, Any], Any]
"""`(current, update) -> new`; `current` is the channel's empty value at the first write."""


def _kinds(
    on: type[BaseException] | Iterable[type[BaseException]],
) -> tuple[type[BaseException], ...]:
    return (on,) if isinstance(on, type) else tuple(on)


@attrs.frozen
class Retry:
    """Run a node again when it raises one of `on`: `times` more tries, waits growing by `factor`.

    Waits are seconds: `first * factor ** n`, at most `longest`, with jitter.
    """

    times: int = 2
    on: tuple[type[BaseException], ...] = attrs.field(default=(Exception,), converter=_kinds)
    first: float = 0.5
    factor: float = 2.0
    longest: float = 128.0
    jitter: bool = True


@attrs.frozen
class Channel:
    """One key of the state. Without a reducer the last write wins, and two in a step conflict."""

    name: str
    type: Any = Any
    reducer: Reducer | None = None
    empty: Callable[[], Any] | None = None
    """What the reducer starts from; None: the first write is taken as it is."""
    revive: Callable[[Any], Any] | None = None
    """Makes a value of `type` of its JSON; None: the JSON is the value."""


@attrs.frozen
class Node:
    """One node. `call(state, injected)` is awaited; `injected` holds the names in `wants`.

    It returns a mapping (an update), `Command`, a list of those, or None. A router returns a
    label of `routes`. A human node's `call` runs once its interrupt is answered.
    """

    name: str
    kind: Kind
    call: Callable[[Any, Mapping[str, Any]], Awaitable[Any]]
    wants: tuple[str, ...] = ()
    """Of: ctx, config, context, llm, decision."""
    routes: Mapping[str, str] | None = None
    """A router's label -> node name or END."""
    goto: tuple[str, ...] = ()
    """Where Command or Send may jump to: declared, for drawings and checks."""
    retry: Retry | None = None
    timeout: float | None = None
    models: tuple[str, ...] = ()
    """What an LLM node asks: declared, for checks."""
    prompt: Any = None
    """A human node's prompt: a value, or a callable of the state."""
    subgraph: "Plan | None" = None
    input: Mapping[str, str] | None = None
    """For a subgraph; None shares keys by name."""
    output: Mapping[str, str] | None = None
    """Both mappings read {child key: parent key}."""
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Join:
    """`[b, c] >> d`: `target` runs once all `sources` have."""

    sources: tuple[str, ...]
    target: str


@attrs.frozen
class Plan:
    """A checked graph. Every name in edges, joins, routes and goto exists or is END."""

    graph_id: str
    version: str
    nodes: Mapping[str, Node]
    entry: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    joins: tuple[Join, ...]
    channels: Mapping[str, Channel] | None
    """None: a plain dict, keys made at their first write; `messages` uses add_messages."""
    input_keys: tuple[str, ...] | None = None
    output_keys: tuple[str, ...] | None = None
    load: Callable[[dict[str, Any]], Any] | None = None
    """Turns the channels' dict into the declared state object that nodes see."""
    description: str | None = None
    context_type: Any = None
