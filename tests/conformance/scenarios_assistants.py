"""Assistants beyond their making: versions, the way back to one, subgraphs, deletion."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import new_thread
from tests.conformance.scenarios_runs import ECHO, hanging
from tests.conformance.wire import Wire

NOBODY = "00000000-0000-4000-8000-000000000000"


async def versions(wire: Wire) -> None:
    """Three versions, each asked for in many ways."""
    first = {"graph_id": "echo", "context": {"suffix": "1"}, "metadata": {"a": 1}, "name": "one"}
    made = await wire.post("/assistants", {**first, "description": "first"})
    path = f"/assistants/{made['assistant_id']}"
    await wire.patch(path, {"metadata": {"b": {"c": 1}}, "context": {"suffix": "2"}})
    await wire.patch(path, {"name": "three", "description": "third", "config": {"tags": ["t"]}})
    for fields in (
        {},
        {"limit": 1},
        {"limit": 1, "offset": 1},
        {"limit": 1000, "offset": 2},
        {"offset": 3},
        {"metadata": {"b": {"c": 1}}},
        {"metadata": {"b": {"c": 1}}, "limit": 1, "offset": 1},
        {"metadata": {"nope": 1}},
        {"unknown": "key"},
    ):
        await wire.post(f"{path}/versions", fields)
    for wrong in (
        {"limit": 0},
        {"limit": 1001},
        {"limit": "x"},
        {"limit": None},
        {"offset": -1},
        {"metadata": None},
        {"metadata": "x"},
        b"",
        b"[]",
    ):
        await wire.post(f"{path}/versions", wrong)
    await wire.delete(path)
    for missing in (path, f"/assistants/{NOBODY}", "/assistants/echo"):
        await wire.post(f"{missing}/versions", {})


async def latest(wire: Wire) -> None:
    """Back to an older version and on from there; runs have what it says."""
    made = await wire.post("/assistants", {"graph_id": "echo", "context": {"suffix": "1"}})
    path = f"/assistants/{made['assistant_id']}"
    await wire.patch(path, {"context": {"suffix": "2"}, "metadata": {"b": 1}, "name": "two"})
    body = {**ECHO, "assistant_id": made["assistant_id"]}
    await wire.post("/runs/wait", body)
    for version in (1, 2, 1):
        await wire.post(f"{path}/latest", {"version": version})
        await wire.get(path)
        await wire.post("/runs/wait", body)
    for wrong in (9, 0, -1, "1", None, 1.5, [1]):
        await wire.post(f"{path}/latest", {"version": wrong})
    await wire.post(f"{path}/latest", {})
    await wire.post(f"{path}/latest", b"")
    await wire.post(f"{path}/latest", b"1")
    await wire.patch(path, {"name": "three"})
    await wire.post(f"{path}/versions", {})
    await wire.delete(path)
    for missing in (path, f"/assistants/{NOBODY}", "/assistants/echo"):
        await wire.post(f"{missing}/latest", {"version": 1})


async def subgraphs(wire: Wire) -> None:
    for graph in ("subgraph", "nested", "echo"):
        await wire.post(
            "/assistants/search", {"graph_id": graph, "metadata": {"created_by": "system"}}
        )
        path = f"/assistants/{wire.exchanges[-1].json[0]['assistant_id']}/subgraphs"
        for rest in (
            "",
            "?recurse=true",
            "?recurse=false",
            "?recurse=1",
            "/research",
            "/research?recurse=true",
            "/middle",
            "/middle%7Cdeep",
            "/middle%7Cdeep?recurse=true",
            "/nope",
            "/research%7Cnope?recurse=true",
            "/nope?recurse=true",
        ):
            await wire.get(path + rest)
    for missing in (NOBODY, "echo"):
        for rest in ("", "/research", "?recurse=true"):
            await wire.get(f"/assistants/{missing}/subgraphs{rest}")


async def drawings(wire: Wire) -> None:
    """Subgraphs unfolded as deep as asked for."""
    for xray in ("true", "True", "1", "01", "2", "3", "99", "false", "", "TRUE", "0", "-1", "1.5"):
        await wire.get(f"/assistants/nested/graph?xray={xray}")


async def deletions(wire: Wire) -> None:
    """What becomes of its runs and threads."""
    for query in ("", "?delete_threads=false", "?delete_threads=true"):
        made = await wire.post("/assistants", {"graph_id": "cycle"})
        own = {"assistant_id": made["assistant_id"]}
        idle = await new_thread(wire)
        await wire.post(f"{idle}/runs/wait", {**own, "input": {"n": 0, "limit": 1, "hang_at": 0}})
        thread = await new_thread(wire)
        flight, run = await hanging(wire, thread, **own)
        await wire.delete(f"/assistants/{made['assistant_id']}{query}")
        await flight.ends()
        await wire.get(idle)
        await wire.get(run)
        await wire.delete(f"/assistants/{made['assistant_id']}{query}")
        await wire.post("/runs/wait", own)


async def searches(wire: Wire) -> None:
    """Every way to sort and to filter, and the bounds of what may be asked."""
    tag = {"tag": str(uuid4())}
    paths = []
    for graph, name in (("echo", "Beta"), ("cycle", "alpha"), ("echo", "gamma_%")):
        made = await wire.post("/assistants", {"graph_id": graph, "name": name, "metadata": tag})
        paths.append(f"/assistants/{made['assistant_id']}")
    await wire.patch(paths[0], {"description": "changed last"})
    for sort_by in ("created_at", "updated_at", "name", "graph_id"):
        for order in ({}, {"sort_order": "asc"}, {"sort_order": "desc"}):
            await wire.post("/assistants/search", {"metadata": tag, "sort_by": sort_by, **order})
    filters: tuple[dict[str, Any], ...] = (
        {"name": "A"},
        {"name": "%"},
        {"name": "_"},
        {"name": ""},
        {"graph_id": "echo", "limit": 1},
        {"limit": 1000},
        {"offset": 2},
        {"offset": 99},
        {"select": []},
    )
    for fields in filters:
        await wire.post("/assistants/search", {"metadata": tag, **fields})
        count = {k: v for k, v in fields.items() if k in {"name", "graph_id"}}
        await wire.post("/assistants/count", {"metadata": tag, **count})
    for wrong in (
        {"sort_by": "nope"},
        {"sort_order": "up"},
        {"offset": -1},
        {"metadata": None},
        {"name": 3},
        {"select": "name"},
    ):
        await wire.post("/assistants/search", wrong)
    for path in paths:
        await wire.delete(path)


async def creations(wire: Wire) -> None:
    """Bodies that the server must refuse, and what it keeps of the others."""
    for fields in (
        {},
        {"graph_id": None},
        {"graph_id": 3},
        {"graph_id": "echo", "assistant_id": "nope"},
        {"graph_id": "echo", "if_exists": "nope"},
        {"graph_id": "echo", "metadata": None},
        {"graph_id": "echo", "metadata": []},
        {"graph_id": "echo", "config": None},
        {"graph_id": "echo", "config": {"configurable": 3}},
        {"graph_id": "echo", "config": {"recursion_limit": "x"}},
        {"graph_id": "echo", "context": []},
        {"graph_id": "echo", "name": 3},
    ):
        await wire.post("/assistants", fields)
    kept: tuple[dict[str, Any], ...] = (
        {"description": None},
        {"config": {"configurable": {"a": {"b": [1]}}, "tags": ["t"]}},
        {"config": {"metadata": {"run_id": "mine", "k": 1}}, "metadata": {"thread_id": "mine"}},
        {"context": {"langgraph_auth_user": "me", "a": 1}},
    )
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"description": None},
        {"config": {}},
        {"context": {}},
        {"name": None},
    )
    for fields in kept:
        made = await wire.post("/assistants", {"graph_id": "echo", **fields})
        path = f"/assistants/{made['assistant_id']}"
        for change in changes:
            await wire.patch(path, change)
        await wire.patch(path, {"graph_id": "nope"})
        await wire.patch(path, {"context": {"a": 2}, "config": {"configurable": {"a": 3}}})
        await wire.delete(path)


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    versions,
    latest,
    subgraphs,
    drawings,
    deletions,
    searches,
    creations,
)
