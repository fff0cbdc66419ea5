"""React pages in Chromium: the SDK's own `useStream`, and the one of `@langchain/react`."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripts import run

pytestmark = pytest.mark.clients

CHATS = ("tokens", "reload", "cut", "interrupt", "branch", "stop")
SCENARIOS = (
    *(("chat", scenario) for scenario in (*CHATS, "headers")),
    *(("hosted_chat", scenario) for scenario in CHATS),
    ("hosted_agent", "tool"),
)
"""Each with the graph that the page speaks with: ours, or LangGraph's on our worker."""


@pytest.fixture(scope="session")
def pages(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as Vite builds them."""
    folder = tmp_path_factory.mktemp("pages")
    run("build.mjs", str(folder))
    return folder


@pytest.fixture
def settings(
    chromium: str, pages: Path, server_url: str, model_port: int, tmp_path: Path
) -> dict[str, Any]:
    """What `browser.mjs` is told of its surroundings; the screenshots go to `tmp_path`."""
    return {
        "api": server_url,
        "modelPort": model_port,
        "chromium": chromium,
        "pages": str(pages),
        "shots": str(tmp_path),
    }


@pytest.mark.parametrize("page", ["sdk", "react", "socket"])
@pytest.mark.parametrize(("assistant", "scenario"), SCENARIOS)
def test_a_page_shows_what_the_graph_does(
    settings: dict[str, Any], assistant: str, scenario: str, page: str
) -> None:
    run("browser.mjs", scenario, page, json.dumps({**settings, "assistant": assistant}))


def test_agent_chat_ui_works(settings: dict[str, Any]) -> None:
    site = os.environ.get("AGENT_CHAT_UI_URL")
    if site is None:
        pytest.skip("needs AGENT_CHAT_UI_URL: where a built agent-chat-ui is served")
    run(
        "browser.mjs", "chatUi", "site", json.dumps({**settings, "assistant": "chat", "site": site})
    )
