"""For users' tests: models that follow a script, stores in memory, a run to its end.

`docs/testing.md` has examples.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

from duragraph_worker import coerce
from duragraph_worker.authoring.graph import App
from duragraph_worker.errors import Interrupt
from duragraph_worker.llm.providers import Request, names, replaced
from duragraph_worker.local.results import RunResult
from duragraph_worker.messages import AIMessage, AIMessageChunk, tool_call_chunk
from duragraph_worker.serialize import encode
from duragraph_worker.vectors.collection import Collection
from duragraph_worker.vectors.embeddings import Words
from duragraph_worker.vectors.memory import InMemory

Line = str | AIMessage | dict[str, Any] | Exception
Script = Iterable[Line] | Callable[[Request], Line]


class ScriptedLLM:
    """A provider that gives the next line of its script to each request.

    A line is a text, an AIMessage (or its dict) or an exception to raise; a function of the
    request may say them, too. `requests` keeps what was asked. Words stream as chunks of their
    own. A request past the script's end raises AssertionError.
    """

    errors: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)

    def __init__(self, script: Script = ()) -> None:
        self._line = script if callable(script) else _in_turn(script)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> AIMessage:
        self.requests.append(request)
        line = self._line(request)
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
        pieces = [
            tool_call_chunk(
                at, id=call["id"], name=call["name"], args=encode(call["args"]).decode()
            )
            for at, call in enumerate(reply.tool_calls)
        ]
        yield AIMessageChunk(
            response_metadata=reply.response_metadata,
            usage_metadata=reply.usage_metadata,
            tool_call_chunks=pieces,
            chunk_position="last",
        )


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    """The line of a model that calls these tools at once: `(name, arguments)` each."""
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": args, "id": f"call_{at}", "type": "tool_call"}
            for at, (name, args) in enumerate(wanted)
        ],
    )


@contextmanager
def scripted(provider: str, script: Script) -> Iterator[ScriptedLLM]:
    """Have all models of `provider` ("openai", …) follow one script while the block runs."""
    llm = ScriptedLLM(script)
    with replaced([provider], llm):
        yield llm


@contextmanager
def in_memory(store: Collection) -> Iterator[InMemory]:
    """Have a store, whichever vendor's, keep its documents here while the block runs.

    They are found by the words that they share with the question: no server, no embeddings.
    """
    double = InMemory(store.name, embeddings=Words(), metric=store.metric)
    methods = ("upsert", "query", "get", "delete")
    for method in methods:
        setattr(store, method, getattr(double, method))
    try:
        yield double
    finally:
        for method in methods:
            delattr(store, method)


def run_graph(
    graph: type[App] | App,
    input: Any,
    *,
    script: Script | None = None,
    answers: Iterable[Any] = (),
    **options: Any,
) -> RunResult:
    """Run a graph here to its end: people give `answers` in turn, models follow `script`.

    The script is that of all models of all providers; without one they are asked as always.
    Raises what a node raised, and AssertionError where a question has no answer or an answer no
    question. `options` are those of `run`.
    """
    app = graph() if isinstance(graph, type) else graph
    thread_id = options.pop("thread_id", None) or str(uuid4())
    options.setdefault("raise_error", True)
    waiting = iter(answers)
    with ExitStack() as stack:
        if script is not None:
            stack.enter_context(replaced(names(), ScriptedLLM(script)))
        result = app.run(input, thread_id=thread_id, **options)
        while result.interrupts:
            given = {asked.id: _answer(asked, waiting) for asked in result.interrupts}
            result = app.resume(thread_id, given, **options)
    if left := list(waiting):
        raise AssertionError(f"nobody asked for the answers {left!r}")
    return result


def _answer(asked: Interrupt, answers: Iterator[Any]) -> Any:
    for answer in answers:
        return answer
    raise AssertionError(f"there is no answer left for {asked.value!r}")


def _in_turn(script: Iterable[Line]) -> Callable[[Request], Line]:
    lines, asked = iter(script), count(1)

    def line(request: Request) -> Line:
        number = next(asked)
        for each in lines:
            return each
        raise AssertionError(
            f"the script has no line for request {number}: {request.messages[-1].text!r:.200}"
        )

    return line


def _words(text: str) -> Iterator[str]:
    *words, last = text.split(" ")
    yield from (f"{word} " for word in words)
    if last:
        yield last
