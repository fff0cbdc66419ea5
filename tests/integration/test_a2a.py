"""Assistants as A2A's agents: the official client in both dialects, and what no client sends."""

import asyncio
import contextlib
from uuid import uuid4

import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import new_data_part, new_text_message
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from duragraph.ids import system_assistant_id
from duragraph.protocol import GraphSpec
from tests.conformance.graphs import EchoGraph, TokensGraph
from tests.integration.talking import IN_TIME, Chat, serving

pytestmark = pytest.mark.timeout(30)

CHAT = system_assistant_id("chat")
NOBODY = "00000000-0000-4000-8000-000000000000"
NOW = SendMessageConfiguration(return_immediately=True)


@pytest.fixture
async def served(plane):
    async with serving(plane, Chat, EchoGraph, TokensGraph):
        yield plane


@contextlib.asynccontextmanager
async def agent(plane, name="chat", *, version="1.0", streaming=False):
    """The official client, as it finds an agent by its card and speaks this dialect."""
    async with httpx.AsyncClient(timeout=IN_TIME) as http:
        card = await A2ACardResolver(http, f"{plane.url}/a2a/{name}").get_agent_card()
        for interface in list(card.supported_interfaces):
            if interface.protocol_version != version:
                card.supported_interfaces.remove(interface)
        config = ClientConfig(httpx_client=http, streaming=streaming)
        yield ClientFactory(config).create(card)


@pytest.fixture(params=["1.0", "0.3"])
def version(request):
    return request.param


async def said(client, text, configuration=None, *, task=None, **place):
    """All that is answered to a message."""
    if task is not None:
        place = {"task_id": task.id, "context_id": task.context_id}
    message = new_text_message(text, role=Role.ROLE_USER, **place)
    request = SendMessageRequest(message=message, configuration=configuration)
    return [answer async for answer in client.send_message(request)]


async def told(client, text, configuration=None, **place):
    (answer,) = await said(client, text, configuration, **place)
    return answer.task


def state(task):
    return TaskState.Name(task.status.state).removeprefix("TASK_STATE_")


def text(parts):
    return "".join(part.text for part in parts)


def spoken(task):
    return [text(message.parts) for message in task.history]


async def test_a_message_is_answered(served, version):
    async with agent(served, version=version) as client:
        task = await told(client, "good day")
    assert state(task) == "COMPLETED"
    assert text(task.artifacts[0].parts) == "heard good day"
    assert spoken(task) == ["good day", "heard good day"]
    assert [m.role for m in task.history] == [Role.ROLE_USER, Role.ROLE_AGENT]


async def test_a_context_is_remembered(served, version):
    async with agent(served, version=version) as client:
        first = await told(client, "one")
        second = await told(client, "two", context_id=first.context_id)
        assert (second.context_id, second.id != first.id) == (first.context_id, True)
        assert spoken(second) == ["one", "heard one", "two", "heard two"]
        again = await client.get_task(GetTaskRequest(id=first.id))
    assert spoken(again) == ["one", "heard one"], "a task shows what was said by its end"
    assert (state(again), text(again.artifacts[0].parts)) == ("COMPLETED", "heard one")


async def test_a_client_may_name_a_new_context(served):
    mine = str(uuid4())
    async with agent(served) as client:
        assert (await told(client, "hi", context_id=mine)).context_id == mine


async def test_data_is_the_rest_of_the_input(served, version):
    async with agent(served, version=version) as client:
        message = new_text_message("hi", role=Role.ROLE_USER)
        message.parts.append(new_data_part({"note": "this"}))
        (answer,) = [a async for a in client.send_message(SendMessageRequest(message=message))]
    assert text(answer.task.artifacts[0].parts) == "heard hi, noted this"


async def test_an_agent_without_messages_gives_and_takes_data(served, version):
    async with agent(served, "echo", version=version) as client:
        message = new_text_message("", role=Role.ROLE_USER)
        del message.parts[:]
        message.parts.append(new_data_part({"msg": "hi"}))
        (answer,) = [a async for a in client.send_message(SendMessageRequest(message=message))]
        (part,) = answer.task.artifacts[0].parts
        assert dict(part.data.struct_value.items()) == {"msg": "hi", "out": "hi"}
        with pytest.raises(InvalidParamsError, match="must include a 'messages' field"):
            await told(client, "hi")


