"""The plane describes itself, and says how it is, to whoever asks."""

import re
from itertools import groupby

import pytest

from duragraph.api import ROUTES, docs, openapi

HTML_HOSTILE = "<script>alert('&\"')</script>"


def references(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if "$ref" in value else []
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_the_description_names_every_route_but_the_workers(plane):
    found = (await plane.get("/openapi.json")).json
    described = {(m.upper(), p) for p, ops in found["paths"].items() for m in ops}
    assert described == {(r.method, r.path) for r in ROUTES if not r.path.startswith("/workers")}
    ids = [op["operationId"] for ops in found["paths"].values() for op in ops.values()]
    assert found["openapi"] == "3.1.0"
    assert len(set(ids)) >= len(ids) - 1, "only / and /ok are one operation"


def test_every_reference_leads_somewhere():
    found = openapi.document(ROUTES)
    for reference in references(found):
        target = found
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_routes_of_one_path_stand_together():
    paths = [path for path, _ in groupby(ROUTES, key=lambda route: route.path)]
    assert len(paths) == len(set(paths)), "what stands apart is shadowed by the 405 of the first"


async def test_a_literal_path_is_never_taken_for_an_id(plane):
    answer = await plane.call("PUT", "/threads/search")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_selected_rows_may_lack_keys():
    found = openapi.document(ROUTES)["paths"]["/threads/search"]["post"]["responses"]["200"]
    row = found["content"]["application/json"]["schema"]["items"]
    assert "required" not in row
    assert "thread_id" in row["properties"]


async def test_the_page_loads_nothing_and_runs_nothing(plane):
    answer = await plane.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    page = answer.body.decode()
    assert "/threads/{thread_id}/state" in page
    assert not re.search(r"https?://|<script|<link|<img|\son\w+=", page)


def test_the_page_escapes_what_is_described():
    info = {"title": HTML_HOSTILE, "version": HTML_HOSTILE, "description": HTML_HOSTILE}
    operation = {"tags": [HTML_HOSTILE], "description": HTML_HOSTILE, "responses": {}}
    document = {
        "info": info,
        "paths": {HTML_HOSTILE: {"get": operation}},
        "components": {"schemas": {HTML_HOSTILE: {"description": HTML_HOSTILE}}},
    }
    assert "<script" not in docs.page(document)


async def test_ok_looks_at_the_database_if_asked(plane):
    assert (await plane.get("/ok")).json == {"ok": True, "services": {}}
    assert (await plane.get("/")).json == {"ok": True, "services": {}}
    answer = await plane.get("/ok?check_db=1")
    assert answer.json == {"ok": True, "services": {"database": "healthy"}}


async def test_info_has_what_clients_look_for(plane):
    found = (await plane.get("/info")).json
    assert found.keys() == {"version", "langgraph_py_version", "flags", "host"}
    assert found["flags"]["assistants"] is True


async def test_metrics_count_runs_and_requests(plane):
    await plane.worker("echo", slots=3)
    await plane.post("/threads", {})
    run = {"assistant_id": "echo", "input": {}}
    for _ in range(2):
        assert (await plane.post("/runs", run)).status == 200
    answer = await plane.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    assert 'duragraph_runs{graph="echo",status="pending"} 2.0' in text
    assert "duragraph_worker_slots 3.0" in text
    assert re.search(
        r'duragraph_http_requests_total{method="POST",path="/threads",status="200"} [1-9]', text
    )
    found = (await plane.get("/metrics?format=json")).json
    assert (found["queue"]["n_pending"], found["queue"]["n_running"]) == (2, 0)
    assert found["workers"] == {"max": 3, "active": 0, "available": 3}
    assert {"method": "POST", "path": "/threads", "status": 200} in [
        {k: v for k, v in row.items() if k != "count"}
        for row in found["api"]["http_requests_total"]
    ]


@pytest.mark.parametrize("path", ["/", "/ok", "/info", "/metrics", "/openapi.json", "/docs"])
async def test_none_of_it_needs_a_key(start_plane, path):
    plane = await start_plane(api_keys=("secret",))
    assert (await plane.get(path)).status == 200
    assert (await plane.post("/threads/search", {})).status == 401
    headers = {"x-api-key": "secret"}
    assert (await plane.post("/threads/search", {}, headers=headers)).status == 200
