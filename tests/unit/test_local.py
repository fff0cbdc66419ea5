"""Runs with no server: results, threads in memory and on disk, streams, sync twins."""

import asyncio
import operator
import socket
from pathlib import Path
from typing import Any

import pytest

from duragraph.errors import Conflict
from duragraph.usage import Usage
from duragraph_worker.command import Command
from duragraph_worker.local.runs import Local, Part
from tests.unit.plans import (
    ASK,
    CYCLE,
    ECHO,
    ERROR,
    FAN,
    SUB,
    channels,
    node,
    plan,
)


def test_a_run_ends_with_its_output_and_supersteps():
    result = Local(FAN).run({"items": ["x"]})
    assert result.status == "success"
    assert result.output == {"items": ["x", "b", "c"], "total": 3}
    assert result.steps == 3
    assert result.error is None


def test_a_failed_node_is_an_error_with_its_exception():
    result = Local(ERROR).run({"kind": "v"})
    assert result.status == "error"
    assert isinstance(result.error, ValueError)
    assert str(result.error) == "boom"
    assert result.output == {"kind": "v", "out": ["fine"]}


def test_raise_error_raises_it():
    with pytest.raises(ValueError, match="boom"):
        Local(ERROR).run({"kind": "v"}, raise_error=True)


def test_an_interrupt_is_answered_on_its_thread():
    app = Local(ASK)
    first = app.run({"q": "?"}, thread_id="t")
    assert first.status == "interrupted"
    assert [each.value for each in first.interrupts] == [{"q": "first"}]
    assert app.get_state("t").next == ("ask",)
    app.resume("t", "A")
    last = app.resume("t", "B")
    assert last.status == "success"
    assert last.output["answers"] == ["pre", "A", "B", "post"]
    assert app.get_state("t").next == ()


def test_an_interrupted_run_without_a_thread_id_can_be_resumed():
    app = Local(ASK)
    first = app.run({"q": "?"})
    assert app.resume(first.thread_id, {first.interrupts[0].id: "A"}).interrupts


def test_a_thread_remembers_and_another_instance_does_not():
    app = Local(FAN)
    app.run({"items": ["x"]}, thread_id="t")
    assert app.run({"items": ["y"]}, thread_id="t").output["items"] == list("xbcybc")
    assert Local(FAN).get_state("t").values == {}


def test_threads_on_disk_outlive_the_instance(tmp_path: Path):
    Local(ASK, threads=tmp_path).run({"q": "?"}, thread_id="a/b")
    again = Local(ASK, threads=tmp_path)
    again.resume("a/b", "A")
    assert again.resume("a/b", "B").output["answers"] == ["pre", "A", "B", "post"]


def test_a_thread_file_torn_anywhere_opens_and_goes_on(tmp_path: Path):
    Local(CYCLE, threads=tmp_path).run({"stop": 3}, thread_id="t")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for end in range(0, len(whole), 97):
        file.write_bytes(whole[:end])
        app = Local(CYCLE, threads=tmp_path)
        if app.get_state("t").checkpoint_id is not None:
            app.run(None, thread_id="t")
            assert app.get_state("t").values == {"n": 3, "stop": 3}


def test_history_is_newest_first_and_update_state_adds_to_it():
    app = Local(CYCLE)
    app.run({"stop": 2}, thread_id="t")
    state = app.update_state("t", {"n": 0}, as_node="tick")
    assert state.values["n"] == 0
    history = app.get_history("t")
    assert [each.metadata["step"] for each in history] == [3, 2, 1, 0, -1]
    assert history[1].values["n"] == 2


def test_update_state_raises_what_is_wrong():
    app = Local(CYCLE)
    app.run({"stop": 2}, thread_id="t")
    with pytest.raises(Exception, match="Node nope does not exist"):
        app.update_state("t", {"n": 0}, as_node="nope")


async def test_a_stream_yields_parts_by_mode():
    app = Local(FAN)
    parts = [
        part async for part in app.astream({"items": ["x"]}, stream_mode=["updates", "custom"])
    ]
    assert parts[0] == Part("updates", {"a": None})
    assert Part("custom", {"from": "c"}) in parts
    assert parts[-1] == Part("updates", {"d": {"total": 3}})


async def test_a_stream_of_subgraphs_names_them():
    app = Local(SUB)
    events = [part.event async for part in app.astream({"topic": "t"}, subgraphs=True)]
    assert any(event.startswith("values|sub:") for event in events)


async def test_a_stream_ends_with_the_error():
    parts = [part async for part in Local(ERROR).astream({"kind": "v"})]
    assert parts[-1] == Part("error", {"error": "ValueError", "message": "boom"})


async def test_leaving_a_stream_cancels_its_run():
    ended = asyncio.Event()

    async def forever(state: Any, ctx: Any) -> Any:
        try:
            await ctx.emit("begun")
            await asyncio.Event().wait()
        finally:
            ended.set()

    stream = Local(plan(node("n", forever))).astream({}, stream_mode="custom")
    assert (await anext(stream)).data == "begun"
    await stream.aclose()
    await asyncio.wait_for(ended.wait(), 5)


async def test_sync_twins_work_inside_a_running_loop():
    assert Local(ECHO).run({"msg": "hi"}).output == {"msg": "hi", "out": "hi"}


async def test_a_thread_has_one_run_at_a_time():
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(state: Any, ctx: Any) -> Any:
        begun.set()
        await go.wait()

    app = Local(plan(node("n", wait)))
    running = asyncio.create_task(app.arun({}, thread_id="t"))
    await asyncio.wait_for(begun.wait(), 5)
    with pytest.raises(Conflict, match="Thread t is running"):
        await app.arun({}, thread_id="t")
    go.set()
    assert (await running).status == "success"


def test_a_command_updates_and_jumps():
    app = Local(CYCLE)
    app.run({"stop": 2}, thread_id="t")
    result = app.run(None, thread_id="t", command=Command(update={"n": 0}, goto="tick"))
    assert result.output == {"n": 2, "stop": 2}


def test_output_keys_choose_the_output():
    graph = plan(
        node("n", lambda s, ctx: {"a": 1, "b": 2}),
        channels=channels("a", "b"),
        output_keys=("b",),
    )
    assert Local(graph).run({}).output == {"b": 2}


def test_usage_adds_up_what_models_report():
    def chat(state: Any, ctx: Any) -> Any:
        for _ in range(2):
            ctx.usage(Usage(model="m", provider="p", total_tokens=5))

    assert Local(plan(node("n", chat))).run({}).usage["total_tokens"] == 10


def test_a_local_run_opens_no_socket(monkeypatch: pytest.MonkeyPatch):
    loop = asyncio.new_event_loop()
    app = Local(plan(node("n", lambda s, c: {"log": [1]}), channels=channels(log=operator.add)))

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a local run opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    try:
        assert loop.run_until_complete(app.arun({})).status == "success"
    finally:
        loop.close()
