"""What is Ollama's own: calls without ids, options in two places, schemas that its SDK trims."""

from typing import Literal

import attrs
import pytest

from duragraph_worker import tool
from duragraph_worker.integrations.ollama import Ollama
from duragraph_worker.llm.providers import register_provider
from tests.providers.asking import run, said, tools
from tests.providers.wires import Call, calls, says


@pytest.fixture
def vendor():
    return "ollama"


@attrs.define
class Point:
    x: int
    y: int


@tool
def walk(to: Point, via: list[str], pace: Literal["slow", "fast"], rest: int | None = None) -> str:
    """Walk somewhere.

    Args:
        to: Where to.
        rest: Minutes.
    """
    return "there"


async def test_what_its_sdk_drops_of_a_schema_is_told_in_words(fake):
    fake.script = [says("Hello")]
    await said("ollama", tools=[walk])
    ((_, _, schema),) = tools(fake.asked[0])
    told = schema["properties"]
    assert told["via"] == {"type": "array", "items": {"type": "string"}}
    assert told["pace"]["enum"] == ["fast", "slow"]
    assert told["rest"] == {"type": ["integer", "null"], "description": "Minutes."}
    assert told["to"]["description"].startswith("Where to. (JSON Schema: ")
    assert '"required":["x","y"]' in told["to"]["description"]


async def test_calls_get_ids_of_their_own(fake):
    call = Call("walk", '{"to": {"x": 1, "y": 2}, "via": [], "pace": "slow"}')
    fake.script = [calls(call, call), says("Done.")]
    messages = await said("ollama", tools=[walk])
    ids = [made["id"] for made in messages[1].tool_calls]
    assert len(set(ids)) == 2
    assert [message.tool_call_id for message in messages[2:4]] == ids


async def test_options_go_where_they_belong(fake):
    fake.script = [says("Hello")]
    await said("ollama", seed=3, options={"think": True, "keep_alive": "5m", "num_ctx": 4096})
    body = fake.asked[0]
    assert (body["think"], body["keep_alive"]) == (True, "5m")
    assert body["options"] == {"seed": 3, "num_ctx": 4096}


async def test_nobody_there_is_a_connection_error():
    register_provider("ollama", Ollama(host="http://127.0.0.1:1", max_retries=0))
    result = await run("ollama")
    assert isinstance(result.error, ConnectionError)
    assert "Ollama" in str(result.error)
