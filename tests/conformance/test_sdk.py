"""The unmodified official client, in both its halves, against a running server and worker."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from tests.conformance.sdk_cases import (
    APPROVAL,
    DECISION,
    FIRST_ROUND_DONE,
    HANG,
    QUESTIONS,
    QUICK,
    STREAMED,
    TAGS,
    TITLE,
    Streamed,
    holds,
)


@pytest.fixture
async def thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def hanging(client: LangGraphClient, thread: str) -> str:
    """A run that sits in the second round of the cycle."""
    run = await client.runs.create(
        thread, "cycle", input=HANG, stream_mode="updates", stream_resumable=True
    )
    parts = client.runs.join_stream(thread, run["run_id"], last_event_id="-1")
    async for part in parts:
        if part.data == FIRST_ROUND_DONE:
            break
    await parts.aclose()
    return run["run_id"]


async def asked(client: LangGraphClient, thread: str) -> list[Any]:
    """The values of the interrupts that the thread waits at."""
    state = await client.threads.get_state(thread)
    return [interrupt["value"] for interrupt in state["interrupts"]]


async def test_assistants_are_made_found_changed_and_deleted(client: LangGraphClient) -> None:
    tag = {"tag": str(uuid4())}
    made = await client.assistants.create("echo", name="First", metadata=tag)
    made_id = made["assistant_id"]
    assert await client.assistants.get(made_id) == made
    assert await client.assistants.search(metadata=tag) == [made]
    assert await client.assistants.count(metadata=tag) == 1
    changed = await client.assistants.update(made_id, name="Second", metadata={"more": 1})
    assert (changed["version"], changed["metadata"]) == (2, {**tag, "more": 1})
    await client.assistants.delete(made_id)
    with pytest.raises(NotFoundError):
        await client.assistants.get(made_id)


async def test_a_graph_describes_itself(client: LangGraphClient) -> None:
    assistant = (await client.assistants.search(graph_id="router"))[0]
    drawn = await client.assistants.get_graph(assistant["assistant_id"])
    names = {node["id"] for node in drawn["nodes"]}
    assert names == {"__start__", "measure", "route", "even", "odd", "finish", "__end__"}
    schemas = await client.assistants.get_schemas(assistant["assistant_id"])
    assert "number" in schemas["input_schema"]["properties"]


async def test_threads_are_made_found_changed_and_deleted(client: LangGraphClient) -> None:
    tag = {"tag": str(uuid4())}
    made = await client.threads.create(metadata=tag)
    made_id = made["thread_id"]
    assert (await client.threads.get(made_id))["status"] == "idle"
    assert [found["thread_id"] for found in await client.threads.search(metadata=tag)] == [made_id]
    assert await client.threads.count(metadata=tag) == 1
    changed = await client.threads.update(made_id, metadata={"more": 1})
    assert changed["metadata"] == {**tag, "more": 1}
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=made_id)
    assert (await client.threads.create(thread_id=made_id, if_exists="do_nothing"))[
        "thread_id"
    ] == made_id
    await client.threads.delete(made_id)
    with pytest.raises(NotFoundError):
        await client.threads.get(made_id)


@pytest.mark.parametrize("case", STREAMED, ids=lambda case: case.mode)
async def test_runs_stream_in_each_mode(
    client: LangGraphClient, thread: str, case: Streamed
) -> None:
    stream = client.runs.stream(thread, case.graph, input=case.input, stream_mode=case.mode)
    parts = [part async for part in stream]
    assert [part.event for part in parts] == case.events
    assert holds(parts[-1].data, case.last)


async def test_several_modes_share_a_stream(client: LangGraphClient, thread: str) -> None:
    stream = client.runs.stream(
        thread, "echo", input={"msg": "hi"}, stream_mode=["values", "updates"]
    )
    events = [part.event async for part in stream]
    assert events == ["metadata", "values", "updates", "values"]


async def test_subgraphs_stream_under_their_namespace(client: LangGraphClient, thread: str) -> None:
    stream = client.runs.stream(
        thread,
        "subgraph",
        input={"topic": "tea"},
        stream_mode="updates",
        stream_subgraphs=True,
    )
    events = [part.event.partition(":")[0] async for part in stream]
    inner = "updates|research"
    assert events == ["metadata", "updates", inner, inner, "updates", "updates"]


async def test_wait_returns_the_last_values(client: LangGraphClient, thread: str) -> None:
    values = await client.runs.wait(thread, "fanout", input={"topic": "tea"})
    assert values["notes"] == ["split tea", "left", "right"]
    assert values["polished"] == ["LEFT", "RIGHT"]
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_created_run_is_listed_and_joined(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "echo", input={"msg": "hi"}, metadata={"a": 1})
    assert (await client.runs.join(thread, run["run_id"]))["out"] == "hi"
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "success"
    assert [listed["run_id"] for listed in await client.runs.list(thread)] == [run["run_id"]]


async def test_a_failed_run_raises_from_wait_and_ends_its_stream(
    client: LangGraphClient, thread: str
) -> None:
    with pytest.raises(Exception, match="ValueError: boom"):
        await client.runs.wait(thread, "error", input={"kind": "value"})
    parts = [part async for part in client.runs.stream(thread, "error", input={"kind": "custom"})]
    assert parts[-1].event == "error"
    assert parts[-1].data == {"error": "QuotaError", "message": "An internal error occurred"}
    assert (await client.threads.get(thread))["status"] == "error"


async def test_join_stream_goes_on_after_the_last_event_seen(
    client: LangGraphClient, thread: str
) -> None:
    run = await client.runs.create(
        thread, "cycle", input={"limit": 3}, stream_mode="updates", stream_resumable=True
    )

    async def parts(last: str) -> list[Any]:
        stream = client.runs.join_stream(thread, run["run_id"], last_event_id=last)
        return [part async for part in stream]

    everything = await parts("-1")
    assert len({part.id for part in everything}) == len(everything) == 7
    for seen, part in enumerate(everything[:-1], 1):
        assert await parts(part.id) == everything[seen:]


async def test_interrupts_are_answered_with_resume(client: LangGraphClient, thread: str) -> None:
    stream = client.runs.stream(thread, "interrupt", input={"title": ""}, stream_mode="updates")
    parts = [part async for part in stream]
    assert parts[-1].data["__interrupt__"][0]["value"] == QUESTIONS[0]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    values = await client.runs.wait(thread, "interrupt", command={"resume": TITLE})
    assert values["__interrupt__"][0]["value"] == QUESTIONS[1]
    await client.runs.wait(thread, "interrupt", command={"resume": TAGS})
    assert await asked(client, thread) == [APPROVAL]
    values = await client.runs.wait(thread, "interrupt", command={"resume": DECISION})
    assert (values["title"], values["tags"], values["published"]) == (TITLE, TAGS, TITLE)
    assert await asked(client, thread) == []


async def test_a_subgraphs_interrupt_is_answered_through_its_parent(
    client: LangGraphClient, thread: str
) -> None:
    await client.runs.wait(thread, "subgraph", input={"topic": "tea", "ask": True})
    assert await asked(client, thread) == ["enough?"]
    state = await client.threads.get_state(thread, subgraphs=True)
    assert state["tasks"][0]["state"]["next"] == ["confirm"]
    values = await client.runs.wait(thread, "subgraph", command={"resume": "plenty"})
    assert values["answer"] == "looked at tea, plenty"


async def test_commands_update_and_jump(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "router", input={"number": 3})
    command = {"goto": "even", "update": {"seen": "jumped"}}
    values = await client.runs.wait(thread, "router", command=command)
    assert values == {"number": 3, "parity": "even", "seen": "jumped, even"}


async def test_breakpoints_stop_before_and_after(client: LangGraphClient, thread: str) -> None:
    stopped = await client.runs.wait(
        thread, "router", input={"number": 3}, interrupt_before=["odd"]
    )
    assert "parity" not in stopped
    assert (await client.threads.get_state(thread))["next"] == ["odd"]
    stopped = await client.runs.wait(thread, "router", interrupt_after=["odd"])
    assert stopped["parity"] == "odd"
    assert (await client.runs.wait(thread, "router"))["seen"] == "saw 3, odd"


async def test_update_state_is_what_the_next_run_goes_on_from(
    client: LangGraphClient, thread: str
) -> None:
    await client.runs.wait(thread, "router", input={"number": 4}, interrupt_before=["even"])
    await client.threads.update_state(thread, {"parity": "strange"}, as_node="even")
    state = await client.threads.get_state(thread)
    assert (state["values"]["parity"], state["next"]) == ("strange", ["finish"])
    assert (await client.runs.wait(thread, "router"))["seen"] == "saw 4, strange"


async def test_history_leads_back_to_every_checkpoint(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "cycle", input={"limit": 2})
    history = await client.threads.get_history(thread)
    assert [state["metadata"]["step"] for state in history] == [4, 3, 2, 1, 0, -1]
    assert [state["values"].get("n") for state in history] == [2, 2, 1, 1, None, None]
    parents = [state["parent_checkpoint"] for state in history]
    assert parents == [*(state["checkpoint"] for state in history[1:]), None]


async def test_a_run_from_an_older_checkpoint_forks_the_thread(
    client: LangGraphClient, thread: str
) -> None:
    await client.runs.wait(thread, "cycle", input={"limit": 2})
    older = (await client.threads.get_history(thread))[2]
    forked = await client.threads.update_state(thread, {"limit": 1}, checkpoint=older["checkpoint"])
    values = await client.runs.wait(thread, "cycle", checkpoint=forked["checkpoint"])
    assert values == {"n": 1, "limit": 1}
    state = await client.threads.get_state(thread, checkpoint=older["checkpoint"])
    assert state["values"] == older["values"]


@pytest.mark.parametrize("wait", [True, False])
async def test_cancel_interrupts_a_run_where_it_is(
    client: LangGraphClient, thread: str, wait: bool
) -> None:
    run = await hanging(client, thread)
    await client.runs.cancel(thread, run, wait=wait)
    await client.runs.join(thread, run)
    assert (await client.runs.get(thread, run))["status"] == "interrupted"
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (await client.threads.get_state(thread))["values"]["n"] == 1


async def test_cancel_with_rollback_leaves_no_trace(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "cycle", input=QUICK)
    run = await hanging(client, thread)
    await client.runs.cancel(thread, run, wait=True, action="rollback")
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, run)
    assert (await client.threads.get(thread))["status"] == "idle"
    assert (await client.threads.get_state(thread))["values"] == {"n": 1, "limit": 1, "hang_at": 0}


async def test_reject_refuses_a_second_run(client: LangGraphClient, thread: str) -> None:
    run = await hanging(client, thread)
    with pytest.raises(ConflictError):
        await client.runs.create(thread, "cycle", input=QUICK, multitask_strategy="reject")
    assert len(await client.runs.list(thread)) == 1
    await client.runs.cancel(thread, run, wait=True)


async def test_enqueue_runs_after_the_first(client: LangGraphClient, thread: str) -> None:
    first = await hanging(client, thread)
    second = await client.runs.create(thread, "cycle", input=QUICK, multitask_strategy="enqueue")
    assert (await client.runs.get(thread, second["run_id"]))["status"] == "pending"
    await client.runs.cancel(thread, first, wait=True)
    assert (await client.runs.join(thread, second["run_id"]))["limit"] == 1


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_second_run_takes_the_place_of_the_first(
    client: LangGraphClient, thread: str, strategy: str
) -> None:
    first = await hanging(client, thread)
    values = await client.runs.wait(thread, "cycle", input=QUICK, multitask_strategy=strategy)
    assert values["limit"] == 1
    left = {run["run_id"]: run["status"] for run in await client.runs.list(thread)}
    assert left.get(first) == ("interrupted" if strategy == "interrupt" else None)


async def test_stateless_runs_leave_no_thread(client: LangGraphClient) -> None:
    assert (await client.runs.wait(None, "echo", input={"msg": "hi"}))["out"] == "hi"
    stream = client.runs.stream(None, "echo", input={"msg": "hi"}, stream_mode="updates")
    assert [part.event async for part in stream] == ["metadata", "updates"]
    run = await client.runs.create(None, "echo", input={"msg": "hi"}, on_completion="keep")
    assert (await client.runs.join(run["thread_id"], run["run_id"]))["out"] == "hi"


async def test_a_missing_thread_is_made_when_asked(client: LangGraphClient) -> None:
    thread = str(uuid4())
    with pytest.raises(NotFoundError):
        await client.runs.create(thread, "echo", input={"msg": "hi"})
    values = await client.runs.wait(thread, "echo", input={"msg": "hi"}, if_not_exists="create")
    assert values["out"] == "hi"


async def test_context_and_metadata_reach_the_run(client: LangGraphClient, thread: str) -> None:
    values = await client.runs.wait(
        thread,
        "echo",
        input={"msg": "hi"},
        context={"suffix": "!"},
        metadata={"kind": "tested"},
        after_seconds=1,
    )
    assert values["out"] == "hi!"
    assert (await client.runs.list(thread))[0]["metadata"]["kind"] == "tested"


async def test_the_store_keeps_finds_and_forgets(client: LangGraphClient) -> None:
    root = str(uuid4())
    await client.store.put_item([root, "ada"], "likes", {"drink": "green tea", "cups": 3}, ttl=5)
    await client.store.put_item([root, "bob"], "likes", {"drink": "water"}, index=False)
    item = await client.store.get_item([root, "ada"], "likes", refresh_ttl=False)
    assert (item["namespace"], item["value"]["cups"]) == ([root, "ada"], 3)
    assert await client.store.get_item([root, "ada"], key="nothing") is None
    for wanted in (
        {"filter": {"cups": {"$gte": 3}}},
        {"filter": {"drink": "green tea"}, "refresh_ttl": True},
        {"query": "something with tea"},
        {"limit": 1, "offset": 1},
    ):
        found = await client.store.search_items([root], **wanted)
        assert [each["key"] for each in found["items"]] == ["likes"], wanted
        assert found["items"][0]["namespace"] == [root, "ada"]
    listed = await client.store.list_namespaces(prefix=[root], suffix=["ada"], max_depth=2)
    assert listed == {"namespaces": [[root, "ada"]]}
    await client.store.delete_item([root, "ada"], key="likes")
    assert await client.store.get_item([root, "ada"], key="likes") is None


async def test_crons_are_made_found_changed_and_deleted(
    client: LangGraphClient, thread: str
) -> None:
    tag = {"tag": str(uuid4())}
    end = datetime(2031, 1, 1, tzinfo=UTC)
    free = await client.crons.create(
        "echo",
        schedule="0 9 1 1 *",
        timezone=ZoneInfo("Europe/Berlin"),
        end_time=end,
        metadata=tag,
        input={"msg": "hi"},
        on_run_completed="keep",
    )
    assert (free["timezone"], free["on_run_completed"]) == ("Europe/Berlin", "keep")
    assert free["next_run_date"].endswith("-01-01T08:00:00.000000+00:00")
    assert datetime.fromisoformat(free["end_time"]) == end
    bound = await client.crons.create_for_thread(
        thread, "echo", schedule="@daily", metadata=tag, multitask_strategy="reject", enabled=False
    )
    assert (bound["thread_id"], bound["enabled"]) == (thread, False)
    found = await client.crons.search(metadata=tag, sort_by="created_at", sort_order="asc")
    assert [each["cron_id"] for each in found] == [free["cron_id"], bound["cron_id"]]
    found = await client.crons.search(thread_id=thread, select=["cron_id", "enabled"])
    assert found == [{"cron_id": bound["cron_id"], "enabled": False}]
    assert len(await client.crons.search(metadata=tag, enabled=True)) == 1
    assert await client.crons.count(metadata=tag) == 2
    assert await client.crons.count(thread_id=thread) == 1
    changed = await client.crons.update(free["cron_id"], schedule="@yearly", end_time=None)
    assert (changed["schedule"], changed["end_time"]) == ("@yearly", None)
    assert changed["payload"]["input"] == {"msg": "hi"}
    await client.crons.delete(free["cron_id"])
    with pytest.raises(NotFoundError):
        await client.crons.update(free["cron_id"], enabled=False)
    await client.threads.delete(thread)
    assert await client.crons.count(metadata=tag) == 0
    with pytest.raises(UnprocessableEntityError, match="standard cron format"):
        await client.crons.create("echo", schedule="whenever")
