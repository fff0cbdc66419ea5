"""For users' tests: a model that says what it is told to, in place of a real one."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from duragraph_worker import coerce
from duragraph_worker.llm.providers import Request, register_provider, unregister_provider
from duragraph_worker.messages import AIMessage, AIMessageChunk, ToolCallChunk
from duragraph_worker.serialize import encode

Line = str | AIMessage | dict[str, Any] | Exception


class ScriptedLLM:
    """A provider that gives the next line of its script to each request.

    A line is a text, an AIMessage (or its dict) or an exception to raise. `requests` keeps what
    was asked. Words stream as chunks of their own. A request past the script's end raises
    AssertionError.
    """

    errors: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)

    def __init__(self, script: Iterable[Line] = ()) -> None:
        self._script = iter(script)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> AIMessage:
        self.requests.append(request)
        line = next(self._script, None)
        if line is None:
            raise AssertionError(
                f"the script has no line for request {len(self.requests)}: "
                f"{request.messages[-1].text!r:.200}"
            )
        if isinstance(line, Exception):
            raise line
        reply = AIMessage(line) if isinstance(line, str) else coerce.message(line)
        if not isinstance(reply, AIMessage):
            raise AssertionError(f"{line!r} is no model's reply")  # noqa: TRY004 - a test's fault
        return reply

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        reply = await self.complete(request)
        for word in _words(reply.text):
            yield AIMessageChunk(word)
        pieces: list[ToolCallChunk] = [
            {
                "name": call["name"],
                "args": encode(call["args"]).decode(),
                "id": call["id"],
                "index": at,
            }
            for at, call in enumerate(reply.tool_calls)
        ]
        yield AIMessageChunk(
            response_metadata=reply.response_metadata,
            usage_metadata=reply.usage_metadata,
            tool_call_chunks=pieces,
            chunk_position="last",
        )


@contextmanager
def scripted(provider: str, script: Iterable[Line]) -> Iterator[ScriptedLLM]:
    """Have all models of `provider` ("openai", …) follow one script while the block runs."""
    llm = ScriptedLLM(script)
    register_provider(provider, llm)
    try:
        yield llm
    finally:
        unregister_provider(provider)


def _words(text: str) -> Iterator[str]:
    *words, last = text.split(" ")
    yield from (f"{word} " for word in words)
    if last:
        yield last
