"""The node decorators: `@node`, `@llm_node`, `@tool_node`, `@router_node`, `@human_node`.

Each turns a method into a `NodeSpec` that stays on its class. They only collect: everything is
checked by `blueprint.py` when `@Graph` sees the whole class.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MethodType
from typing import Any, TypeVar, overload

import attrs

from duragraph_worker.authoring.signature import Signature, read
from duragraph_worker.authoring.wiring import Ends, Wired
from duragraph_worker.llm.cache import Cache
from duragraph_worker.llm.providers import Parameters
from duragraph_worker.llm.roles import LLM, Template, ToolRunner
from duragraph_worker.llm.tools import Tool
from duragraph_worker.plan import Kind, Retry

T = TypeVar("T")
Body = Callable[..., Any]
Raises = type[BaseException] | Sequence[type[BaseException]]

ENTRY = "__duragraph_entry__"
DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_PROMPT = "Please review and continue"


@attrs.frozen
class Router:
    """A router's targets by name, if given."""

    to: tuple[str, ...] | None = None


@attrs.frozen
class Human:
    """What a person is asked."""

    prompt: Any


@attrs.frozen
class Subgraph:
    """Another graph as a node. Both mappings read {child key: parent key}."""

    graph: Any
    input: Mapping[str, str] | None = None
    output: Mapping[str, str] | None = None


@attrs.frozen
class Lookup:
    """What a store's node asks it, and the key that the answer is written to."""

    ask: Callable[[str, Any, Mapping[str, Any]], Awaitable[Any]]
    """Awaited with the node's name, what its body returned, and the state before that."""
    into: str


Role = LLM | ToolRunner | Router | Human | Lookup | Subgraph | None


@attrs.define(eq=False)
class NodeSpec(Wired):
    """A node as its class declares it. On an instance it is the plain method.

    Without a body it is a decorator that takes one, or a node that needs none.
    """

    kind: Kind
    body: Body | None = None
    role: Role = None
    given_name: str | None = None
    retry: Retry | None = None
    timeout: float | None = None
    goto: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    homes: list[tuple[type, str]] = attrs.field(factory=list)
    """Every class and attribute that it was assigned to: one, if all is well."""
    ends: Ends = attrs.field(factory=Ends)
    signature: Signature = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.signature = read(self.body) if self.body is not None else Signature()
        self.ends.entry = getattr(self.body, ENTRY, False)

    def __call__(self, body: Body, /) -> "NodeSpec":
        return attrs.evolve(self, body=body, homes=[], ends=Ends())

    @property
    def name(self) -> str:
        """`name=` if given, else the attribute's or the function's."""
        if self.given_name is not None:
            return self.given_name
        return self.homes[0][1] if self.homes else getattr(self.body, "__name__", self.kind)

    @property
    def heads(self) -> tuple[Wired | str, ...]:
        return (self,)

    @property
    def tails(self) -> tuple[Wired, ...]:
        return (self,)

    @property
    def picks(self) -> bool:
        return self.kind == "router"

    def __set_name__(self, owner: type, name: str) -> None:
        # A class with slots is made anew by its decorator: the new one takes the old one's place.
        place = (owner.__module__, owner.__qualname__, name)
        self.homes[:] = [
            (other, attribute)
            for other, attribute in self.homes
            if (other.__module__, other.__qualname__, attribute) != place
        ]
        self.homes.append((owner, name))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or self.body is None:
            return self
        return MethodType(self.body, instance)


def node(
    name: str | Body | None = None,
    *,
    retry: Retry | None = None,
    timeout: float | None = None,
    goto: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    retry_on: Raises | None = None,
    max_retries: int = 3,
    retry_delay: float = 1.0,
) -> NodeSpec:
    """A step: takes the state, returns an update, a `Command`, `Send`s or None.

    `timeout` is in seconds a try. `goto` names where a `Command` or `Send` may lead, unless the
    return annotation does. `retry_on`, `max_retries` and `retry_delay` (seconds) are a short
    form of `retry`.
    """
    return NodeSpec(
        "node",
        _body(name),
        given_name=_name(name),
        retry=_retry(retry, retry_on, max_retries, retry_delay),
        timeout=timeout,
        goto=tuple(goto),
        metadata=metadata or {},
    )


