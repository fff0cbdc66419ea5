"""A real LiteLLM proxy between our OpenAI provider and the fakes of two vendors.

It is installed at the first use, in an environment of its own: it pins what we don't.
"""

import json
import socket
import subprocess
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from duragraph_worker.integrations.openai import OpenAI
from duragraph_worker.llm.providers import register_provider, unregister_provider
from tests.providers.asking import Verdict, run, weather
from tests.providers.fake import Fake, Refuses, serving
from tests.providers.wires import Call, calls, says

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

VERSION = "1.106.2"
KEY = "sk-proxy"
CITIES = ("Ulm", "Bonn")


@attrs.frozen
class Proxy:
    url: str
    ports: dict[str, int]
    """Where it looks for each vendor."""


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("litellm")
    own, *vendors = free_ports(3)
    ports = dict(zip(("openai", "anthropic"), vendors, strict=True))
    config = folder / "config.yaml"
    config.write_text(json.dumps(configured(ports)))
    command = [installed(), "--config", config, "--host", "127.0.0.1", "--port", str(own)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if "running on" in line:
                    break
            else:
                pytest.fail("LiteLLM did not start: " + "".join(said))
            # A pipe that nobody reads would stop it.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            yield Proxy(f"http://127.0.0.1:{own}/v1", ports)
        finally:
            server.terminate()


def installed() -> Path:
    """Its command."""
    home = Path(__file__).parent / ".litellm"
    command = home / "bin" / "litellm"
    if not (home / VERSION).exists():
        venv.create(home, clear=True, with_pip=True)
        pip = [home / "bin" / "pip", "install", "-q", f"litellm[proxy]=={VERSION}"]
        subprocess.run(pip, check=True)
        (home / VERSION).touch()
    return command


def configured(ports: dict[str, int]) -> dict[str, Any]:
    bases = {"openai/gpt-4o": "/v1", "anthropic/claude-haiku-4-5": ""}
    return {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": name,
                    "api_base": f"http://127.0.0.1:{ports[name.split('/')[0]]}{path}",
                    "api_key": "secret",
                },
            }
            for name, path in bases.items()
        ],
        "general_settings": {"master_key": KEY},
    }


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(params=["openai", "anthropic"])
async def fake(request, proxy):
    """The vendor behind the proxy; models of `litellm` are asked for there."""
    async with serving(Fake(request.param), port=proxy.ports[request.param]) as fake:
        register_provider("litellm", OpenAI(base_url=proxy.url, api_key=KEY, max_retries=1))
        yield fake
        unregister_provider("litellm")


async def ask(fake: Fake, *script: Any, **options: Any):
    fake.script[:] = script
    model = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-haiku-4-5"}[fake.name]
    return await run("litellm", model=f"litellm/{model}", **options)


async def test_it_replies_and_tells_what_it_took(fake, stream):
    result = await ask(fake, says("Hel", "lo"), stream=stream)
    assert result.output["messages"][-1].text == "Hello"
    assert (result.usage["input_tokens"], result.usage["output_tokens"]) == (9, 4)


async def test_tools_are_called_together_and_their_results_told(fake, stream):
    asked = [Call("weather", json.dumps({"city": c}), f"call_{c}") for c in CITIES]
    result = await ask(fake, calls(*asked), says("warm"), stream=stream, tools=[weather])
    assert [m.text for m in result.output["messages"][2:]] == [
        *(f"20 C in {city}" for city in CITIES),
        "warm",
    ]
    told = json.dumps(fake.asked[-1]["messages"])
    assert all(f"20 C in {city}" in told for city in CITIES)


async def test_output_has_its_schema(fake, stream):
    said = says('{"label": ', '"good"}')
    result = await ask(fake, said, stream=stream, output=Verdict, into="verdict")
    assert result.output["verdict"] == {"label": "good"}


async def test_too_many_requests_are_tried_again(fake, stream):
    result = await ask(fake, Refuses(429), says("ok"), stream=stream)
    assert result.output["messages"][-1].text == "ok"
    assert len(fake.asked) == 2


async def test_a_refusal_is_the_vendors_own(fake, stream):
    result = await ask(fake, Refuses(401, "who are you?"), stream=stream)
    assert result.status == "error"
    assert "401" in str(result.error)
    assert "who are you?" in str(result.error)


async def test_a_wrong_key_ends_at_the_proxy(fake, proxy, stream):
    register_provider("litellm", OpenAI(base_url=proxy.url, api_key="sk-other", max_retries=1))
    result = await ask(fake, says("ok"), stream=stream)
    assert result.status == "error"
    assert fake.asked == []
