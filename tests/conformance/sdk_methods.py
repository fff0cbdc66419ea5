"""One case for each public method of the official client, and what it answered on the reference.

A case returns what its method gave. The reference's answers are kept in `recorded/sdk.json`:

    python -m tests.conformance.sdk_methods --reference URL

with `langgraph dev` run beside `langgraph.json`. `test_reflection.py` compares.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from cyclopts import App
from langgraph_sdk import get_client

from tests.conformance.normal import Names
from tests.conformance.sdk_cases import FIRST_ROUND_DONE, HANG, HELLO, Threaded

RECORDED = Path(__file__).parent / "recorded" / "sdk.json"
CLOSING = {"aclose", "close"}
"""What the two halves call the same thing; `test_reflection.py` has a test of it."""

Case = Callable[[Any], Awaitable[Any]]
CASES: dict[str, Case] = {}
ECHO = {"msg": "hi"}
YEARLY = "0 0 1 1 *"

app = App()


def methods(client: Any) -> Iterator[str]:
    """All that is public on a client: `aclose`, `threads.copy`, …"""
    for name in dir(client):
        member = getattr(client, name)
        if not name.startswith("_"):
            if callable(member):
                yield name
            else:
                yield from (
                    f"{name}.{each}"
                    for each, _ in inspect.getmembers(member, callable)
                    if not each.startswith("_")
                )


def case(play: Case) -> Case:
    """`threads_copy` is the case of `threads.copy`."""
    resource, _, method = play.__name__.partition("_")
    CASES[f"{resource}.{method}"] = play
    return play


async def answer(client: Any, play: Case) -> list[dict[str, Any]]:
    """What a case gave, as `compare.py` takes it: a conversation of one call."""
    resource, _, method = play.__name__.partition("_")
    call = {"call": f"{resource}.{method}", "status": "returned"}
    try:
        given = await play(client)
    except Exception as error:  # noqa: BLE001 - what is raised is an answer, too
        return [call | {"status": f"{type(error).__name__}: {error}"}]
    return [call | {"json": Names().value(json.loads(json.dumps(given)))}]


def tagged() -> dict[str, str]:
    return {"tag": str(uuid4())}


async def collected(parts: AsyncIterator[Any]) -> list[dict[str, Any]]:
    return [{"event": part.event, "data": part.data} async for part in parts]


async def new_thread(client: Any, **fields: Any) -> str:
    thread: str = (await client.threads.create(**fields))["thread_id"]
    return thread


async def done(client: Any, **fields: Any) -> str:
    """A thread on which the echo has answered."""
    thread = await new_thread(client, **fields)
    await client.runs.wait(thread, "echo", input=ECHO)
    return thread


async def hanging(client: Any, thread: str) -> str:
    """A run in the second round of the cycle, which never ends."""
    options = {"input": HANG, "stream_mode": "updates", "stream_resumable": True}
    run: str = (await client.runs.create(thread, "cycle", **options))["run_id"]
    parts = client.runs.join_stream(thread, run, last_event_id="-1")
    async for part in parts:
        if part.data == FIRST_ROUND_DONE:
            break
    await parts.aclose()
    return run


async def assistant(client: Any, **fields: Any) -> str:
    made: str = (await client.assistants.create("echo", **fields))["assistant_id"]
    return made


async def system(client: Any, graph: str) -> str:
    """The assistant that the server made for a graph."""
    found = await client.assistants.search(graph_id=graph, metadata={"created_by": "system"})
    made: str = found[0]["assistant_id"]
    return made


@case
async def assistants_create(client: Any) -> Any:
    fields = {"metadata": {"a": 1}, "context": {"suffix": "!"}, "description": "Says it."}
    return await client.assistants.create("echo", name="Made", **fields)


@case
async def assistants_get(client: Any) -> Any:
    return await client.assistants.get(await assistant(client, name="Got"))


@case
async def assistants_get_graph(client: Any) -> Any:
    return await client.assistants.get_graph(await system(client, "router"), xray=True)


@case
async def assistants_get_schemas(client: Any) -> Any:
    return await client.assistants.get_schemas(await system(client, "router"))


@case
async def assistants_get_subgraphs(client: Any) -> Any:
    return await client.assistants.get_subgraphs(await system(client, "subgraph"), recurse=True)


@case
async def assistants_update(client: Any) -> Any:
    made = await assistant(client, metadata={"a": 1})
    return await client.assistants.update(made, name="New", metadata={"b": 2})


@case
async def assistants_delete(client: Any) -> Any:
    return await client.assistants.delete(await assistant(client))


@case
async def assistants_search(client: Any) -> Any:
    metadata = tagged()
    for name in ("One", "Two"):
        await assistant(client, name=name, metadata=metadata)
    options = {"limit": 1, "sort_by": "name", "response_format": "object"}
    return await client.assistants.search(metadata=metadata, **options)


@case
async def assistants_count(client: Any) -> Any:
    metadata = tagged()
    await assistant(client, metadata=metadata)
    return await client.assistants.count(metadata=metadata)


@case
async def assistants_get_versions(client: Any) -> Any:
    made = await assistant(client, name="One")
    await client.assistants.update(made, name="Two")
    return await client.assistants.get_versions(made)


@case
async def assistants_set_latest(client: Any) -> Any:
    made = await assistant(client, name="One")
    await client.assistants.update(made, name="Two")
    return await client.assistants.set_latest(made, 1)


@case
async def threads_create(client: Any) -> Any:
    return await client.threads.create(metadata={"a": 1}, graph_id="echo")


@case
async def threads_get(client: Any) -> Any:
    return await client.threads.get(await done(client))


@case
async def threads_update(client: Any) -> Any:
    thread = await new_thread(client, metadata={"a": 1})
    return await client.threads.update(thread, metadata={"b": 2})


@case
async def threads_delete(client: Any) -> Any:
    return await client.threads.delete(await new_thread(client))


@case
async def threads_copy(client: Any) -> Any:
    copied = await client.threads.copy(await done(client))
    return copied, await client.threads.get_state(copied["thread_id"])


@case
async def threads_prune(client: Any) -> Any:
    return await client.threads.prune([await new_thread(client), str(uuid4())])


@case
async def threads_search(client: Any) -> Any:
    metadata = tagged()
    await done(client, metadata=metadata)
    return await client.threads.search(metadata=metadata, values={"out": "hi"}, status="idle")


@case
async def threads_count(client: Any) -> Any:
    metadata = tagged()
    await new_thread(client, metadata=metadata)
    return await client.threads.count(metadata=metadata)


@case
async def threads_get_state(client: Any) -> Any:
    return await client.threads.get_state(await done(client))


@case
async def threads_update_state(client: Any) -> Any:
    thread = await done(client)
    updated = await client.threads.update_state(thread, {"msg": "new"}, as_node="reply")
    return updated, await client.threads.get_state(thread)


@case
async def threads_get_history(client: Any) -> Any:
    return await client.threads.get_history(await done(client), limit=2)


@case
async def threads_join_stream(client: Any) -> Any:
    thread = await new_thread(client)
    parts = client.threads.join_stream(thread, last_event_id="-")
    parts = await parts if inspect.isawaitable(parts) else parts
    await client.runs.create(thread, "echo", input=ECHO, stream_resumable=True)
    seen = []
    async for part in parts:
        seen.append({"event": part.event, "data": part.data})
        if part.event == "metadata" and part.data.get("status") == "run_done":
            break
    await parts.aclose()
    return seen


@case
async def threads_stream(client: Any) -> Any:
    if isinstance(client, Threaded):
        return await asyncio.to_thread(_session, client.target)
    async with client.threads.stream(assistant_id="echo") as thread:
        await thread.run.start(input=ECHO)
        return await thread.output


def _session(client: Any) -> Any:
    with client.threads.stream(assistant_id="echo") as thread:
        thread.run.start(input=ECHO)
        return thread.output


@case
async def runs_create(client: Any) -> Any:
    return await client.runs.create(await new_thread(client), "echo", input=ECHO)


@case
async def runs_create_batch(client: Any) -> Any:
    return await client.runs.create_batch([{"assistant_id": "echo", "input": ECHO}] * 2)


@case
async def runs_wait(client: Any) -> Any:
    return await client.runs.wait(await new_thread(client), "echo", input=ECHO)


@case
async def runs_stream(client: Any) -> Any:
    thread = await new_thread(client)
    modes = ["values", "updates"]
    return await collected(client.runs.stream(thread, "echo", input=ECHO, stream_mode=modes))


@case
async def runs_list(client: Any) -> Any:
    return await client.runs.list(await done(client), select=["run_id", "status"])


@case
async def runs_get(client: Any) -> Any:
    thread = await done(client)
    (run,) = await client.runs.list(thread)
    return await client.runs.get(thread, run["run_id"])


@case
async def runs_join(client: Any) -> Any:
    thread = await new_thread(client)
    run = await client.runs.create(thread, "echo", input=ECHO)
    return await client.runs.join(thread, run["run_id"])


@case
async def runs_join_stream(client: Any) -> Any:
    thread = await new_thread(client)
    options = {"input": HELLO, "stream_mode": "messages-tuple", "stream_resumable": True}
    run = (await client.runs.create(thread, "tokens", **options))["run_id"]
    return await collected(client.runs.join_stream(thread, run, last_event_id="-1"))


@case
async def runs_cancel(client: Any) -> Any:
    thread = await new_thread(client)
    run = await hanging(client, thread)
    cancelled = await client.runs.cancel(thread, run, wait=True)
    return cancelled, (await client.runs.get(thread, run))["status"]


@case
async def runs_cancel_many(client: Any) -> Any:
    thread = await new_thread(client)
    run = await hanging(client, thread)
    cancelled = await client.runs.cancel_many(thread_id=thread, run_ids=[run])
    await client.runs.join(thread, run)
    return cancelled, (await client.runs.get(thread, run))["status"]


@case
async def runs_delete(client: Any) -> Any:
    thread = await done(client)
    (run,) = await client.runs.list(thread)
    return await client.runs.delete(thread, run["run_id"]), await client.runs.list(thread)


@case
async def crons_create(client: Any) -> Any:
    return await client.crons.create("echo", schedule=YEARLY, input=ECHO, timezone="Europe/Rome")


@case
async def crons_create_for_thread(client: Any) -> Any:
    thread = await new_thread(client)
    return await client.crons.create_for_thread(thread, "echo", schedule=YEARLY, input=ECHO)


@case
async def crons_update(client: Any) -> Any:
    cron = await client.crons.create("echo", schedule=YEARLY)
    return await client.crons.update(cron["cron_id"], enabled=False, metadata={"a": 1})


@case
async def crons_delete(client: Any) -> Any:
    cron = await client.crons.create("echo", schedule=YEARLY)
    return await client.crons.delete(cron["cron_id"])


@case
async def crons_search(client: Any) -> Any:
    thread = await new_thread(client)
    await client.crons.create_for_thread(thread, "echo", schedule=YEARLY)
    return await client.crons.search(thread_id=thread)


@case
async def crons_count(client: Any) -> Any:
    thread = await new_thread(client)
    await client.crons.create_for_thread(thread, "echo", schedule=YEARLY)
    return await client.crons.count(thread_id=thread)


async def stored(client: Any) -> list[str]:
    """A namespace of its own with two items."""
    place = ["sdk", str(uuid4())]
    for number in (1, 2):
        await client.store.put_item(place, f"key {number}", {"n": number})
    return place


@case
async def store_put_item(client: Any) -> Any:
    return await client.store.put_item(["sdk", str(uuid4())], "key", {"n": 1}, index=False)


@case
async def store_get_item(client: Any) -> Any:
    place = await stored(client)
    found = await client.store.get_item(place, "key 1")
    return found, await client.store.get_item(place, "no key")


@case
async def store_delete_item(client: Any) -> Any:
    place = await stored(client)
    deleted = await client.store.delete_item(place, "key 1")
    return deleted, await client.store.get_item(place, "key 1")


@case
async def store_search_items(client: Any) -> Any:
    return await client.store.search_items(await stored(client), filter={"n": {"$gt": 1}})


@case
async def store_list_namespaces(client: Any) -> Any:
    return await client.store.list_namespaces(prefix=await stored(client), max_depth=2)


@case
async def http_get(client: Any) -> Any:
    return await client.http.get("/ok")


@case
async def http_post(client: Any) -> Any:
    return await client.http.post("/threads/count", json={"metadata": tagged()})


@case
async def http_put(client: Any) -> Any:
    item = {"namespace": ["sdk", str(uuid4())], "key": "key", "value": {"n": 1}}
    return await client.http.put("/store/items", json=item)


@case
async def http_patch(client: Any) -> Any:
    path = f"/threads/{await new_thread(client)}"
    return await client.http.patch(path, json={"metadata": {"a": 1}})


@case
async def http_delete(client: Any) -> Any:
    return await client.http.delete(f"/threads/{await new_thread(client)}")


@case
async def http_stream(client: Any) -> Any:
    body = {"assistant_id": "echo", "input": ECHO}
    return await collected(client.http.stream("/runs/stream", "POST", json=body))


@case
async def http_request_reconnect(client: Any) -> Any:
    body = {"assistant_id": "echo", "input": ECHO}
    return await client.http.request_reconnect("/runs/wait", "POST", json=body)


@app.default
async def main(*, reference: str) -> None:
    """Record the reference's answers.

    Parameters
    ----------
    reference: The base URL of `langgraph dev` run beside `langgraph.json`.
    """
    async with get_client(url=reference) as client:
        answers = {name: await answer(client, play) for name, play in sorted(CASES.items())}
    rows = (f"{json.dumps(name)}:{json.dumps(given)}" for name, given in answers.items())
    RECORDED.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    sys.exit(app())
