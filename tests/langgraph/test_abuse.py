"""LangGraph nodes and clients that do what they should not: runs pay, threads and workers don't."""

import asyncio
import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt
from langgraph_sdk.errors import ConflictError

from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(60)

IN_TIME = 15


class Out(TypedDict, total=False):
    what: str
    out: Any
    many: Annotated[list[int], operator.add]


STRANGE = {
    "lock": threading.Lock,
    "generator": lambda: (n for n in ()),
    "event": asyncio.Event,
    "module": lambda: asyncio,
}


async def strange(state: Out) -> Out:
    return {"out": STRANGE.get(state["what"], lambda: "harmless")()}


strange_state = StateGraph(Out).add_node(strange).add_edge(START, "strange").compile()


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_state_that_cannot_be_kept_fails_its_run_with_its_reason(
    serve, client, database_url, what, durability
):
    await serve(strange=strange_state)
    thread_id = (await client.threads.create())["thread_id"]

    async def ask(what: str) -> Any:
        asked = {"input": {"what": what}, "durability": durability, "raise_error": False}
        return await asyncio.wait_for(client.runs.wait(thread_id, "strange", **asked), IN_TIME)

    error = (await ask(what))["__error__"]
    assert error["error"] == "TypeError", error
    (run,) = await client.runs.list(thread_id)
    assert run["status"] == "error"
    assert (await client.threads.get(thread_id))["status"] == "error"
    assert (await ask("harmless"))["out"] == "harmless"
    assert (await client.threads.get(thread_id))["status"] == "idle"
    assert await audit(database_url) == 0


def fan_out(state: Out) -> list[Send]:
    return [Send("one", {"n": n}) for n in range(100)]


async def one(given: dict[str, int]) -> Out:
    await asyncio.sleep(0)
    return {"many": [given["n"]]}


wide = (
    StateGraph(Out)
    .add_node("start", lambda state: {"out": 1})
    .add_node(one)
    .add_edge(START, "start")
    .add_conditional_edges("start", fan_out, ["one"])
    .compile()
)


async def test_a_hundred_parallel_sends_are_a_hundred_results_in_order(serve, client):
    await serve(wide=wide)
    result = await client.runs.wait(None, "wide", input={"what": ""})
    assert result["many"] == list(range(100))


async def big(state: MessagesState) -> MessagesState:
    return {"messages": [{"role": "assistant", "content": "y" * 1_000_000}]}


chat = StateGraph(MessagesState).add_node(big).add_edge(START, "big").compile()


async def test_megabytes_of_messages_come_back_as_they_went(serve, client):
    await serve(chat=chat)
    thread_id = (await client.threads.create())["thread_id"]
    for n in range(3):
        said = {"role": "user", "content": str(n) + "x" * 1_000_000}
        await client.runs.wait(thread_id, "chat", input={"messages": [said]})
    state = await client.threads.get_state(thread_id)
    told = [message["content"] for message in state["values"]["messages"]]
    assert [each[:1] for each in told] == ["0", "y", "1", "y", "2", "y"]
    assert {len(each) for each in told} == {1_000_000, 1_000_001}