async def test_an_interrupt_asks_and_the_same_task_goes_on(served, version):
    async with agent(served, version=version) as client:
        asked = await told(client, "ask")
        assert state(asked) == "INPUT_REQUIRED"
        (part,) = asked.artifacts[0].parts
        assert part.data.struct_value["value"] == "which?"
        assert state(await client.get_task(GetTaskRequest(id=asked.id))) == "INPUT_REQUIRED"
        answered = await told(client, "red", task=asked)
        assert (answered.id, state(answered)) == (asked.id, "COMPLETED")
        assert text(answered.artifacts[0].parts) == "you said red"
        assert state(await client.get_task(GetTaskRequest(id=asked.id))) == "COMPLETED"
        with pytest.raises(UnsupportedOperationError, match="terminal task"):
            await told(client, "blue", task=asked)


async def test_of_racing_answers_one_counts(served):
    async with agent(served) as client:
        asked = await told(client, "ask")
        answers = [told(client, str(n), task=asked) for n in range(6)]
        given = await asyncio.gather(*answers, return_exceptions=True)
        refused = (UnsupportedOperationError, InvalidParamsError)
        counted = [task for task in given if not isinstance(task, refused)]
        words = {text(task.artifacts[0].parts) for task in counted}
        assert len(words) == 1
        task = await client.get_task(GetTaskRequest(id=asked.id))
        assert {text(task.artifacts[0].parts)} == words


async def test_a_late_answer_changes_no_task(served):
    async with agent(served) as client:
        asked = await told(client, "ask")
        late = {
            "assistant_id": "chat",
            "command": {"resume": {"0" * 32: "red"}},
            "strict_resume": True,
            "metadata": {"a2a_task": asked.id.partition(":")[2]},
        }
        path = f"/threads/{asked.context_id}/runs/wait"
        assert "UnknownInterruptError" in (await served.post(path, late)).body.decode()
        assert state(await client.get_task(GetTaskRequest(id=asked.id))) == "INPUT_REQUIRED"
        (listed,) = (await client.list_tasks(ListTasksRequest())).tasks
        assert (listed.id, state(listed)) == (asked.id, "INPUT_REQUIRED")
        assert state(await told(client, "red", task=asked)) == "COMPLETED"


async def test_another_message_leaves_the_question_behind(served):
    async with agent(served) as client:
        asked = await told(client, "ask")
        await told(client, "hi", context_id=asked.context_id)
        assert state(await client.get_task(GetTaskRequest(id=asked.id))) == "COMPLETED"


async def test_a_failure_is_told_in_words(served, version):
    async with agent(served, version=version) as client:
        failed = await told(client, "fail")
        assert state(failed) == "FAILED"
        assert text(failed.status.message.parts) == "ValueError: boom"
        again = await client.get_task(GetTaskRequest(id=failed.id))
        assert text(again.status.message.parts) == "ValueError: boom"


async def test_a_task_at_work_is_seen_and_cancelled(served, version):
    async with agent(served, version=version) as client:
        task = await told(client, "sleep", NOW)
        assert state(task) in {"SUBMITTED", "WORKING"}
        while state(task) != "WORKING":
            task = await client.get_task(GetTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await told(client, "hi", task=task)
        cancelled = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert state(cancelled) == "CANCELED"
        assert state(await client.get_task(GetTaskRequest(id=task.id))) == "CANCELED"
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))


async def test_tokens_are_streamed(served, version):
    async with agent(served, "tokens", version=version, streaming=True) as client:
        answers = await said(client, "hi")
    kinds = [answer.WhichOneof("payload") for answer in answers]
    assert kinds == ["task", *["status_update"] * 6, "artifact_update", "status_update"]
    words = [text(a.status_update.status.message.parts) for a in answers[1:-2]]
    assert words == ["H", "Hi", "Hi ", "Hi y", "Hi yo", "Hi you"]
    assert {state(a.status_update) for a in answers[1:-2]} == {"WORKING"}
    assert text(answers[-2].artifact_update.artifact.parts) == "Bye"
    assert state(answers[-1].status_update) == "COMPLETED"


@pytest.mark.parametrize(
    ("order", "end", "kinds"),
    [
        ("fail", "FAILED", ["task", "status_update"]),
        ("ask", "INPUT_REQUIRED", ["task", "artifact_update", "status_update"]),
    ],
)
async def test_a_stream_ends_with_how_its_task_stands(served, version, order, end, kinds):
    async with agent(served, version=version, streaming=True) as client:
        answers = await said(client, order)
    assert [answer.WhichOneof("payload") for answer in answers] == kinds
    assert state(answers[-1].status_update) == end


async def test_a_stream_tells_of_wrong_input(served, version):
    async with agent(served, version=version, streaming=True) as client:
        with pytest.raises(InvalidParamsError):
            await said(client, "hi", context_id="nope")


