"""Commands of the event-streaming protocol, with a worker moved by hand."""

import asyncio

import msgspec
import pytest

from duragraph.event_names import EventName
from duragraph.ids import checkpoint_id, new_id
from duragraph.protocol import EVENT_MODE, ChannelWrite, Checkpoint, Frame, Outcome

pytestmark = pytest.mark.timeout(30)

ONE, OTHER = "1" * 32, "2" * 32


@pytest.fixture
def thread():
    return new_id()


async def send(plane, thread, method, **params):
    command = {"id": 7, "method": method, "params": params}
    answer = await plane.post(f"/threads/{thread}/commands", command)
    assert answer.status == 200, answer.body
    assert answer.json["id"] == 7
    return answer.json


async def start(plane, thread, **params):
    answer = await send(plane, thread, "run.start", assistant_id="g", **params)
    assert answer["type"] == "success", answer
    return answer["result"]["run_id"]


def asking(*ids):
    asked = [{"id": each, "value": each[0]} for each in ids]
    interrupts = msgspec.json.encode({"task": asked})
    return Outcome("success", interrupted=True, interrupts=interrupts)


async def kwargs_of(hand):
    task = await hand.task()
    return task, msgspec.json.decode(task.kwargs)


async def asked(plane, hand, thread, *ids):
    """The thread, stopped at questions."""
    await start(plane, thread, input={})
    await hand.report(await hand.task(), outcome=asking(*ids))


async def test_run_start_makes_the_thread_and_a_run_whose_frames_are_events(plane, hand, thread):
    run_id = await start(plane, thread, input={"a": 1}, metadata={"of": "run"})
    task, kwargs = await kwargs_of(hand)
    assert (task.run_id, task.thread_id) == (run_id, thread)
    assert kwargs["input"] == {"a": 1}
    assert (kwargs["stream_mode"], kwargs["subgraphs"]) == ([EVENT_MODE], True)
    assert msgspec.json.decode(task.metadata)["of"] == "run"


async def test_requests_cannot_ask_for_that_mode(plane, hand):
    body = {"assistant_id": "g", "input": {}, "stream_mode": EVENT_MODE}
    assert (await plane.post("/runs", body)).status == 422


async def test_the_input_of_a_thread_that_asks_is_the_answer(plane, hand, thread):
    await asked(plane, hand, thread, ONE)
    await start(plane, thread, input="yes")
    _, kwargs = await kwargs_of(hand)
    assert (kwargs["input"], kwargs["command"]) == (None, {"resume": "yes"})


async def test_without_input_a_thread_that_asks_goes_on_without_an_answer(plane, hand, thread):
    await asked(plane, hand, thread, ONE)
    await start(plane, thread)
    _, kwargs = await kwargs_of(hand)
    assert (kwargs["input"], kwargs["command"]) == (None, None)


async def test_a_checkpoint_to_start_from_is_named_in_the_configuration(plane, hand, thread):
    at = new_id()
    await start(plane, thread, input={}, config={"configurable": {"checkpoint_id": at}})
    _, kwargs = await kwargs_of(hand)
    assert kwargs["config"]["configurable"]["checkpoint_id"] == at


@pytest.mark.parametrize("name", ["multitask_strategy", "multitaskStrategy"])
async def test_what_becomes_of_a_run_under_way_is_the_callers_choice(plane, hand, thread, name):
    await start(plane, thread, input={})
    answer = await send(plane, thread, "run.start", assistant_id="g", input={}, **{name: "reject"})
    assert answer["error"] == "unknown_error"
    assert "already running" in answer["message"]
    await start(plane, thread, input={})


async def test_one_question_is_answered_by_its_id(plane, hand, thread):
    await asked(plane, hand, thread, ONE, OTHER)
    answer = await send(
        plane, thread, "input.respond", interrupt_id=ONE, response={"a": 1}, namespace=["x:1"]
    )
    assert (answer["type"], answer["result"]) == ("success", {})
    _, kwargs = await kwargs_of(hand)
    assert kwargs["command"] == {"resume": {ONE: {"a": 1}}}
    assert kwargs["stream_mode"] == [EVENT_MODE]


