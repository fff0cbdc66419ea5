"""`POST /runs/batch`: a run for each body, or none."""

import asyncpg
import pytest

from duragraph import creates

RUN = {"assistant_id": "g", "input": {}}
UNKNOWN = "22222222-2222-2222-2222-222222222222"


async def count(database_url):
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval("select count(*) from run")
    finally:
        await connection.close()


@pytest.fixture
async def hand(plane):
    return await plane.worker("g", "h")


async def test_each_body_makes_a_run_on_a_thread_of_its_own(plane, hand):
    # What the JavaScript client leaves beside its own names is ignored.
    camel = {"assistantId": "g", "streamMode": "values", "multitaskStrategy": "none"}
    bodies = [RUN | {"metadata": {"n": n}} | camel for n in range(3)]
    bodies.append({"assistant_id": "h", "on_completion": "keep"})
    made = (await plane.post("/runs/batch", bodies)).json
    assert [run["metadata"].get("n") for run in made] == [0, 1, 2, None]
    assert {run["status"] for run in made} == {"pending"}
    assert len({run["thread_id"] for run in made}) == 4
    taken = set()
    while len(taken) < 4:
        taken |= {task.run_id for task in (await hand.poll()).tasks}
    assert taken == {run["run_id"] for run in made}


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ({"assistant_id": "nope"}, 422),
        ({"assistant_id": UNKNOWN}, 404),
        (RUN | {"stream_mode": "nope"}, 422),
        (RUN | {"command": {"resume": 1}}, 400),
        (RUN | {"config": {"configurable": {"a": 1}}, "context": {"a": 1}}, 400),
        (1, 422),
    ],
)
async def test_one_bad_body_and_none_is_made(plane, hand, database_url, bad, status):
    assert (await plane.post("/runs/batch", [RUN, bad, RUN])).status == status
    assert await count(database_url) == 0


async def test_an_assistant_that_changed_elsewhere_costs_no_run(
    plane, hand, start_plane, database_url, monkeypatch
):
    monkeypatch.setattr(creates, "MOST", 1)
    made = (await plane.post("/assistants", {"graph_id": "g"})).json["assistant_id"]
    body = {"assistant_id": made}
    assert (await plane.post("/runs/batch", [RUN, body])).status == 200
    elsewhere = await start_plane()
    await elsewhere.patch(f"/assistants/{made}", {"context": {"a": 1}})
    runs = (await plane.post("/runs/batch", [RUN, body])).json
    assert [run["kwargs"]["context"] for run in runs] == [{}, {"a": 1}]
    assert await count(database_url) == 4


@pytest.mark.parametrize("body", [[], {}, RUN, None])
async def test_what_is_no_list_of_bodies_is_refused(plane, hand, body):
    assert (await plane.post("/runs/batch", body)).status == 422
