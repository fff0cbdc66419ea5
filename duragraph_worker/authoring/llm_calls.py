"""What the bodies of LLM and tool nodes mean, and where replies and answers are written."""

from collections.abc import Mapping
from typing import Any

import attrs

from duragraph_worker import coerce
from duragraph_worker.authoring.calls import Call, Method
from duragraph_worker.command import Command, Send
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.llm.model import Model
from duragraph_worker.llm.roles import LLM, ToolRunner
from duragraph_worker.llm.structured import plain, read
from duragraph_worker.llm.toolbox import answers, bound, jumps
from duragraph_worker.messages import AIMessage, HumanMessage, Message
from duragraph_worker.plan import Channel
from duragraph_worker.serialize import encode
from duragraph_worker.state import MESSAGES, appended

Values = dict[str, Any]


def llm(method: Method, role: LLM, channels: Mapping[str, Channel] | None) -> Call:
    """A node that asks a model.

    A body that takes `llm` returns an update. Otherwise it returns the prompt, or a mapping to
    apply first, or nothing; the reply is written to `into`, `messages` or `response`.
    """

    async def run(state: Any, injected: Mapping[str, Any]) -> Any:
        before = method.before(state)
        model = Model(role.filled(before), injected["ctx"], method.instance)
        try:
            returned = await method.returned(state, {**injected, "llm": model})
        finally:
            await model.close()
        if "llm" in method.wants:
            return _with(method.normal(returned, state, before), model.over, method)
        update: Values = {}
        if _is_update(returned, method.state):
            update = method.normal(returned, state, before)
            returned = None
        # As it was before the body: what that changed in place counts only if it returned it.
        values, given = {**before, **update}, update.get(MESSAGES)
        if MESSAGES in values:
            values[MESSAGES], _ = appended(channels, before.get(MESSAGES), given, [])
        new = _marked(role, await model.converse(_prompt(method.node, returned, values)))
        if model.over or (role.output is None and role.into is None):
            if MESSAGES in (values if channels is None else channels):
                _, added = appended(channels, before.get(MESSAGES), given, new)
                update |= {MESSAGES: added}
            elif not model.over:
                update |= {"response": new[-1].text}
        else:
            update |= {role.into or "response": _value(role, new[-1].text)}
        return _with(update, model.over, method)

    return run


def tools(method: Method, role: ToolRunner, channels: Mapping[str, Channel] | None) -> Call:
    """A node that answers the tool calls of the last message of the state."""
    toolbox = bound(role.tools, method.instance)

    async def run(state: Any, injected: Mapping[str, Any]) -> Any:
        before = method.before(state)
        update = method.normal(await method.returned(state, injected), state, before) or {}
        if not isinstance(update, dict):
            raise InvalidUpdateError(f"node {method.node} runs tools: return a mapping or None")
        given = update.get(MESSAGES)
        messages, _ = appended(channels, before.get(MESSAGES), given, [])
        last = messages[-1] if messages else None
        if not isinstance(last, AIMessage):
            kind = "no message" if last is None else f"a {last.type} message"
            raise InvalidUpdateError(f"node {method.node} answers a model's reply, not {kind}")
        answered = await answers(last, toolbox, injected["ctx"])
        _, added = appended(channels, before.get(MESSAGES), given, answered)
        return _with({**update, MESSAGES: added}, jumps(answered), method)

    return run


def _marked(role: LLM, new: list[Message]) -> list[Message]:
    """The messages; replies tell which version of a prompt led to them."""
    if role.template is None:
        return new
    mark = {"prompt": str(role.template)}
    return [
        attrs.evolve(each, response_metadata=each.response_metadata | mark)
        if isinstance(each, AIMessage)
        else each
        for each in new
    ]


def _with(update: Any, over: list[Command[Any]], method: Method) -> Any:
    """The update, and where tools have handed over to. Raises InvalidUpdateError."""
    for jump in over:
        for target in jump.targets:
            method.check(target)
    return [update, *over] if over else update


def _is_update(returned: Any, state: type | None) -> bool:
    if isinstance(returned, Mapping):
        return not {"role", "content"} <= returned.keys()
    return state is not None and isinstance(returned, state)


def _prompt(node: str, returned: Any, values: Values) -> list[Message]:
    """What the model is asked. Raises ValueError if there is nothing to ask it."""
    if isinstance(returned, Command | Send):
        raise InvalidUpdateError(
            f"LLM node {node} returned a {type(returned).__name__}: to jump, take `llm` and ask "
            "the model yourself"
        )
    if returned is not None and returned is not ...:
        return coerce.messages(returned)
    if values.get(MESSAGES):
        return coerce.messages(values[MESSAGES])
    asked = values.get("input")
    if asked is None:
        raise ValueError(
            f"LLM node {node} has nothing to ask: return a prompt from its body, or give the "
            "state `messages` or `input`"
        )
    return [HumanMessage(asked if isinstance(asked, str) else encode(asked).decode())]


def _value(role: LLM, text: str) -> Any:
    return text if role.output is None else plain(read(text, role.output))