class Gate:
    """A body that says when it is at work, and goes on when told."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.begun.set()
        assert self.go.wait(IN_TIME)


def gated(gate: Gate, *, sync: bool) -> Any:
    def body(state: Out) -> Out:
        gate.wait()
        return {"out": "late"}

    async def abody(state: Out) -> Out:
        await asyncio.to_thread(gate.wait)
        return {"out": "late"}

    return (
        StateGraph(Out)
        .add_node("before", lambda state: {"what": "before"})
        .add_node("at_work", body if sync else abody)
        .add_node("after", lambda state: {"what": "after"})
        .add_edge(START, "before")
        .add_edge("before", "at_work")
        .add_edge("at_work", "after")
        .compile()
    )


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_cancel_amid_a_node_is_final(serve, client, database_url, sync, action):
    gate = Gate()
    await serve(gated=gated(gate, sync=sync))
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread_id, "gated", input={"what": ""}, durability="sync")
    assert await asyncio.to_thread(gate.begun.wait, IN_TIME)
    async with asyncio.timeout(IN_TIME):
        await client.runs.cancel(thread_id, run["run_id"], wait=True, action=action)
    state = await client.threads.get_state(thread_id)
    if action == "interrupt":
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
        assert (state["values"]["what"], state["next"]) == ("before", ["at_work"])
    else:
        assert not state["values"]
    gate.go.set()
    # The late body's result reaches nobody, and the thread goes on.
    result = await client.runs.wait(thread_id, "gated", input={"what": "again"})
    assert (result["what"], result["out"]) == ("after", "late")
    assert await audit(database_url) == 0


@pytest.mark.parametrize("strategy", ["interrupt", "rollback", "enqueue", "reject"])
async def test_a_second_run_amid_a_node_does_as_its_strategy_says(
    serve, client, database_url, strategy
):
    gate = Gate()
    await serve(gated=gated(gate, sync=True))
    thread_id = (await client.threads.create())["thread_id"]
    first = await client.runs.create(thread_id, "gated", input={"what": "first"})
    assert await asyncio.to_thread(gate.begun.wait, IN_TIME)
    asked = {"input": {"what": "second"}, "multitask_strategy": strategy}
    if strategy == "reject":
        with pytest.raises(ConflictError):
            await client.runs.create(thread_id, "gated", **asked)
        gate.go.set()
        await client.runs.join(thread_id, first["run_id"])
    else:
        second = await client.runs.create(thread_id, "gated", **asked)
        gate.go.set()
        result = await asyncio.wait_for(client.runs.join(thread_id, second["run_id"]), IN_TIME)
        assert (result["what"], result["out"]) == ("after", "late")
    assert await audit(database_url) == 0


async def ask(state: Out) -> Out:
    return {"out": interrupt("well?")}


asks = StateGraph(Out).add_node(ask).add_edge(START, "ask").compile()


async def test_of_racing_answers_one_counts(serve, client, database_url):
    await serve(asks=asks)
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "asks", input={"what": ""})

    async def answer(n: int) -> Any:
        return await client.runs.wait(
            thread_id, "asks", command={"resume": n}, multitask_strategy="reject"
        )

    answers = await asyncio.gather(*map(answer, range(6)), return_exceptions=True)
    state = await client.threads.get_state(thread_id)
    told = {each["out"] for each in answers if isinstance(each, dict)}
    assert state["values"]["out"] in told
    assert not state["interrupts"]
    assert await audit(database_url) == 0


async def ask_strangely(state: Out) -> Out:
    return {"out": interrupt(STRANGE.get(state["what"], lambda: "harmless")())}


asks_strangely = (
    StateGraph(Out)
    .add_node(ask_strangely)
    .add_node("beside", lambda state: {"many": [1]})
    .add_edge(START, "ask_strangely")
    .add_edge(START, "beside")
    .compile()
)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_question_that_cannot_be_kept_fails_its_run_with_its_reason(
    serve, client, durability
):
    await serve(asks_strangely=asks_strangely)
    thread_id = (await client.threads.create())["thread_id"]

    async def asked(what: str) -> Any:
        given = {"input": {"what": what}, "durability": durability, "raise_error": False}
        return await client.runs.wait(thread_id, "asks_strangely", **given)

    assert (await asked("lock"))["__error__"]["error"] == "TypeError"
    assert (await client.threads.get(thread_id))["status"] == "error"
    assert (await asked("harmless"))["__interrupt__"][0]["value"] == "harmless"
    assert (await client.threads.get(thread_id))["status"] == "interrupted"


async def count(state: Out) -> Out:
    return {"many": [1]}


counts = StateGraph(Out).add_node(count).add_edge(START, "count").compile()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_command_that_its_state_cannot_take_fails_its_run_alone(serve, client, durability):
    await serve(counts=counts)
    thread_id = (await client.threads.create())["thread_id"]

    async def ran(**given: Any) -> Any:
        given |= {"durability": durability, "raise_error": False}
        return await client.runs.wait(thread_id, "counts", **given)

    await ran(input={"many": [0]})
    failed = await ran(command={"update": {"many": 5}, "goto": "count"})
    assert failed["__error__"]["error"] == "TypeError"
    assert (await client.threads.get_state(thread_id))["values"]["many"] == [0, 1]
    assert (await ran(command={"update": {"many": [2]}, "goto": "count"}))["many"] == [0, 1, 2, 1]
    assert (await ran(input={"many": [3]}))["many"] == [0, 1, 2, 1, 3, 1]


def halve(state: Out) -> Out:
    raise ValueError(f"\ud800 of {state['what']}")


halves = (
    StateGraph(Out)
    .add_node(halve)
    .add_node("beside", lambda state: {"many": [1]})
    .add_edge(START, "halve")
    .add_edge(START, "beside")
    .compile()
)


async def test_an_error_whose_words_are_no_text_is_told_as_it_can(serve, client):
    await serve(halves=halves)
    asked = client.runs.wait(None, "halves", input={"what": "it"}, raise_error=False)
    result = await asyncio.wait_for(asked, IN_TIME)
    assert result["__error__"] == {"error": "ValueError", "message": "? of it"}
