"""`@tool`: functions that a model may call, with a schema from signature and docstring."""

import copy
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, overload

import attrs
import docstring_parser
import msgspec

from duragraph_worker import schema
from duragraph_worker.errors import no_exit
from duragraph_worker.threads import in_thread

Function = Callable[..., Any]
CTX = "ctx"
"""A tool's parameter that no model fills."""


class ToolInputError(ValueError):
    """The model's arguments don't fit the tool's parameters."""


@attrs.frozen
class Declaration:
    """A tool as a model is told of it."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of an object."""


@attrs.frozen(eq=False)
class Tool:
    """A function as models see it. Calling it calls the function."""

    name: str
    description: str
    function: Function
    arguments: type
    """A msgspec Struct with a field for each parameter."""
    record: bool = True
    """Whether a result is recorded as an effect, so that a retry doesn't call again."""
    goto: tuple[str, ...] = ()
    """The nodes that a `Command` which it returns may lead to."""
    instance: Any = None
    """The graph whose method it is, once bound."""

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return {"type": "object"} | schema.of(self.arguments)

    @property
    def declaration(self) -> Declaration:
        """What models are told of it."""
        return Declaration(self.name, self.description, self.parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*self._self(), *args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> "Tool":
        return self if instance is None else self.bound(instance)

    def bound(self, instance: Any) -> "Tool":
        """The tool as a method of `instance`, if it is written as a method."""
        return attrs.evolve(self, instance=instance) if _is_method(self.function) else self

    @property
    def waits(self) -> bool:
        """It takes `ctx`: a body of its own, which may run again and records what it does there."""
        return CTX in inspect.signature(self.function).parameters

    async def run(self, args: Mapping[str, Any], ctx: Any = None) -> Any:
        """Call with the model's arguments; a sync function runs in a thread.

        Raises ToolInputError when they don't fit, and what the function raises.
        """
        try:
            filled = schema.fit(dict(args), self.arguments)
        except ValueError as error:
            raise ToolInputError(f"tool {self.name}: {error}") from error
        kwargs = {name: getattr(filled, name) for name in self.arguments.__struct_fields__}  # type: ignore[attr-defined]
        if self.waits:
            kwargs[CTX] = ctx
        call = partial(self.function, *self._self(), **kwargs)
        with no_exit(f"tool {self.name}"):
            if inspect.iscoroutinefunction(self.function):
                return await call()
            result = await in_thread(call)
            return await result if inspect.isawaitable(result) else result

    def _self(self) -> tuple[Any, ...]:
        return (self.instance,) if _is_method(self.function) and self.instance is not None else ()


@overload
def tool(function: Function, /) -> Tool: ...
@overload
def tool(
    description: str | None = None,
    *,
    name: str | None = None,
    record: bool = True,
    goto: Sequence[str] = (),
) -> Callable[[Function], Tool]: ...
def tool(
    description: str | Function | None = None,
    *,
    name: str | None = None,
    record: bool = True,
    goto: Sequence[str] = (),
) -> Any:
    """Make a function or a method a tool.

    `description` defaults to the docstring; `record=False` calls the function again when its
    node is retried. A parameter `ctx` is the node's: such a function is called again whenever
    its node runs again, and may sleep, wait and start child runs. `goto` names the nodes that a
    returned `Command` may lead to. Raises TypeError for parameters that a model can't fill.
    """
    if callable(description):
        return _build(description, name=name, description=None, record=record)
    made = partial(_build, name=name, description=description, record=record)
    return lambda function: attrs.evolve(made(function), goto=tuple(goto))


def as_tool(candidate: Tool | Function) -> Tool:
    """The tool itself, or one made from a plain function. Raises TypeError for other things."""
    if isinstance(candidate, Tool):
        return candidate
    if not inspect.isroutine(candidate):
        raise TypeError(f"{candidate!r} is no tool: give a function or what `@tool` made of one")
    return _build(candidate, name=None, description=None, record=True)


def as_tools(candidates: Iterable[Tool | Function]) -> tuple[Tool, ...]:
    """Each of them by `as_tool`."""
    return tuple(map(as_tool, candidates))


def _build(function: Function, *, name: str | None, description: str | None, record: bool) -> Tool:
    name = name or function.__name__
    doc = docstring_parser.parse(inspect.getdoc(function) or "")
    said = {parameter.arg_name: parameter.description for parameter in doc.params}
    if description is None:
        description = "\n".join(
            part for part in (doc.short_description, doc.long_description) if part
        )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"tool {name}: its annotations can't be evaluated here: {error}") from error
    fields = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", CTX):
            continue
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise TypeError(
                f"tool {name}: a model can't fill {str(parameter)!r}; use named parameters"
            )
        fields.append(_field(parameter, hints.get(parameter.name, Any), said.get(parameter.name)))
    arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    return Tool(name, description, function, arguments, record)


def _field(parameter: inspect.Parameter, hint: Any, said: str | None) -> tuple[str, Any, Any]:
    said = said or next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)), None)
    if said:
        hint = Annotated[hint, msgspec.Meta(description=said)]
    if parameter.default is parameter.empty:
        return parameter.name, hint, msgspec.NODEFAULT
    if isinstance(parameter.default, list | dict | set):
        fresh = partial(copy.deepcopy, parameter.default)
        return parameter.name, hint, msgspec.field(default_factory=fresh)
    return parameter.name, hint, parameter.default


def _is_method(function: Function) -> bool:
    return next(iter(inspect.signature(function).parameters), None) == "self"
