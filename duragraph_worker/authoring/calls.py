"""What a node's `call` does around its body: injection, threads, and the shape of the result.

Owns plain, router and human nodes; `llm_calls.py` has the others.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from duragraph_worker.authoring.signature import label
from duragraph_worker.command import Command, Send
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.plan import END
from duragraph_worker.state import as_dict, changes, private_copy
from duragraph_worker.threads import in_thread

Call = Callable[[Any, Mapping[str, Any]], Awaitable[Any]]


@attrs.frozen(eq=False)
class Method:
    """A node's body on an instance of its graph."""

    node: str
    body: Callable[..., Any]
    instance: Any
    wants: tuple[str, ...]
    goto: tuple[str, ...] = ()
    state: type | None = None
    """The declared class of states, unless they are dicts."""

    async def returned(self, state: Any, injected: Mapping[str, Any]) -> Any:
        """What the body returns. A sync body runs in a thread, with the caller's context."""
        chosen = {name: injected[name] for name in self.wants}
        if inspect.iscoroutinefunction(self.body):
            return await self.body(self.instance, state, **chosen)
        result = await in_thread(self.body, self.instance, state, **chosen)
        return await result if inspect.isawaitable(result) else result

    async def update(self, state: Any, injected: Mapping[str, Any]) -> Any:
        """The body's result as the plan wants it."""
        before = self.before(state)
        return self.normal(await self.returned(state, injected), state, before)

    def before(self, state: Any) -> dict[str, Any]:
        """The state's fields before a body may change them in place."""
        return private_copy(as_dict(state)) if self._is_state(state) else {}

    def normal(self, result: Any, state: Any, before: Mapping[str, Any]) -> Any:
        """An update, a Command, a list of those, or None.

        Raises InvalidUpdateError for anything else and for jumps that were not declared.
        """
        if result is None or result is ...:
            return None
        if isinstance(result, Command):
            for target in result.targets if result.graph is None else ():
                self.check(target)
            if result.update is None:
                return result
            return attrs.evolve(result, update=self._update(result.update, state, before))
        if isinstance(result, Send):
            return self.normal(Command(goto=result), state, before)
        if isinstance(result, list):
            sends = [item for item in result if isinstance(item, Send)]
            rest = [
                self.normal(item, state, before) for item in result if not isinstance(item, Send)
            ]
            jump = [self.normal(Command(goto=sends), state, before)] if sends else []
            return [part for part in rest if part is not None] + jump
        return self._update(result, state, before)

    def _update(self, result: Any, state: Any, before: Mapping[str, Any]) -> Any:
        if result is state or (self.state is not None and isinstance(result, self.state)):
            return changes(before, result)
        if isinstance(result, Mapping):
            return dict(result)
        if _is_pairs(result):
            return result
        raise InvalidUpdateError(
            f"node {self.node} returned {result!r:.100}, a {type(result).__name__}: return a "
            "mapping of state keys, the state, a Command, Sends, or None"
        )

    def check(self, target: str | Send[Any]) -> None:
        """Raises InvalidUpdateError for a jump to what the node doesn't declare."""
        name = target.node if isinstance(target, Send) else target
        if name != END and name not in self.goto:
            kind = type(target).__name__ if isinstance(target, Send) else "Command"
            raise InvalidUpdateError(
                f"node {self.node} jumps to {name!r}, which it doesn't declare: annotate it "
                f'`-> {kind}[Literal["{name}"]]` or give it `goto=["{name}"]`'
            )

    def _is_state(self, state: Any) -> bool:
        return isinstance(state, dict) or (self.state is not None and isinstance(state, self.state))


def router(method: Method, routes: Mapping[str, str]) -> Call:
    """A node whose result chooses among `routes`: a label, a Send, or a list of these.

    The call raises ValueError for a label that isn't there.
    """

    def checked(chosen: Any) -> Any:
        if isinstance(chosen, list | tuple):
            return [checked(item) for item in chosen]
        if isinstance(chosen, Send):
            method.check(chosen)
            return chosen
        if label(chosen) not in routes:
            known = ", ".join(repr(name) for name in routes)
            raise ValueError(f"router {method.node} returned {chosen!r}; its labels are {known}")
        return label(chosen)

    async def call(state: Any, injected: Mapping[str, Any]) -> Any:
        return checked(await method.returned(state, injected))

    return call


def lookup(
    method: Method, ask: Callable[[str, Any, Mapping[str, Any]], Awaitable[Any]], into: str
) -> Call:
    """A node that writes to `into` what a store answers to what its body returns."""

    async def call(state: Any, injected: Mapping[str, Any]) -> Any:
        before = method.before(state)
        returned = await method.returned(state, injected)
        return {into: await ask(method.node, returned, before)}

    return call


def human(method: Method) -> Call:
    """A node whose interrupt is answered by `decision`.

    If its body doesn't take the answer, a mapping is the update, under what the body returns.
    """

    async def call(state: Any, injected: Mapping[str, Any]) -> Any:
        update = await method.update(state, injected)
        answer = injected["decision"]
        if "decision" in method.wants or not isinstance(answer, Mapping):
            return update
        if update is None:
            return dict(answer)
        return {**answer, **update} if isinstance(update, Mapping) else [dict(answer), update]

    return call


def _is_pairs(result: Any) -> bool:
    return isinstance(result, list | tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)  # noqa: PLR2004
        for pair in result
    )
