"""What a task asks of a LangGraph graph, in LangGraph's words: input, config, context, modes.

Owns what nodes find in their config and its metadata, as LangGraph's server gives it to them.
Runs nothing.
"""

from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import attrs
import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Durability, Send
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from duragraph.protocol import Task
from duragraph_worker import serialize
from duragraph_worker.langgraph.user import User

_PAIR = 2


class ClientCommand(msgspec.Struct):
    """A command as clients send it."""

    update: Any = None
    goto: Any = None
    resume: Any = None


class Kwargs(msgspec.Struct):
    """What a run's `kwargs` hold for a graph; the rest is the plane's."""

    input: Any = None
    command: ClientCommand | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    stream_mode: list[str] | str | None = None
    interrupt_before: list[str] | str | None = None
    interrupt_after: list[str] | str | None = None
    durability: Durability | None = None
    checkpoint_during: bool | None = None
    subgraphs: bool = False
    resumes: dict[str, list[str]] = {}
    """The interrupts, by task, that waited when the resume was asked for."""
    strict_resume: bool = False

    @property
    def modes(self) -> frozenset[str]:
        modes = ["values"] if self.stream_mode is None else self.stream_mode
        return frozenset([modes] if isinstance(modes, str) else modes)

    @property
    def goes_on(self) -> bool:
        """Whether the run starts from where its thread stands."""
        return self.command is not None or self.input is None

    @property
    def resolved_durability(self) -> Durability:
        return self.durability or ("exit" if self.checkpoint_during is False else "async")


_load = msgspec.json.Decoder(Kwargs).decode


@attrs.frozen
class Given:
    """A task's kwargs, and the config that graphs, factories and nodes get."""

    task: Task
    kwargs: Kwargs
    config: RunnableConfig

    @classmethod
    def of(cls, task: Task) -> "Given":
        """Raises msgspec.ValidationError for kwargs of another shape."""
        kwargs = _load(task.kwargs)
        asked = kwargs.config or {}
        of_run = {"run_id": task.run_id, "thread_id": task.thread_id}
        of_graph = {"graph_id": task.graph_id}
        metadata: dict[str, Any] = {}
        if task.kind == "run":
            of_graph["assistant_id"] = task.assistant_id
            given = serialize.decode(task.metadata or b"{}")
            metadata = {**(asked.get("metadata") or {}), **given, "run_attempt": task.attempt}
        config = {
            **asked,
            "configurable": {**(asked.get("configurable") or {}), **of_run, **of_graph},
            "metadata": {**of_graph, **metadata, **of_run},
        }
        if user := config["configurable"].get("langgraph_auth_user"):
            config["configurable"]["langgraph_auth_user"] = User(user)
        if task.kind == "run":
            config["run_id"] = UUID(task.run_id)
        return cls(task, kwargs, cast("RunnableConfig", config))


def fitting(context: dict[str, Any] | None, schema: type | None) -> dict[str, Any] | None:
    """What of a run's context its graph's schema knows: assistants may carry more."""
    known = _known(schema) if context and schema is not None else None
    if not context or not known:
        return context
    return {name: value for name, value in context.items() if name in known}


@lru_cache
def _known(schema: type) -> frozenset[str]:
    """The fields a context may have; none where they can't be told."""
    try:
        return frozenset(TypeAdapter(schema).json_schema().get("properties", ()))
    except (PydanticUserError, NameError):
        return frozenset()


def command(given: ClientCommand) -> Command[Any]:
    """Raises TypeError for a `goto` that names no node."""
    update = given.update
    if isinstance(update, list) and all(map(_is_pair, update)):
        update = [tuple(pair) for pair in update]
    targets = given.goto if isinstance(given.goto, list) else [given.goto]
    goto = [_target(each) for each in targets if each is not None]
    return Command(update=update, goto=goto, resume=given.resume)


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == _PAIR and isinstance(item[0], str)


def _target(given: Any) -> str | Send:
    if isinstance(given, str):
        return given
    if isinstance(given, dict) and isinstance(given.get("node"), str):
        return Send(given["node"], given.get("input"))
    raise TypeError(f"goto takes a node or {{node, input}}, not {given!r:.200}")
