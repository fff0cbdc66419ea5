"""Crons: made, found, changed and refused. Their schedule is due once a year, so none fires."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import new_thread
from tests.conformance.wire import Wire

NOBODY = "00000000-0000-4000-8000-000000000000"
ECHO = {"assistant_id": "echo", "schedule": "0 0 1 1 *"}
CRONS = "/runs/crons"


async def new_cron(wire: Wire, **fields: Any) -> str:
    """The path of a cron without a thread."""
    made = await wire.post(CRONS, {**ECHO, **fields})
    return f"{CRONS}/{made['cron_id']}"


async def life(wire: Wire) -> None:
    cron = await new_cron(wire, input={"msg": "hi"}, metadata={"a": 1, "n": {"x": 1}})
    await wire.get(cron)
    await wire.call("HEAD", cron)
    await wire.delete(cron)
    for missing in (cron, f"{CRONS}/{NOBODY}", f"{CRONS}/nope"):
        await wire.get(missing)
        await wire.patch(missing, {"enabled": True})
        await wire.patch(missing, {})
        await wire.delete(missing)


async def fields(wire: Wire) -> None:
    """Each field, alone and all together, and what becomes of keys that are the server's."""
    everything = {
        "input": {"msg": "hi"},
        "metadata": {"a": 1, "cron_id": "mine", "run_id": "mine"},
        "config": {"configurable": {"suffix": "!", "langgraph_request_id": "mine"}, "tags": ["t"]},
        "interrupt_before": ["echo"],
        "interrupt_after": "*",
        "enabled": False,
        "timezone": "Europe/Berlin",
        "stream_mode": ["values", "updates"],
        "stream_subgraphs": True,
        "stream_resumable": True,
        "durability": "sync",
        "multitask_strategy": "reject",
        "checkpoint_during": False,
    }
    await wire.post(CRONS, {**ECHO, **everything, "on_run_completed": "keep"})
    thread = await new_thread(wire)
    await wire.post(f"{thread}{CRONS}", {**ECHO, **everything})
    await wire.post(f"{thread}{CRONS}", {**ECHO, "on_run_completed": "keep"})
    for some in (
        {},
        {"context": {"suffix": "?"}},
        {"context": {"langgraph_auth_user": 1}},
        {"config": {"recursion_limit": 7, "metadata": {"m": 1}}},
        {"input": [{"msg": "a"}]},
        {"stream_mode": "values"},
        {"on_run_completed": "delete"},
        {"timezone": "UTC"},
        {"end_time": "2030-01-01T00:00:00+02:00"},
        {"end_time": "2030-01-01T00:00:00"},
        {"end_time": "2020-01-01T00:00:00Z"},
    ):
        await wire.post(CRONS, {**ECHO, **some})


async def schedules(wire: Wire) -> None:
    for schedule in (
        "@yearly",
        "@annually",
        "  0 0 1 1 *  ",
        "0\t0 1 JAN *",
        "0 0 1 1 ?",
        "0,30 0-5/2 1 jan *",
        "zz",
        "",
        "@reboot",
        "@every 5m",
        "0 0 * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "0 0 * * 8",
        "*/0 * * * *",
        "1,,2 * * * *",
        "0 0 1 1 * 2030",
        "0 0 31 2 *",
        3,
        None,
    ):
        await wire.post(CRONS, {**ECHO, "schedule": schedule})
    for timezone in ("Asia/Tokyo", "EST", "X/Y", "europe/berlin", "", "../etc", 3, None):
        await wire.post(CRONS, {**ECHO, "timezone": timezone})


async def refused(wire: Wire) -> None:
    thread = await new_thread(wire)
    for wrong in (
        {"assistant_id": "nope"},
        {"assistant_id": NOBODY},
        {"assistant_id": 3},
        {"assistant_id": "nope", "schedule": "zz"},
        {"schedule": "zz", "timezone": "nope"},
        {"end_time": 3},
        {"end_time": "nope"},
        {"enabled": "x"},
        {"enabled": None},
        {"metadata": None},
        {"metadata": 3},
        {"config": 3},
        {"config": {"configurable": {"a": 1}}, "context": {"b": 1}},
        {"input": None},
        {"input": 3},
        {"on_run_completed": "nope"},
        {"on_run_completed": None},
        {"stream_mode": "nope"},
        {"durability": "nope"},
        {"webhook": ""},
        {"webhook": 3},
        {"webhook": "/loop"},
        {"webhook": None},
        {"interrupt_before": 3},
        {"multitask_strategy": "nope"},
        {"unheard": "of"},
    ):
        for path in (CRONS, f"{thread}{CRONS}"):
            await wire.post(path, {**ECHO, **wrong})
    for path in (CRONS, f"{CRONS}/search", f"{CRONS}/count", f"{thread}{CRONS}"):
        for body in (b"", b"{", b"[]", b"null"):
            await wire.post(path, body)
    for body in ({}, {"schedule": "* * * * *"}, {"assistant_id": "echo"}):
        await wire.post(CRONS, body)
    for nowhere in (f"/threads/{NOBODY}", "/threads/nope"):
        await wire.post(f"{nowhere}{CRONS}", ECHO)
    for method, path in (("PUT", CRONS), ("GET", CRONS), ("PUT", f"{CRONS}/search")):
        await wire.call(method, path)


