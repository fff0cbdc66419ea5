"""Threads of LangGraph graphs: copies, prunes, deletions, rollbacks, forks, time to live, crons.

After each of them the graph goes on with its own objects, restored: messages, dates, sets.
"""

import asyncio
import operator
from collections.abc import Callable
from datetime import date
from ipaddress import ip_network
from typing import Annotated, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

FIRST = date(2026, 1, 1)


def gathered(values: list[Any], writes: list[list[Any]]) -> list[Any]:
    return [*values, *(each for write in writes for each in write)]


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    days: Annotated[set[date], operator.or_]
    log: Annotated[list[Any], DeltaChannel(gathered)]
    order: str


def types(values) -> list[Any]:
    """What would be lost if only JSON were restored."""
    kinds = sorted({type(each).__name__ for each in values.get("messages", ())})
    days = values.get("days")
    return [kinds, type(days).__name__, sorted(map(str, days or ()))]


def turn(state: State) -> dict[str, Any]:
    """One more of everything, and what was found."""
    n = len(state.get("messages", ()))
    found = {
        "messages": [AIMessage(f"answer {n}", id=f"a{n}")],
        "days": {FIRST, date(2026, 2, n)},
        "log": [{"turn": n, "found": types(state), "log": len(state.get("log", ()))}],
    }
    match state.get("order"):
        case "fail":
            raise ValueError("boom")
        case "forget":
            found["messages"] = [RemoveMessage(id=state["messages"][0].id)]
    return found


def ask(state: State) -> dict[str, Any]:
    if state.get("order") == "ask":
        return {"log": [interrupt({"after": len(state["messages"])})]}
    return {}


async def hang(state: State) -> dict[str, Any]:
    if state.get("order") == "hang":
        await asyncio.Event().wait()
    return {}


def built():
    nodes: dict[str, Callable[..., Any]] = {"turn": turn, "ask": ask, "hang": hang}
    builder = StateGraph(State)
    for name, body in nodes.items():
        builder.add_node(name, body)
    return builder.add_edge(START, "turn").add_edge("turn", "ask").add_edge("ask", "hang").compile()