async def test_several_answers_go_into_one_run_with_what_else_it_shall_do(plane, hand, thread):
    await asked(plane, hand, thread, ONE, OTHER)
    responses = [{"interrupt_id": ONE, "response": 1}, {"interrupt_id": OTHER, "response": None}]
    answer = await send(
        plane,
        thread,
        "input.respond",
        responses=responses,
        update={"k": "v"},
        goto=[{"node": "n", "input": 1}],
        config={"tags": ["t"]},
        metadata={"of": "answer"},
    )
    assert answer["type"] == "success", answer
    task, kwargs = await kwargs_of(hand)
    assert kwargs["command"] == {
        "resume": {ONE: 1, OTHER: None},
        "update": {"k": "v"},
        "goto": [{"node": "n", "input": 1}],
    }
    assert kwargs["config"]["tags"] == ["t"]
    assert msgspec.json.decode(task.metadata)["of"] == "answer"


async def test_of_racing_answers_exactly_one_applies(plane, hand, thread):
    await asked(plane, hand, thread, ONE)
    answers = await asyncio.gather(
        *(send(plane, thread, "input.respond", interrupt_id=ONE, response=n) for n in range(5))
    )
    assert sorted(answer["type"] for answer in answers) == ["error"] * 4 + ["success"]
    assert len((await plane.get(f"/threads/{thread}/runs")).json) == 2


async def test_an_answer_to_a_question_that_is_still_on_its_way_waits_for_it(plane, hand, thread):
    await start(plane, thread, input={})
    task = await hand.task()
    waiting = asyncio.create_task(
        send(plane, thread, "input.respond", interrupt_id=ONE, response="now")
    )
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    await hand.report(task, outcome=asking(ONE))
    assert (await waiting)["type"] == "success"


async def test_a_fork_starts_from_its_checkpoint(plane, hand, thread):
    await start(plane, thread, input={})
    await hand.finish(await hand.task())
    at = new_id()
    answer = await send(plane, thread, "state.fork", checkpoint_id=at, input={"b": 2})
    assert answer["result"]["thread_id"] == thread
    task, kwargs = await kwargs_of(hand)
    assert task.run_id == answer["result"]["run_id"]
    assert kwargs["input"] == {"b": 2}
    assert kwargs["config"]["configurable"]["checkpoint_id"] == at


async def test_a_threads_state_can_be_looked_at(plane, hand, thread):
    await start(plane, thread, input={})
    task, at = await hand.task(), checkpoint_id(None)
    parts = [ChannelWrite("a", b"1"), ChannelWrite("b", b'{"c":2}')]
    stood = Checkpoint(
        at, None, "", "loop", 3, "2026-01-01T00:00:00.000000+00:00", [], parts,
        {"a": at, "b": at}, metadata=b'{"step":3}',
    )  # fmt: skip
    await hand.finish(task, checkpoints=[stood])
    answer = await send(plane, thread, "state.get", namespace=[])
    where = {"id": at, "ns": ""}
    assert answer["result"] == {"values": {"a": 1, "b": {"c": 2}}, "checkpoint": where}
    answer = await send(plane, thread, "state.get", keys=["b", "z"])
    assert answer["result"]["values"] == {"b": {"c": 2}}
    answer = await send(plane, thread, "state.get", namespace=["sub:1"])
    assert answer["error"] == "no_such_namespace"
    (listed,) = (await send(plane, thread, "state.listCheckpoints"))["result"]["checkpoints"]
    assert (listed["id"], listed["step"]) == (at, 3)


async def test_the_tree_has_the_graphs_of_the_last_run(plane, hand, thread):
    await start(plane, thread, input={})
    task = await hand.task()
    await hand.report(task, frames=[life("started", "a:1"), life("started", "a:1", "b:2")])
    answer = await send(plane, thread, "agent.getTree")
    assert answer["result"]["tree"]["status"] == "running"
    await hand.finish(task, batch=2, frames=[life("completed", "a:1", "b:2")])
    tree = (await send(plane, thread, "agent.getTree"))["result"]["tree"]
    (child,) = tree.pop("children")
    assert tree == {"namespace": [], "status": "completed", "graph_name": "g"}
    (grandchild,) = child.pop("children")
    assert child == {"namespace": ["a:1"], "status": "started", "graph_name": "a"}
    assert grandchild["status"] == "completed"