async def changes(wire: Wire) -> None:
    thread = await new_thread(wire)
    made = await wire.post(f"{thread}{CRONS}", {**ECHO, "metadata": {"a": 1, "n": {"x": 1}}})
    for cron in (f"{CRONS}/{made['cron_id']}", await new_cron(wire, context={"suffix": "!"})):
        for fields in (
            {},
            {"schedule": "0 0 2 1 *"},
            {"schedule": "zz"},
            {"timezone": "Asia/Tokyo"},
            {"timezone": "X/Y"},
            {"timezone": None},
            {"end_time": "2031-01-01T00:00:00Z"},
            {"input": {"msg": "b"}},
            {"end_time": None},
            {"end_time": 3},
            {"metadata": {"z": 1, "n": {"y": 1}, "cron_id": "mine"}},
            {"metadata": None},
            {"config": {"tags": ["t"], "configurable": {"cron_id": "mine"}}},
            {"interrupt_before": "*"},
            {"enabled": False},
            {"enabled": True},
            {"enabled": None},
            {"stream_mode": "updates"},
            {"durability": "exit"},
            {"multitask_strategy": "reject"},
            {"on_run_completed": "keep"},
            {"on_run_completed": None},
            {"webhook": "/loop"},
        ):
            await wire.patch(cron, fields)
        for body in (b"", b"[]", b"null"):
            await wire.call("PATCH", cron, body)


async def search(wire: Wire) -> None:
    tag = {"tag": str(uuid4())}
    thread = await new_thread(wire)
    assistant = await wire.post("/assistants", {"graph_id": "echo"})
    chosen = {"assistant_id": assistant["assistant_id"]}
    for fields in (
        {},
        {"enabled": False},
        {"schedule": "0 0 1 2 *", "metadata": {**tag, "n": {"a": 1, "b": 2}}},
        chosen,
    ):
        await wire.post(CRONS, {**ECHO, "metadata": tag, **fields})
    await wire.post(f"{thread}{CRONS}", {**ECHO, "metadata": tag})
    where = {"thread_id": thread.rpartition("/")[2]}
    brief = {"metadata": tag, "select": ["cron_id", "schedule", "enabled"]}
    for fields in (
        {},
        {"limit": 2},
        {"limit": 2, "offset": 4},
        {"offset": 99},
        {"enabled": False},
        where,
        chosen,
        {"assistant_id": NOBODY},
        {"metadata": {**tag, "n": {"a": 1}}},
        *(
            {"sort_by": column, "sort_order": order}
            for column in ("cron_id", "thread_id", "next_run_date", "created_at", "updated_at")
            for order in ("asc", "desc")
        ),
        {"sort_by": "end_time"},
        {"unheard": "of"},
        {"select": []},
    ):
        await wire.post(f"{CRONS}/search", {**brief, **fields})
    for wrong in (
        {"limit": 0},
        {"limit": 1001},
        {"offset": -1},
        {"sort_by": "schedule"},
        {"sort_order": "up"},
        {"select": ["nope"]},
        {"metadata": None},
        {"thread_id": "nope"},
        {"assistant_id": "echo"},
    ):
        await wire.post(f"{CRONS}/search", {**brief, **wrong})
    for fields in ({}, where, chosen, {"assistant_id": "echo"}, {"thread_id": "nope"}):
        await wire.post(f"{CRONS}/count", {"metadata": tag, **fields})
    await wire.delete(f"/assistants/{assistant['assistant_id']}")
    await wire.delete(thread)
    await wire.post(f"{CRONS}/count", {"metadata": tag})


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    life,
    fields,
    schedules,
    refused,
    changes,
    search,
)
