"""What is on record of a graph: the state that LangGraph alone has, and nothing of a lost lease."""

import operator
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send
from pydantic import BaseModel

from duragraph import ids
from duragraph.protocol import Checkpoint, Frame, Lease, Task
from duragraph_worker import serialize as plain
from duragraph_worker.langgraph import serialize
from duragraph_worker.langgraph.hosted import hosted
from duragraph_worker.langgraph.saver import Saver
from duragraph_worker.process.client import Plane
from duragraph_worker.process.reach import LeasedReach
from duragraph_worker.process.report import Recording, Reporter
from duragraph_worker.record import Fenced
from tests.langgraph.recorder import Kept

pytestmark = pytest.mark.timeout(60)


class Note(BaseModel):
    text: str
    at: datetime = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Tally:
    by_word: dict[str, int] = field(default_factory=dict)


def merged(one, other):
    """In place, which is no append however it looks."""
    one.by_word.update(other.by_word)
    return one


class Everything(TypedDict):
    messages: Annotated[list, add_messages]
    notes: Annotated[list[Note], operator.add]
    tally: Annotated[Tally, merged]
    seen: Annotated[set, operator.or_]
    last: Annotated[deque, lambda old, new: deque([*(old or ()), *new], 3)]
    log: Annotated[list, DeltaChannel(lambda log, writes: log + [w for s in writes for w in s])]
    raw: bytes
    turn: int


def listen(state):
    heard = state["messages"][-1].content
    return {
        "notes": [Note(text=heard)],
        "tally": Tally({heard: len(heard)}),
        "seen": {heard},
        "last": deque([heard]),
        "log": [heard],
        "raw": heard.encode(),
    }


def answer(state):
    turn = state.get("turn", 0)
    messages = [AIMessage(f"{turn}", id=f"a{turn}")]
    if turn % 3 == 2:
        state["messages"][0].content += "!"  # an old one, in place
    if turn % 4 == 3:
        messages.append(RemoveMessage(id=state["messages"][1].id))
    return {"messages": messages, "turn": turn + 1, "log": ["answered"]}


def everything():
    builder = StateGraph(Everything)
    builder.add_node(listen)
    builder.add_node(answer)
    builder.add_edge(START, "listen")
    builder.add_edge("listen", "answer")
    builder.add_edge("answer", END)
    return builder


def of_model():
    class State(BaseModel):
        messages: Annotated[list, add_messages] = []
        note: Note | None = None

    builder = StateGraph(State)
    builder.add_node("write", lambda state: {"note": Note(text=state.messages[-1].content)})
    builder.add_edge(START, "write")
    return builder


def without_keys():
    builder = StateGraph(Annotated[list, operator.add])
    builder.add_node("double", lambda state: [len(state)])
    builder.add_edge(START, "double")
    return builder


def mapped():
    class State(TypedDict):
        messages: Annotated[list, add_messages]
        lengths: Annotated[list, operator.add]

    builder = StateGraph(State)
    builder.add_node("start", lambda _: {})
    builder.add_node("measure", lambda word: {"lengths": [len(word)]})
    builder.add_edge(START, "start")
    builder.add_conditional_edges(
        "start", lambda state: [Send("measure", m.content) for m in state["messages"]], ["measure"]
    )
    return builder


@task
def doubled(number):
    return number * 2


@entrypoint()
def functional(given, previous=None):
    return (previous or 0) + doubled(len(given["messages"])).result()


def turns(graph):
    if graph is without_keys:
        return [["a"], ["b", "c"], []]
    words = ["one", "two", "three", "one", "four", "five"]
    given = [{"messages": [HumanMessage(word, id=f"h{n}")]} for n, word in enumerate(words)]
    if graph is everything:
        given[3]["log"] = []  # a write that changes nothing
    return given


GRAPHS = [everything, of_model, without_keys, mapped, functional]


def built(graph, saver=None):
    if graph is functional:
        copy = functional.copy({})
        copy.checkpointer = saver
        return copy
    return graph().compile(saver)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize(
    "graph", GRAPHS, ids=lambda graph: getattr(graph, "__name__", "functional")
)
async def test_a_threads_states_are_those_of_langgraph_alone(client, serve, graph, durability):
    await serve(g=built(graph))
    alone, config = built(graph, InMemorySaver()), {"configurable": {"thread_id": "t"}}
    thread_id = (await client.threads.create())["thread_id"]
    for given in turns(graph):
        await alone.ainvoke(given, config, durability=durability)
        wire = plain.decode(serialize.dump(given))
        await client.runs.wait(thread_id, "g", input=wire, durability=durability, raise_error=True)
        state = await client.threads.get_state(thread_id)
        assert in_order(state) == shown(await alone.aget_state(config))
    history = await client.threads.get_history(thread_id, limit=100)
    known = [each async for each in alone.aget_state_history(config)]
    assert [each["next"] for each in history] == [list(each.next) for each in known]
    made_for_deltas = durability == "exit" and graph is everything
    last = -1 if made_for_deltas else None
    assert [in_order(each) for each in history][:last] == [shown(each) for each in known][:last]
    assert [each["metadata"]["step"] for each in history] == [k.metadata["step"] for k in known]


def in_order(state):
    """A set's elements may be in any."""
    values = state["values"]
    seen = values.get("seen") if isinstance(values, dict) else None
    return {**values, "seen": sorted(seen)} if seen else values


def shown(state):
    return in_order({"values": plain.decode(serialize.dump(state.values))})


async def test_a_saver_without_its_lease_writes_and_reads_nothing(plane, client, hand):
    thread_id = ids.new_id()
    run_id = await plane.start_run(thread_id)
    given = await hand.task()
    lost = []
    async with Plane(plane.url) as connection:
        reporter = Reporter(
            lambda batch: connection.report(hand.worker_id, batch), lost=lost.append
        )
        recording = reporter.open(Lease(given.run_id, given.epoch))
        saver = Saver(given, recording, LeasedReach(connection, hand.worker_id))
        await client.runs.cancel(thread_id, run_id, wait=True)
        config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        with pytest.raises(Fenced):
            [_ async for _ in saver.alist(config)]
        with pytest.raises(Fenced):
            await saver.adelete_for_runs([run_id])
        await saver.aput(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
        await _deliver(reporter, recording)
        with pytest.raises(Fenced):
            await recording.settled()
    assert lost == [Lease(given.run_id, given.epoch)]
    assert await client.threads.get_history(thread_id) == []


async def _deliver(reporter: Reporter, recording: Recording) -> None:
    batch, weight = reporter._gather()
    assert list(batch) == [recording]
    await reporter._deliver(batch, weight)


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_values_are_known_by_a_checkpoint_that_is_on_record_before_them(durability):
    given = {"input": {"messages": [["human", "one"]]}, "durability": durability}
    run = Task("run", ids.new_id(), 1, 1, ids.new_id(), "a", "g", "1", plain.encode(given))
    kept = Kept()
    await hosted(built(everything), graph_id="g").execute(run, kept, None)
    shown = [item for item in kept.items if isinstance(item, Frame) and item.event == "values"]
    known = []
    for item in kept.items:
        if isinstance(item, Checkpoint):
            known.append(item.checkpoint_id)
        elif item in shown:
            assert item.checkpoint_id == known[-1]
    assert len(shown) == 3