async def test_a_run_of_thousands_of_graphs_has_a_tree(plane, hand, thread):
    await start(plane, thread, input={})
    task = await hand.task()
    for batch in range(30):
        frames = [life("started", f"a:{batch * 1000 + n}") for n in range(1000)]
        await hand.report(task, batch=batch + 1, frames=frames)
    tree = (await send(plane, thread, "agent.getTree"))["result"]["tree"]
    assert len(tree["children"]) == 30_000


def life(event, *namespace):
    data = {"event": event, "graph_name": namespace[-1].partition(":")[0]}
    return Frame(str(EventName("lifecycle", 1, "", namespace)), msgspec.json.encode(data))


WRONG = (
    ("run.start", {}, "invalid_argument"),
    ("run.start", {"assistant_id": ""}, "invalid_argument"),
    ("run.start", {"assistant_id": "nope"}, "invalid_argument"),
    ("run.start", {"assistant_id": new_id()}, "unknown_error"),
    ("run.start", {"assistant_id": "g", "config": 5}, "invalid_argument"),
    ("run.start", {"assistant_id": "g", "config": {"configurable": 5}}, "invalid_argument"),
    ("state.fork", {"checkpoint_id": new_id(), "config": {"configurable": 5}}, "invalid_argument"),
    (
        "run.start",
        {"assistant_id": "g", "config": {"configurable": {"checkpoint_id": "x"}}},
        "invalid_argument",
    ),
    ("run.start", {"assistant_id": "g", "multitask_strategy": "zzz"}, "invalid_argument"),
    ("input.respond", {}, "invalid_argument"),
    ("input.respond", {"responses": []}, "invalid_argument"),
    ("input.respond", {"responses": [{}]}, "invalid_argument"),
    ("input.respond", {"interrupt_id": "x", "namespace": "no"}, "invalid_argument"),
    ("input.respond", {"interrupt_id": "x"}, "no_such_run"),
    ("state.fork", {"checkpoint_id": new_id()}, "no_such_checkpoint"),
    ("state.fork", {"checkpoint_id": "x"}, "invalid_argument"),
    ("agent.getTree", {}, "no_such_run"),
    ("state.get", {"namespace": []}, "no_such_checkpoint"),
    ("subscription.subscribe", {"channels": ["values"]}, "not_supported"),
    ("input.inject", {}, "unknown_command"),
    ("nope", {}, "unknown_command"),
)


async def test_what_is_wrong_has_the_protocols_code_and_makes_nothing(plane, hand, thread):
    for method, params, code in WRONG:
        answer = await send(plane, thread, method, **params)
        assert (answer["type"], answer["error"]) == ("error", code), (method, params, answer)
        assert answer["message"]
    assert (await plane.get(f"/threads/{thread}")).status == 404


async def test_an_answer_to_no_question_is_told_so(plane, hand, thread):
    await asked(plane, hand, thread, ONE)
    answer = await send(plane, thread, "input.respond", interrupt_id=OTHER, response=1)
    assert answer["error"] == "no_such_interrupt"


NO_COMMANDS = {
    b"{": None,
    b"[]": None,
    b"5": None,
    b"[" * 5000: None,
    b'{"id":"x","method":"m"}': None,
    b'{"id":1}': 1,
    b'{"id":1,"method":5}': 1,
}


async def test_what_is_no_command_is_a_bad_request(plane, thread):
    for body, number in NO_COMMANDS.items():
        answer = await plane.call("POST", f"/threads/{thread}/commands", data=body)
        assert answer.status == 400
        assert (answer.json["error"], answer.json["id"]) == ("invalid_argument", number)


async def test_parameters_may_be_null(plane, thread):
    answer = await plane.post(
        f"/threads/{thread}/commands", {"id": 1, "method": "agent.getTree", "params": None}
    )
    assert answer.json["error"] == "no_such_run"
