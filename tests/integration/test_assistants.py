"""Assistants over HTTP: what clients create, find, change and delete."""

import asyncio

import msgspec
import pytest

from duragraph.ids import system_assistant_id
from duragraph.protocol import GraphSpec

UNKNOWN = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
async def served(plane):
    """A plane on which a worker registered the graphs `echo` and `other`."""
    await plane.worker("echo", "other")
    return plane


async def make(plane, **body):
    answer = await plane.post("/assistants", {"graph_id": "echo"} | body)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_registered_graph_has_a_system_assistant(served):
    answer = await served.get(f"/assistants/{system_assistant_id('echo')}")
    assert answer.status == 200
    assert answer.json["name"] == answer.json["graph_id"] == "echo"
    assert answer.json["metadata"] == {"created_by": "system"}


async def test_created_with_the_defaults(served):
    made = await make(served)
    assert made == {
        "assistant_id": made["assistant_id"],
        "graph_id": "echo",
        "name": "Untitled",
        "description": None,
        "config": {},
        "context": {},
        "metadata": {},
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert (await served.get(f"/assistants/{made['assistant_id']}")).json == made


@pytest.mark.parametrize(
    ("given", "kept", "context"),
    [
        ({"context": {"a": 1}}, {"configurable": {"a": 1}}, {"a": 1}),
        ({"config": {"configurable": {"a": 1}, "tags": ["t"]}}, None, {"a": 1}),
        ({"config": {"tags": ["t"]}}, {"tags": ["t"]}, {}),
        ({"context": {"langgraph_auth_user": "me"}}, {}, {}),
        ({"config": {"metadata": {"run_id": "x", "a": 1}}}, {"metadata": {"a": 1}}, {}),
    ],
)
async def test_configurable_and_context_mirror_each_other(served, given, kept, context):
    made = await make(served, **given)
    assert made["config"] == (given["config"] if kept is None else kept)
    assert made["context"] == context


async def test_configurable_beside_context_is_refused(served):
    both = {"graph_id": "echo", "config": {"configurable": {"a": 1}}, "context": {"a": 2}}
    answer = await served.post("/assistants", both)
    assert answer.status == 400
    assert answer.json["detail"].startswith("Cannot specify both configurable and context.")


async def test_a_taken_id_is_a_conflict_unless_told_otherwise(served):
    made = await make(served)
    again = {"assistant_id": made["assistant_id"], "name": "other"}
    answer = await served.post("/assistants", {"graph_id": "echo"} | again)
    assert (answer.status, answer.json["detail"]) == (
        409,
        f"Assistant {made['assistant_id']} already exists",
    )
    assert await make(served, **again, if_exists="do_nothing") == made


async def test_an_unknown_graph_names_those_expected(served):
    for path, body in (("/assistants", {}), ("/assistants/search", {}), ("/assistants/count", {})):
        answer = await served.post(path, body | {"graph_id": "nope"})
        assert answer.status == 404
        assert answer.json["detail"] == (
            "Graph 'nope' not found. Expected one of: ['echo', 'other']"
        )


async def test_an_update_keeps_what_it_omits_and_merges_metadata(served):
    made = await make(served, metadata={"a": 1, "b": 1}, config={"tags": ["t"]}, name="first")
    path = f"/assistants/{made['assistant_id']}"
    updated = (await served.patch(path, {"metadata": {"b": 2}, "description": "d"})).json
    assert updated["version"] == 2
    assert updated["metadata"] == {"a": 1, "b": 2}
    assert (updated["name"], updated["config"]) == ("first", {"tags": ["t"]})
    assert updated["description"] == "d"
    assert updated["updated_at"] > made["updated_at"] == made["created_at"]
    assert (await served.get(path)).json == updated


async def test_what_is_empty_changes_nothing_and_null_is_refused(served):
    made = await make(served, name="", context={"a": 1})
    assert made["name"] == "Untitled"
    path = f"/assistants/{made['assistant_id']}"
    updated = (await served.patch(path, {"name": "", "config": {}, "context": {}})).json
    changed = {"version": 2, "updated_at": updated["updated_at"]}
    assert updated == made | changed
    for field in ("name", "description", "graph_id", "config", "context", "metadata"):
        assert (await served.patch(path, {field: None})).status == 422


async def test_updates_at_once_each_make_a_version(served):
    made = await make(served)
    path = f"/assistants/{made['assistant_id']}"
    answers = await asyncio.gather(*(served.patch(path, {"name": str(n)}) for n in range(8)))
    assert sorted(a.json["version"] for a in answers) == list(range(2, 10))


async def test_updating_nothing_is_not_found(served):
    answer = await served.patch(f"/assistants/{UNKNOWN}", {})
    assert (answer.status, answer.json["detail"]) == (404, f"Assistant {UNKNOWN} not found")


async def test_search_filters_sorts_and_selects(served):
    for name, metadata in (("beta", {"t": {"x": 1, "y": 2}}), ("alphabet", {}), ("z", {"t": 1})):
        await make(served, name=name, metadata=metadata)

    async def names(**body):
        found = (await served.post("/assistants/search", body)).json
        return [row["name"] for row in found]

    assert await names() == ["z", "alphabet", "beta", "other", "echo"]
    assert await names(name="BET") == ["alphabet", "beta"]
    assert await names(metadata={"t": {"x": 1}}) == ["beta"]
    assert await names(graph_id="other") == ["other"]
    assert await names(name="e", sort_by="name", sort_order="asc", limit=2) == ["alphabet", "beta"]
    rows = (await served.post("/assistants/search", {"select": ["name", "version"]})).json
    assert {tuple(row) for row in rows} == {("name", "version")}
    assert (await served.post("/assistants/count", {"graph_id": "echo"})).json == 4


async def test_search_says_in_headers_whether_there_is_more(served):
    answer = await served.post("/assistants/search", {"limit": 1})
    assert answer.headers["X-Pagination-Next"] == "1"
    assert answer.headers["X-Pagination-Total"] == "2"
    answer = await served.post("/assistants/search", {"limit": 1, "offset": 1})
    assert "X-Pagination-Next" not in answer.headers
    assert answer.headers["X-Pagination-Total"] == "2"


async def test_deleting_cancels_its_runs_and_leaves_the_thread(served):
    made = await make(served)
    thread = (await served.post("/threads", {})).json["thread_id"]
    run = {"assistant_id": made["assistant_id"], "input": {}}
    run_id = (await served.post(f"/threads/{thread}/runs", run)).json["run_id"]
    assert (await served.delete(f"/assistants/{made['assistant_id']}")).status == 204
    ended = (await served.get(f"/threads/{thread}/runs/{run_id}")).json
    assert ended["status"] == "interrupted"
    assert (await served.get(f"/threads/{thread}")).json["status"] == "idle"
    answer = await served.delete(f"/assistants/{made['assistant_id']}")
    assert answer.status == 404


async def test_deleting_takes_its_threads_along_if_asked(served):
    made = await make(served)
    kept, lost = [(await served.post("/threads", {})).json["thread_id"] for _ in range(2)]
    run = {"assistant_id": made["assistant_id"], "input": {}}
    assert (await served.post(f"/threads/{lost}/runs", run)).status == 200
    answer = await served.delete(f"/assistants/{made['assistant_id']}?delete_threads=true")
    assert answer.status == 204
    assert (await served.get(f"/threads/{lost}")).status == 404
    assert (await served.get(f"/threads/{kept}")).status == 200


async def test_deleting_leaves_its_thread_to_who_comes_next(served, start_plane):
    made = await make(served)
    thread = (await served.post("/threads", {})).json["thread_id"]
    await served.post(f"/threads/{thread}/runs", {"assistant_id": made["assistant_id"]})
    other = {"assistant_id": "other", "input": {}}
    next_id = (await served.post(f"/threads/{thread}/runs", other)).json["run_id"]
    assert (await served.delete(f"/assistants/{made['assistant_id']}")).status == 204
    hand = await served.worker("other")
    assert (await hand.task()).run_id == next_id


async def test_deleting_tells_the_worker_and_takes_the_versions_along(served):
    made = await make(served)
    path = f"/assistants/{made['assistant_id']}"
    hand = await served.worker("echo")
    await served.post("/runs", {"assistant_id": made["assistant_id"], "input": {}})
    task = await hand.task()
    assert (await served.delete(path + "?delete_threads=true")).status == 204
    assert [c.action for c in (await hand.poll()).control] == ["cancel"]
    assert (await hand.finish(task)).verdict == "cancelled"
    assert (await served.post(path + "/versions", {})).status == 404


async def test_versions_are_listed_newest_first(served):
    made = await make(served, metadata={"a": 1}, name="first")
    path = f"/assistants/{made['assistant_id']}/versions"
    await served.patch(path.removesuffix("/versions"), {"metadata": {"b": 1}, "name": "second"})
    versions = (await served.post(path, {})).json
    assert [v["version"] for v in versions] == [2, 1]
    assert [v["name"] for v in versions] == ["second", "first"]
    assert versions[1].keys() == made.keys() - {"updated_at"}

    async def found(**body):
        answer = await served.post(path, body)
        return [v["version"] for v in answer.json] if answer.status == 200 else answer.status

    assert await found(limit=1) == [2]
    assert await found(limit=1, offset=1) == [1]
    assert await found(metadata={"b": 1}) == [2]
    assert await found(metadata={"c": 1}) == 404
    assert await found(limit=0) == 422


async def test_an_older_version_comes_back_whole_and_the_newer_ones_stay(served):
    made = await make(served, context={"a": 1}, name="first", metadata={"m": 1})
    path = f"/assistants/{made['assistant_id']}"
    changed = {"graph_id": "other", "context": {"a": 2}, "metadata": {"n": 2}, "name": "second"}
    await served.patch(path, changed)
    latest = (await served.post(f"{path}/latest", {"version": 1})).json
    assert latest["updated_at"] > made["updated_at"]
    assert latest == made | {"updated_at": latest["updated_at"]}
    assert (await served.get(path)).json == latest
    assert (await served.patch(path, {"description": "d"})).json["version"] == 3
    versions = (await served.post(f"{path}/versions", {})).json
    assert [v["context"]["a"] for v in versions] == [1, 2, 1]


async def test_a_run_has_the_version_that_is_the_latest(served):
    made = await make(served, context={"a": 1})
    path = f"/assistants/{made['assistant_id']}"

    async def context():
        run = await served.post("/runs", {"assistant_id": made["assistant_id"]})
        return run.json["kwargs"]["context"]

    assert await context() == {"a": 1}
    await served.patch(path, {"context": {"a": 2}})
    assert await context() == {"a": 2}
    await served.post(f"{path}/latest", {"version": 1})
    assert await context() == {"a": 1}


async def test_graph_and_schemas_are_as_the_worker_registered_them(plane):
    drawing = b'{"nodes":[{"id":"__start__"}],"edges":[]}'
    once, twice = b'{"nodes":[{"id":"a:b"}]}', b'{"nodes":[{"id":"a:b:c"}]}'
    schema = b'{"type":"object"}'
    subgraphs = b'{"sub":{"input_schema":null},"sub|in":{}}'
    await plane.worker(
        GraphSpec(
            "deep",
            "1",
            input_schema=schema,
            drawing=drawing,
            drawing_xray=b"[%b,%b]" % (once, twice),
            subgraphs=subgraphs,
        )
    )
    deep = system_assistant_id("deep")
    assert (await plane.get("/assistants/deep/graph")).body == drawing
    assert (await plane.get(f"/assistants/{deep}/graph?xray=false")).body == drawing
    for xray, drawn in (("1", once), ("01", once), ("2", twice), ("9", twice), ("true", twice)):
        assert (await plane.get(f"/assistants/{deep}/graph?xray={xray}")).body == drawn
    assert (await plane.get(f"/assistants/{deep}/graph?xray=")).body == drawing
    assert (await plane.get(f"/assistants/{deep}/graph?xray=%0A")).body == drawing
    nested = msgspec.json.decode(subgraphs)
    sub = {"sub": nested["sub"]}
    for query, expected in (
        ("", sub),
        ("?recurse=true", nested),
        ("/sub", sub),
        ("/sub?recurse=true", sub),
        ("/sub%7Cin", {}),
        ("/sub%7Cin?recurse=true", {"sub|in": {}}),
        ("/nope", {}),
    ):
        assert (await plane.get(f"/assistants/{deep}/subgraphs{query}")).json == expected, query
    schemas = (await plane.get(f"/assistants/{deep}/schemas")).json
    assert schemas == {
        "graph_id": "deep",
        "input_schema": {"type": "object"},
        "output_schema": None,
        "state_schema": None,
        "config_schema": None,
        "context_schema": None,
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/assistants/echo/graph?xray=0", 422),
        ("/assistants/echo/graph?xray=deep", 422),
        ("/assistants/nope/graph", 404),
        ("/assistants/echo", 422),
        (f"/assistants/{UNKNOWN}", 404),
        (f"/assistants/{UNKNOWN}/graph", 404),
        (f"/assistants/{UNKNOWN}/schemas", 404),
        (f"/assistants/{UNKNOWN}/subgraphs", 404),
        (f"/assistants/{UNKNOWN}/subgraphs/sub", 404),
    ],
)
async def test_what_is_not_there(served, path, status):
    assert (await served.get(path)).status == status


async def test_versions_that_are_not_there(served):
    made = (await make(served))["assistant_id"]
    for assistant_id, version, status, detail in (
        (made, 9, 404, f"Version 9 not found for assistant {made}"),
        (UNKNOWN, 1, 404, f"Assistant {UNKNOWN} not found"),
        (made, None, 422, None),
        (made, 2**40, 422, None),
    ):
        answer = await served.post(f"/assistants/{assistant_id}/latest", {"version": version})
        assert answer.status == status
        assert detail is None or answer.json["detail"] == detail
    assert (await served.post(f"/assistants/{UNKNOWN}/versions", {})).status == 404