async def test_another_plane_streams_a_task_from_its_beginning(served, start_plane, version):
    other = await start_plane()
    async with agent(served) as client, agent(other, version=version, streaming=True) as second:
        task = await told(client, "sleep", NOW)
        following = second.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(following)).task.id == task.id
        await client.cancel_task(CancelTaskRequest(id=task.id))
        last = [answer async for answer in following][-1]
        assert state(last.status_update) == "CANCELED"
        assert state(await second.get_task(GetTaskRequest(id=task.id))) == "CANCELED"
        with pytest.raises(UnsupportedOperationError):
            await anext(second.subscribe(SubscribeToTaskRequest(id=task.id)))


async def test_a_client_that_hangs_up_leaves_its_task_at_work(served):
    async with agent(served) as client:
        context = str(uuid4())
        sending = asyncio.create_task(told(client, "sleep", context_id=context))
        listed = ListTasksRequest(context_id=context)
        async with asyncio.timeout(IN_TIME):
            while not (found := (await client.list_tasks(listed)).tasks):
                pass
        sending.cancel()
        await asyncio.wait([sending])
        task = await client.get_task(GetTaskRequest(id=found[0].id))
        assert state(task) in {"SUBMITTED", "WORKING"}
        assert state(await client.cancel_task(CancelTaskRequest(id=task.id))) == "CANCELED"


async def test_a_task_that_is_deleted_under_its_listeners_is_not_found(served, version):
    async with agent(served, version=version, streaming=True) as client:
        streaming = client.send_message(
            SendMessageRequest(message=new_text_message("sleep", role=Role.ROLE_USER))
        )
        task = (await anext(streaming)).task
        assert (await served.delete(f"/threads/{task.context_id}")).status == 204
        with pytest.raises(TaskNotFoundError):
            await anext(streaming)


async def test_tasks_are_listed_newest_first_by_the_page(served):
    async with agent(served) as client:
        one = await told(client, "one")
        asked = await told(client, "ask")
        other = await told(client, "two", context_id=one.context_id)
        first = await client.list_tasks(ListTasksRequest(page_size=2, history_length=1))
        assert [task.id for task in first.tasks] == [other.id, asked.id]
        assert (first.total_size, first.page_size) == (3, 2)
        assert spoken(first.tasks[0]) == ["heard two"]
        rest = await client.list_tasks(
            ListTasksRequest(page_size=2, page_token=first.next_page_token)
        )
        assert ([task.id for task in rest.tasks], rest.next_page_token) == ([one.id], "")
        assert list(rest.tasks[0].history) == []
        waiting = ListTasksRequest(status=TaskState.TASK_STATE_INPUT_REQUIRED)
        assert [task.id for task in (await client.list_tasks(waiting)).tasks] == [asked.id]
        await told(client, "red", task=asked)
        assert list((await client.list_tasks(waiting)).tasks) == []
        in_context = ListTasksRequest(context_id=one.context_id, include_artifacts=True)
        found = (await client.list_tasks(in_context)).tasks
        assert [text(task.artifacts[0].parts) for task in found] == ["heard two", "heard one"]
        assert (await client.list_tasks(ListTasksRequest())).total_size == 3


async def test_an_agent_has_only_its_own_tasks(served):
    async with agent(served) as client, agent(served, "tokens") as other:
        task = await told(client, "hi")
        with pytest.raises(TaskNotFoundError):
            await other.get_task(GetTaskRequest(id=task.id))
        assert (await other.list_tasks(ListTasksRequest())).total_size == 0


async def test_a_history_is_as_long_as_asked(served, version):
    async with agent(served, version=version) as client:
        task = await told(client, "one")
        for length, shown in ((0, []), (1, ["heard one"]), (9, ["one", "heard one"])):
            found = await client.get_task(GetTaskRequest(id=task.id, history_length=length))
            assert spoken(found) == shown


async def test_a_file_is_refused(served, version):
    async with agent(served, version=version) as client:
        message = new_text_message("see", role=Role.ROLE_USER)
        message.parts.add(url="http://example.com/a.png", media_type="image/png")
        with pytest.raises(ContentTypeNotSupportedError):
            [a async for a in client.send_message(SendMessageRequest(message=message))]


async def test_a_card_says_who_it_is_and_where(served):
    named = (await served.get(f"/a2a/{CHAT}/.well-known/agent-card.json")).json
    url = f"{served.url}/a2a/{CHAT}"
    assert (named["name"], named["url"], named["protocolVersion"]) == ("chat", url, "0.3.0")
    assert [i["protocolVersion"] for i in named["supportedInterfaces"]] == ["1.0", "0.3"]
    for path in (f"/a2a/{CHAT}", "/a2a/chat/.well-known/agent-card.json"):
        assert (await served.get(path)).json == named
    asked = f"/.well-known/agent-card.json?assistant_id={CHAT}"
    assert (await served.get(asked)).json == named
    mounted = (await served.get(f"/api/v1{asked}")).json
    assert mounted["url"] == f"{served.url}/api/v1/a2a/{CHAT}"
    behind = await served.get(asked, headers={"X-Forwarded-Proto": "https", "Host": "a.example"})
    assert behind.json["url"] == f"https://a.example/a2a/{CHAT}"
    async with agent(served) as client:
        extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    assert extended.name == "chat"


