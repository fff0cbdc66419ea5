"""Functions that make a LangGraph graph for a run, called as LangGraph's server calls them.

They may be sync or async, or context managers; take a config, a `ServerRuntime`, both or nothing;
and return a compiled graph or its builder.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, get_args, get_origin, get_type_hints

import attrs
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import AccessContext, ServerRuntime, _ExecutionRuntime, _ReadRuntime

from duragraph.errors import Invalid

Factory = Callable[..., Any]

EXECUTION: AccessContext = "threads.create_run"
_MOST_PARAMETERS = 2
_NAMES = {"ServerRuntime": ServerRuntime, "RunnableConfig": RunnableConfig}
"""What annotations may name that was imported for type checkers alone."""


@attrs.frozen(kw_only=True)
class Occasion:
    """What a graph is made for: a run, or something that executes no node."""

    config: RunnableConfig
    store: BaseStore | None = None
    access: AccessContext = EXECUTION
    context: Any = None
    """The run's, coerced or not; factories see it on execution only."""

    def runtime(self) -> Any:
        """LangGraph's `ServerRuntime`."""
        shared: dict[str, Any] = {
            "access_context": self.access,
            "user": self.config.get("configurable", {}).get("langgraph_auth_user"),
            "store": self.store,
        }
        if self.access == EXECUTION:
            return _ExecutionRuntime(**shared, context=self.context)
        return _ReadRuntime(**shared)


def check(factory: Factory) -> None:
    """Raises Invalid for a function that can't be called for a graph."""
    parameters = inspect.signature(factory).parameters
    runtimes = [name for name in parameters if _is_runtime(_hints(factory).get(name))]
    if len(parameters) > _MOST_PARAMETERS or len(parameters) - len(runtimes) > 1:
        raise Invalid(
            f"{factory!r} can't be called for a graph: it takes {', '.join(parameters)}",
            hint="let it take a RunnableConfig, a ServerRuntime, both or nothing",
        )


@asynccontextmanager
async def made(factory: Factory, occasion: Occasion) -> AsyncIterator[Any]:
    """What the factory makes, closed at the end."""
    async with AsyncExitStack() as stack:
        token = var_child_runnable_config.set(occasion.config)
        try:
            graph = await stack.enter_async_context(
                _entered(factory(**_arguments(factory, occasion)))
            )
        finally:
            # While it runs the graph has a config of its own, which must not find this one.
            var_child_runnable_config.reset(token)
        yield graph


def _arguments(factory: Factory, occasion: Occasion) -> dict[str, Any]:
    hints = _hints(factory)
    return {
        name: occasion.runtime() if _is_runtime(hints.get(name)) else occasion.config
        for name in inspect.signature(factory).parameters
    }


def _hints(factory: Factory) -> dict[str, Any]:
    try:
        return get_type_hints(factory, localns=_NAMES)
    except (NameError, TypeError, AttributeError):
        # A name that only type checkers import: what is written out still tells.
        return {
            name: each.annotation for name, each in inspect.signature(factory).parameters.items()
        }


def _is_runtime(hint: Any) -> bool:
    """Whether it is `ServerRuntime`, also with a context's type or in Annotated."""
    if hint is None:
        return False
    if hint is ServerRuntime or get_origin(hint) is ServerRuntime:
        return True
    if isinstance(hint, type):
        return issubclass(hint, _ExecutionRuntime | _ReadRuntime)
    return any(_is_runtime(each) for each in get_args(hint)[:1])


@asynccontextmanager
async def _entered(value: Any) -> AsyncIterator[Any]:
    if inspect.isasyncgen(value):
        value = asynccontextmanager(lambda made=value: made)()
    elif inspect.isgenerator(value):
        value = contextmanager(lambda made=value: made)()
    if hasattr(value, "__aenter__"):
        async with value as entered:
            yield entered
    elif hasattr(value, "__enter__"):
        with value as entered:
            yield entered
    else:
        yield await value if inspect.isawaitable(value) else value