def llm_node(
    model: str | Sequence[str] | Body = DEFAULT_MODEL,
    *,
    name: str | None = None,
    system: str | Template | None = None,
    system_prompt: str | Template | None = None,
    tools: Sequence[Tool | Body] = (),
    output: Any = None,
    into: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    request_timeout: float | None = None,
    max_tool_rounds: int = 10,
    stream: bool = True,
    cache: Cache | None = None,
    memo: bool = False,
    retry: Retry | None = None,
    timeout: float | None = None,
    goto: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> NodeSpec:
    """A step that asks a model; `llm_calls.py` says what its body means.

    Of several models the next is asked when one can't answer. `output` is a type that the
    reply must have; `into` is the key that the reply is written to. `system` may be a `Prompt`,
    which is filled with the state; `system_prompt` is another name of it. `options` are parameters
    that only this provider has. `request_timeout` is how many seconds a provider may be silent,
    `timeout` what the whole node may take. A `cache` is asked before the model; with `memo` equal
    questions of one run are asked once.
    """
    head = system if system is not None else system_prompt
    template = None if isinstance(head, str) else head
    told = {} if template is None else {"prompt": str(template)}
    role = LLM(
        models=DEFAULT_MODEL if callable(model) else model,
        system=head if isinstance(head, str) else None,
        template=template,
        tools=tools,
        output=output,
        into=into,
        parameters=Parameters(
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            stop=stop,
            seed=seed,
            options=options or {},
            request_timeout=request_timeout,
        ),
        max_tool_rounds=max_tool_rounds,
        stream=stream,
        cache=cache,
        memo=memo,
    )
    return NodeSpec(
        "llm",
        _body(model),
        role,
        given_name=name,
        retry=retry,
        timeout=timeout,
        goto=tuple(goto),
        metadata={**told, **(metadata or {})},
    )


def tool_node(
    name: str | Body | None = None,
    *,
    tools: Sequence[Tool | Body] = (),
    retry: Retry | None = None,
    timeout: float | None = None,
    goto: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    retry_on: Raises | None = None,
    max_retries: int = 3,
    retry_delay: float = 1.0,
) -> NodeSpec:
    """A step that runs the tool calls of the last message, or a plain step drawn as a tool.

    With `tools` it needs no body; a mapping that the body returns is an update applied first.
    """
    return NodeSpec(
        "tool",
        _body(name),
        ToolRunner(tools) if tools else None,
        given_name=_name(name),
        retry=_retry(retry, retry_on, max_retries, retry_delay),
        timeout=timeout,
        goto=tuple(goto),
        metadata=metadata or {},
    )


def router_node(
    name: str | Body | None = None,
    *,
    to: Sequence[str] | None = None,
    retry: Retry | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> NodeSpec:
    """A step that chooses where to go on: it returns a label.

    The labels come from a `Literal` return annotation, from `>> {label: node}` or from `to`.
    """
    return NodeSpec(
        "router",
        _body(name),
        Router(tuple(to) if to is not None else None),
        given_name=_name(name),
        retry=retry,
        timeout=timeout,
        metadata=metadata or {},
    )


def human_node(
    first: Body | str | None = None,
    /,
    *,
    prompt: Any = DEFAULT_PROMPT,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> NodeSpec:
    """A step that waits for a person: the graph stops before the body.

    `prompt` is a value or a callable of the state; a string may come first, without its name.
    The body runs with `decision`; without that parameter an answer that is a mapping is the
    update.
    """
    return NodeSpec(
        "human",
        _body(first),
        Human(first if isinstance(first, str) else prompt),
        given_name=name,
        metadata=metadata or {},
    )


@overload
def entrypoint() -> Callable[[T], T]: ...
@overload
def entrypoint(target: T, /) -> T: ...
def entrypoint(target: Any = None, /) -> Any:
    """Marks where the graph starts; above or below the node's decorator."""
    if target is None:
        return entrypoint
    if isinstance(target, NodeSpec):
        target.ends.entry = True
    else:
        setattr(target, ENTRY, True)
    return target


def _body(first: Any) -> Body | None:
    """The method, when the decorator was bare."""
    return first if callable(first) else None


def _name(first: Any) -> str | None:
    return first if isinstance(first, str) else None


def _retry(retry: Retry | None, on: Raises | None, times: int, delay: float) -> Retry | None:
    if on is None:
        return retry
    if retry is not None:
        raise TypeError("give either `retry` or `retry_on`, not both")
    return Retry(times=times, on=on, first=delay)
