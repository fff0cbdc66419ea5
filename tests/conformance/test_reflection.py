"""Every public method of the official client, in both its halves, answers as on the reference."""

import json
from typing import Any

import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.conformance.compare import differences
from tests.conformance.explained import explanation
from tests.conformance.sdk_methods import CASES, CLOSING, RECORDED, answer, methods

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("make", [get_client, get_sync_client])
def test_no_method_is_missed(make: Any) -> None:
    assert set(methods(make(url="http://localhost"))) - CLOSING == CASES.keys()


def test_each_case_has_the_references_answer() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded.keys() == CASES.keys()
    assert {name for name, (given,) in recorded.items() if given["status"] != "returned"} == set()


@pytest.mark.parametrize("name", sorted(CASES))
async def test_it_answers_as_the_reference_does(client: Any, name: str) -> None:
    reference, ours = json.loads(RECORDED.read_text())[name], await answer(client, CASES[name])
    found = differences(f"sdk/{name}", reference, ours)
    assert [each for each in found if explanation(each) is None] == []


async def test_a_closed_client_asks_no_more(server_url: str) -> None:
    client, sync = get_client(url=server_url), get_sync_client(url=server_url)
    await client.aclose()
    sync.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.http.get("/ok")
    with pytest.raises(RuntimeError, match="closed"):
        sync.http.get("/ok")
