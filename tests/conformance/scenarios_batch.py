"""Many runs at once: batches, cancels of many, lists of a thread's runs."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.scenarios import look, new_thread, settled
from tests.conformance.scenarios_runs import ECHO, HANG, QUICK, hanging
from tests.conformance.wire import Wire

NOBODY = "00000000-0000-4000-8000-000000000000"
LATER = {**QUICK, "after_seconds": 60}


async def batches(wire: Wire) -> None:
    camel = {"assistantId": "echo", "streamMode": "values", "multitaskStrategy": "nope"}
    for bodies in (
        [ECHO],
        [ECHO, QUICK],
        [{**ECHO, **camel}],
        [{**ECHO, "metadata": {"a": 1}}, {**ECHO, "on_completion": "keep"}],
        [{**ECHO, "if_not_exists": "create", "multitask_strategy": "reject"}],
    ):
        made = await wire.call("POST", "/runs/batch", bodies)
        for run in made.json:
            await settled(wire, f"/threads/{run['thread_id']}")


async def bad_batches(wire: Wire) -> None:
    bodies: tuple[Any, ...] = (
        [],
        {},
        ECHO,
        None,
        b"",
        b"[",
        [1],
        [None],
        [{}],
        [ECHO, {}],
        [ECHO, {"assistant_id": "nope"}],
        [ECHO, {"assistant_id": NOBODY}],
        [ECHO, {**ECHO, "stream_mode": "nope"}],
        [ECHO, {**ECHO, "command": {"resume": 1}}],
        [ECHO, {**ECHO, "checkpoint_id": "nope"}],
        [ECHO, {**ECHO, "context": {"a": 1}, "config": {"configurable": {"a": 1}}}],
    )
    for body in bodies:
        await wire.call("POST", "/runs/batch", body)


async def cancel_some(wire: Wire) -> None:
    """By their ids: running, in line, delayed, unknown, finished."""
    for query in ("", "?action=interrupt", "?action=rollback", "?action=nope"):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", QUICK)
        await settled(wire, thread)
        flight, run = await hanging(wire, thread)
        line = [await wire.post(f"{thread}/runs", body) for body in (HANG, LATER)]
        running = run.rpartition("/")[2]
        thread_id = thread.rpartition("/")[2]

        async def cancel(*run_ids: str, thread_id: str = thread_id, query: str = query) -> None:
            body = {"thread_id": thread_id, "run_ids": run_ids}
            await wire.post(f"/runs/cancel{query}", body)

        await cancel(line[1]["run_id"], NOBODY)
        await cancel(running, line[0]["run_id"])
        await flight.ends()
        await look(wire, thread)
        await wire.get(f"{thread}/runs?select=run_id&select=status")
        await cancel(running)
        await cancel()
        await cancel(NOBODY)


async def bad_cancels(wire: Wire) -> None:
    thread = (await new_thread(wire)).rpartition("/")[2]
    bodies: tuple[Any, ...] = (
        {},
        {"status": "nope"},
        {"status": None},
        {"status": "all", "thread_id": thread, "run_ids": [NOBODY]},
        {"thread_id": thread},
        {"run_ids": [NOBODY]},
        {"thread_id": "nope", "run_ids": [NOBODY]},
        {"thread_id": thread, "run_ids": ["nope"]},
        {"thread_id": thread, "run_ids": "nope"},
        {"thread_id": thread, "run_ids": None},
        {"thread_id": thread, "run_ids": []},
        {"thread_id": thread, "run_ids": [NOBODY]},
        {"thread_id": NOBODY, "run_ids": [NOBODY]},
        [],
        None,
        b"",
        b"{",
    )
    for body in bodies:
        await wire.call("POST", "/runs/cancel", body)


async def lists(wire: Wire) -> None:
    """The runs of a thread, asked for in all ways."""
    thread = await new_thread(wire)
    for _ in range(3):
        await wire.post(f"{thread}/runs/wait", QUICK)
        await settled(wire, thread)
    for query in (
        "",
        "?limit=0",
        "?limit=2",
        "?limit=2&offset=2",
        "?limit=5000",
        "?offset=9",
        "?status=success",
        "?status=pending",
        "?select=run_id",
        "?select=run_id&select=status&select=langsmith_session_name",
        "?select=run_id&limit=1",
        "?select=nope",
    ):
        await wire.get(f"{thread}/runs{query}")


async def feedback(wire: Wire) -> None:
    """There is nobody to ask for addresses where feedback could be left."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", {**ECHO, "feedback_keys": []})
    await wire.post(f"{thread}/runs/wait", {**ECHO, "feedback_keys": ["score"]})
    await wire.post(f"{thread}/runs", {**ECHO, "feedback_keys": "score"})
    await wire.post(f"{thread}/runs", {**ECHO, "feedback_keys": [3]})


async def strict_resumes(wire: Wire) -> None:
    ask = {"assistant_id": "interrupt", "stream_mode": "values"}
    thread = await new_thread(wire)
    asked = await wire.post(f"{thread}/runs/wait", {**ask, "input": {"title": ""}})
    known, unknown = asked["__interrupt__"][0]["id"], "0" * 32
    for interrupt_id, strict in ((known, True), (unknown, False), (unknown, None), (unknown, True)):
        body = {**ask, "strict_resume": strict, "command": {"resume": {interrupt_id: "T"}}}
        await wire.post(f"{thread}/runs/wait", body)
        await look(wire, thread)


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    batches,
    bad_batches,
    cancel_some,
    bad_cancels,
    lists,
    feedback,
    strict_resumes,
)