@pytest.fixture
async def plane(start_plane):
    return await start_plane(webhook_networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
async def g(serve):
    await serve(g=built())


@pytest.fixture
async def thread(client):
    return (await client.threads.create())["thread_id"]


def said(text, order="go on"):
    return {"messages": [{"role": "user", "content": text, "id": text}], "order": order}


async def go_on(client, thread, text, order="go on", **fields):
    return await client.runs.wait(thread, "g", input=said(text, order), **fields)


def contents(values):
    return [message["content"] for message in values["messages"]]


async def settled(client, thread):
    while (await client.threads.get(thread))["status"] == "busy":
        pass


SECOND_TURN = {
    "turn": 3,
    "found": [["AIMessage", "HumanMessage"], "set", ["2026-01-01", "2026-02-01"]],
    "log": 1,
}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_thread_goes_on_with_its_objects(client, g, thread, durability):
    await go_on(client, thread, "one", durability=durability)
    answer = await go_on(client, thread, "two", durability=durability)
    state = await client.threads.get_state(thread)
    assert state["values"] | {"days": None} == answer | {"days": None}
    assert contents(answer) == ["one", "answer 1", "two", "answer 3"]
    assert answer["log"][1] == SECOND_TURN
    assert sorted(answer["days"]) == ["2026-01-01", "2026-02-01", "2026-02-03"]


async def test_a_copy_goes_on_by_itself(client, g, thread):
    await go_on(client, thread, "one")
    copy = (await client.threads.copy(thread))["thread_id"]
    theirs = await go_on(client, thread, "theirs")
    ours = await go_on(client, copy, "ours")
    assert contents(theirs) == ["one", "answer 1", "theirs", "answer 3"]
    assert contents(ours) == ["one", "answer 1", "ours", "answer 3"]
    assert ours["log"][1] == theirs["log"][1] == SECOND_TURN
    await client.threads.delete(thread)
    assert contents(await go_on(client, copy, "more"))[:2] == ["one", "answer 1"]
    assert len(await client.threads.get_history(copy, limit=100)) == 15


async def test_a_copy_of_a_waiting_thread_is_answered_by_itself(client, g, thread):
    await go_on(client, thread, "one", "ask")
    copy = (await client.threads.copy(thread))["thread_id"]
    for each, reply in ((copy, "to the copy"), (thread, "to the first")):
        (asked,) = (await client.threads.get_state(each))["interrupts"]
        assert asked["value"] == {"after": 2}
        answer = await client.runs.wait(each, "g", command={"resume": reply})
        assert answer["log"][1:] == [reply]


async def test_a_pruned_thread_goes_on_from_what_was_kept(client, g, thread):
    for text in ("one", "two", "three"):
        await go_on(client, thread, text)
    before = await client.threads.get_state(thread)
    assert await client.threads.prune([thread], strategy="keep_latest") == {"pruned_count": 1}
    assert (await client.threads.get_state(thread))["values"] == before["values"]
    assert len(await client.threads.get_history(thread, limit=100)) == 1
    answer = await go_on(client, thread, "four")
    assert contents(answer) == [*contents(before["values"]), "four", "answer 7"]
    assert answer["log"][3]["found"][0] == ["AIMessage", "HumanMessage"]
    assert [each["log"] for each in answer["log"]] == [0, 1, 2, 3]


async def test_a_pruned_thread_that_waits_can_be_answered(client, g, thread):
    await go_on(client, thread, "one")
    await go_on(client, thread, "two", "ask")
    await client.threads.prune([thread], strategy="keep_latest")
    answer = await client.runs.wait(thread, "g", command={"resume": "yes"})
    assert answer["log"][2:] == ["yes"]
    assert contents(answer) == ["one", "answer 1", "two", "answer 3"]


async def test_a_deleted_run_takes_its_checkpoints_and_the_thread_goes_on(client, g, thread):
    await go_on(client, thread, "one")
    run = await client.runs.create(thread, "g", input=said("two"))
    await client.runs.join(thread, run["run_id"])
    await client.runs.delete(thread, run["run_id"])
    answer = await go_on(client, thread, "three")
    assert contents(answer) == ["one", "answer 1", "three", "answer 3"]
    assert answer["log"][1] == SECOND_TURN


async def hanging(client, thread, text):
    """A run that has finished its turn and hangs."""
    run = await client.runs.create(thread, "g", input=said(text, "hang"))
    while (await client.threads.get_state(thread))["next"] != ["hang"]:
        pass
    return run["run_id"]


async def test_a_rolled_back_run_leaves_nothing(client, g, thread):
    await go_on(client, thread, "one")
    before = await client.threads.get_state(thread)
    run = await hanging(client, thread, "two")
    await client.runs.cancel(thread, run, action="rollback", wait=True)
    await settled(client, thread)
    after = await client.threads.get_state(thread)
    assert (after["values"], after["checkpoint"]) == (before["values"], before["checkpoint"])
    answer = await go_on(client, thread, "three")
    assert contents(answer) == ["one", "answer 1", "three", "answer 3"]
    assert answer["log"][1] == SECOND_TURN


@pytest.mark.parametrize(
    ("strategy", "kept"),
    [
        ("rollback", ["one", "answer 1", "three", "answer 3"]),
        ("interrupt", ["one", "answer 1", "two", "answer 3", "three", "answer 5"]),
    ],
)
async def test_a_run_that_meets_another(client, g, thread, strategy, kept):
    await go_on(client, thread, "one")
    await hanging(client, thread, "two")
    answer = await go_on(client, thread, "three", multitask_strategy=strategy)
    assert contents(answer) == kept
    assert answer["log"][-1]["found"][0] == ["AIMessage", "HumanMessage"]


async def test_a_run_waits_for_another(client, g, thread):
    runs = [
        await client.runs.create(thread, "g", input=said(text), multitask_strategy="enqueue")
        for text in ("one", "two", "three")
    ]
    await client.runs.join(thread, runs[-1]["run_id"])
    state = await client.threads.get_state(thread)
    assert contents(state["values"]) == ["one", "answer 1", "two", "answer 3", "three", "answer 5"]


async def test_a_failed_run_is_gone_on_from(client, g, thread):
    await go_on(client, thread, "one")
    failed = await go_on(client, thread, "two", "fail", raise_error=False)
    assert failed["__error__"]["error"] == "ValueError"
    assert (await client.threads.get_state(thread))["next"] == ["turn"]
    answer = await go_on(client, thread, "three")
    assert contents(answer) == ["one", "answer 1", "two", "three", "answer 4"]


async def test_a_fork_goes_on_and_leaves_the_past(client, g, thread):
    await go_on(client, thread, "one")
    await go_on(client, thread, "two")
    whole = await client.threads.get_history(thread, limit=100)
    (after_one,) = [
        each for each in whole if not each["next"] and len(each["values"]["messages"]) == 2
    ]
    answer = await go_on(
        client, thread, "instead", checkpoint_id=after_one["checkpoint"]["checkpoint_id"]
    )
    assert contents(answer) == ["one", "answer 1", "instead", "answer 3"]
    assert answer["log"][1] == SECOND_TURN
    forked = await client.threads.get_history(thread, limit=100)
    assert [each["values"] for each in forked[-len(whole) :]] == [each["values"] for each in whole]
    more = await go_on(client, thread, "more")
    assert contents(more) == ["one", "answer 1", "instead", "answer 3", "more", "answer 5"]
    assert [each["log"] for each in more["log"]] == [0, 1, 2]


async def test_a_superstep_is_played_again_from_a_checkpoint(client, g, thread):
    await go_on(client, thread, "one")
    await go_on(client, thread, "two")
    history = await client.threads.get_history(thread, limit=100)
    before_turn = next(each for each in history if each["next"] == ["turn"])
    answer = await client.runs.wait(
        thread, "g", input=None, checkpoint_id=before_turn["checkpoint"]["checkpoint_id"]
    )
    assert contents(answer) == ["one", "answer 1", "two", "answer 3"]
    assert answer["log"][1] == SECOND_TURN


async def test_an_update_is_gone_on_from(client, g, thread):
    await go_on(client, thread, "one")
    update = {"messages": [{"role": "user", "content": "edited", "id": "one"}], "log": ["by hand"]}
    await client.threads.update_state(thread, update, as_node="hang")
    answer = await go_on(client, thread, "two", "forget")
    assert contents(answer) == ["answer 1", "two"]
    assert [each if isinstance(each, str) else each["turn"] for each in answer["log"]] == [
        1,
        "by hand",
        3,
    ]
    assert answer["log"][2]["found"][0] == ["AIMessage", "HumanMessage"]


async def test_a_message_is_changed_in_place(client, serve, thread):
    def node(state):
        for message in state["messages"]:
            message.additional_kwargs["seen"] = message.additional_kwargs.get("seen", 0) + 1
        return {"messages": [AIMessage("hi", id=f"a{len(state['messages'])}")]}

    await serve(g=StateGraph(State).add_node("node", node).add_edge(START, "node").compile())
    for text in ("one", "two", "three"):
        await client.runs.wait(
            thread, "g", input={"messages": [HumanMessage(text, id=text).model_dump()]}
        )
    values = (await client.threads.get_state(thread))["values"]
    assert [m["additional_kwargs"].get("seen", 0) for m in values["messages"]] == [3, 2, 2, 1, 1, 0]


async def test_a_thread_cut_by_its_time_to_live_goes_on(client, g, owner):
    created = await client.threads.create(ttl={"ttl": 60, "strategy": "keep_latest"})
    thread = created["thread_id"]
    for text in ("one", "two"):
        await go_on(client, thread, text)
    await owner.execute("update thread set expires_at = now()")
    async with asyncio.timeout(20):
        while len(await client.threads.get_history(thread, limit=100)) > 1:
            pass
    answer = await go_on(client, thread, "three")
    assert contents(answer) == ["one", "answer 1", "two", "answer 3", "three", "answer 5"]
    assert [each["log"] for each in answer["log"]] == [0, 1, 2]


async def test_supersteps_make_a_thread_that_goes_on(client, g):
    supersteps = [
        {"updates": [{"as_node": "__input__", "values": said("one")}]},
        {"updates": [{"as_node": "__start__", "values": said("one")}]},
        {
            "updates": [
                {
                    "as_node": "turn",
                    "values": {"messages": [{"role": "ai", "content": "made", "id": "m"}]},
                }
            ]
        },
    ]
    thread = (await client.threads.create(graph_id="g", supersteps=supersteps))["thread_id"]
    assert (await client.threads.get_state(thread))["next"] == ["ask"]
    answer = await go_on(client, thread, "two")
    assert contents(answer) == ["one", "made", "two", "answer 3"]


async def test_a_cron_runs_the_graph(client, g, thread, owner):
    cron = await client.crons.create_for_thread(
        thread, "g", schedule="* * * * *", input=said("by cron")
    )
    await owner.execute("update cron set next_run_date = now()")
    while not await client.runs.list(thread):
        pass
    (run,) = await client.runs.list(thread)
    await client.runs.join(thread, run["run_id"])
    await client.crons.delete(cron["cron_id"])
    assert contents((await client.threads.get_state(thread))["values"]) == ["by cron", "answer 1"]


async def test_a_webhook_tells_what_the_graph_has_made(client, g, thread):
    told = asyncio.Queue()

    async def hook(request):
        await told.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    async with TestServer(app) as server:
        await go_on(client, thread, "one", webhook=str(server.make_url("/hook")))
        body = await asyncio.wait_for(told.get(), 20)
    assert (body["status"], contents(body["values"])) == ("success", ["one", "answer 1"])