@pytest.mark.parametrize(
    "schema",
    [b"true", b"[]", b'{"properties": null}', b'{"required": 5}', b'{"required": [1, "a"]}'],
)
async def test_whatever_a_worker_says_it_takes_there_is_a_card(plane, schema):
    await plane.worker(GraphSpec("chat", "1", input_schema=schema))
    (skill,) = (await plane.get(f"/a2a/{CHAT}")).json["skills"]
    taken = {"required": [], "properties": [], "supportsA2A": False}
    assert skill["metadata"]["inputSchema"] == taken


async def test_a_card_tells_of_the_key(start_plane):
    plane = await start_plane(api_keys=("secret",))
    plane.http.headers["x-api-key"] = "secret"
    await plane.worker("chat")
    found = (await plane.get(f"/a2a/{CHAT}")).json
    scheme = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    assert (found["securitySchemes"], found["security"]) == ({"key": scheme}, [{"key": []}])


async def test_there_is_no_card_of_nobody(plane):
    answer = await plane.get("/.well-known/agent-card.json")
    assert (answer.status, answer.json["code"]) == (400, "refused")
    for name in (NOBODY, "nope"):
        for path in (f"/.well-known/agent-card.json?assistant_id={name}", f"/a2a/{name}"):
            assert (await plane.get(path)).status == 404


def message(**fields):
    parts = [{"kind": "text", "text": "hi"}]
    return {"message": {"role": "user", "messageId": "m", "parts": parts} | fields}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("message/send", {}, -32602),
        ("message/send", [1], -32602),
        ("message/send", {"message": "x"}, -32602),
        ("message/send", message(parts=[]), -32602),
        ("message/send", message(parts=["x"]), -32602),
        ("message/send", message(parts=[{"kind": "text", "text": 3}]), -32602),
        ("message/send", message(parts=[{"kind": "nope"}]), -32005),
        ("message/send", message(messageId=None), -32602),
        ("message/send", message(contextId="nope"), -32602),
        ("message/send", message(taskId="nope"), -32001),
        ("message/send", message(taskId=f"{NOBODY}:{NOBODY}"), -32001),
        ("tasks/get", {}, -32602),
        ("tasks/get", {"id": 3}, -32602),
        ("tasks/get", {"id": "nope"}, -32001),
        ("tasks/get", {"id": f"{NOBODY}:{NOBODY}"}, -32001),
        ("tasks/get", {"id": f"{NOBODY}:{NOBODY}", "historyLength": -1}, -32602),
        ("tasks/cancel", {"id": "\0:\0"}, -32001),
        ("ListTasks", {"pageSize": 0}, -32602),
        ("ListTasks", {"pageSize": 101}, -32602),
        ("ListTasks", {"pageToken": "zz"}, -32602),
        ("ListTasks", {"status": "x"}, -32602),
        ("tasks/pushNotificationConfig/set", {}, -32601),
        ("nope", {}, -32601),
    ],
)
async def test_what_is_asked_wrongly_is_an_error(plane, method, params, code):
    await plane.worker("chat")
    body = {"jsonrpc": "2.0", "id": "a", "method": method, "params": params}
    answer = await plane.post("/a2a/chat", body)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert (answer.json["id"], answer.json["error"]["code"]) == ("a", code), answer.json


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b"3", -32600),
        (b"[]", -32600),
        (b'{"id":1,"method":"tasks/get"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"tasks/get"}', -32600),
    ],
)
async def test_what_is_no_message_is_an_error(plane, body, code):
    answer = await plane.post("/a2a/chat", data=body)
    assert (answer.status, answer.json["error"]["code"], answer.json["id"]) == (200, code, None)


async def test_what_awaits_no_answer_gets_none(plane):
    for body in ({"method": "tasks/get"}, {"id": 1, "result": {}}):
        answer = await plane.post("/a2a/chat", {"jsonrpc": "2.0"} | body)
        assert (answer.status, answer.body) == (202, b"")


async def test_nobody_and_another_version_are_errors(plane):
    await plane.worker("chat")
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": "x"}}
    answer = await plane.post("/a2a/nope", ask)
    assert answer.json["error"] == {"code": -32602, "message": "Assistant 'nope' not found"}
    answer = await plane.post("/a2a/chat", ask, headers={"A2A-Version": "9.9"})
    assert answer.json["error"]["code"] == -32009
