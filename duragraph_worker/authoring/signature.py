"""What a node's body takes and what its return annotation promises.

Only the return annotation is ever evaluated: a body's parameters are known by name.
"""

import inspect
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal

import attrs

from duragraph_worker.command import Command, Send

INJECTED = ("ctx", "config", "context", "llm", "decision")

_UNKNOWN = object()
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@attrs.frozen
class Signature:
    """A body's interface. `problems` are sentences about the body, without its name."""

    wants: tuple[str, ...] = ()
    labels: tuple[Any, ...] | None = None
    """Of a `Literal` return annotation."""
    goto: tuple[str, ...] = ()
    """Of `Command[Literal[…]]` and `Send[Literal[…]]` in the return annotation."""
    readable: bool = True
    """Whether the return annotation could be evaluated."""
    problems: tuple[str, ...] = ()


def read(body: Callable[..., Any]) -> Signature:
    """The signature of a method written as a node's body."""
    problems = []
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        problems.append("is a generator: return its result, and stream with `await ctx.emit(…)`")
    parameters = list(inspect.signature(body).parameters.values())
    if len(parameters) < 2:  # noqa: PLR2004 - self and the state
        problems.append("must take `self` and the state, as in `def node(self, state)`")
    wants = []
    for parameter in parameters[2:]:
        if parameter.kind in _NAMED and parameter.name in INJECTED:
            wants.append(parameter.name)
        else:
            problems.append(
                f"has the parameter {str(parameter)!r}, which nothing fills; "
                f"known: {', '.join(INJECTED)}"
            )
    returned = _returned(body)
    return Signature(
        wants=tuple(wants),
        labels=_literal(returned),
        goto=tuple(_targets(returned)),
        readable=returned is not _UNKNOWN,
        problems=tuple(problems),
    )


def label(value: Any) -> str:
    """A router's result as `Node.routes` spells it."""
    if isinstance(value, Enum):
        value = value.value
    return str(value)


def _returned(body: Callable[..., Any]) -> Any:
    """The evaluated return annotation; `_UNKNOWN` where that fails."""

    def only() -> None: ...

    only.__annotations__ = {
        key: value for key, value in getattr(body, "__annotations__", {}).items() if key == "return"
    }
    try:
        hints = typing.get_type_hints(only, globalns=getattr(body, "__globals__", None))
    except (NameError, AttributeError, TypeError, SyntaxError):
        return _UNKNOWN
    return hints.get("return")


def _literal(annotation: Any) -> tuple[Any, ...] | None:
    """The values of a Literal, or of a union or list of them."""
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    if typing.get_origin(annotation) in (Command, Send):
        return None
    found = [_literal(argument) for argument in typing.get_args(annotation)]
    values = tuple(value for values in found if values for value in values)
    return values or None


def _targets(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) in (Command, Send):
        for argument in typing.get_args(annotation):
            yield from (label(value) for value in _literal(argument) or ())
        return
    for argument in typing.get_args(annotation):
        yield from _targets(argument)
