"""Neptune's wire through AWS's client: what is sent, what comes back, what is tried again."""

import pytest
from botocore.exceptions import ClientError

from duragraph_worker.integrations.neptune import Neptune
from duragraph_worker.knowledge.graph import Edge, Node, Path
from tests.stores.knowledge.conftest import CREDENTIALS

ADA, PARIS = Node("1", ("Person",), {"name": "Ada"}), Node("2", ("City",), {})
LIVES_IN = Edge("3", "LIVES_IN", "1", "2", {"since": 1840})


class Echo:
    async def query(self, cypher, parameters):
        return [{**parameters, "path": Path((ADA, PARIS), (LIVES_IN,)), "list": [ADA, LIVES_IN]}]


@pytest.fixture
def graph(wire):
    wire.engine = Echo()
    return Neptune(wire.url, **CREDENTIALS)


async def test_signed_statements_and_their_rows(graph):
    assert await graph.query("RETURN $a", {"a": ["é"]}) == [
        {"a": ["é"], "path": Path((ADA, PARIS), (LIVES_IN,)), "list": [ADA, LIVES_IN]}
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "ConcurrentModificationException"), (429, "TooManyRequestsException")],
)
async def test_what_was_undone_is_asked_again(graph, wire, status, code):
    wire.refusals = [(status, code)]
    await graph.query("CREATE (:Person)")
    assert len(wire.asked) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalFailureException"),
        (500, "TimeLimitExceededException"),
        (400, "MalformedQueryException"),
    ],
)
async def test_what_may_have_been_done_is_not(graph, wire, status, code):
    wire.refusals = [(status, code)]
    with pytest.raises(ClientError, match=code):
        await graph.query("CREATE (:Person)")
    assert len(wire.asked) == 1


async def test_what_does_no_harm_is_asked_again(graph, wire):
    wire.refusals = [(500, "InternalFailureException")]
    await graph.delete(ADA)
    wire.refusals = [(500, "TimeLimitExceededException")]
    with pytest.raises(ClientError, match="TimeLimitExceeded"):
        await graph.delete(ADA)
    assert len(wire.asked) == 3


async def test_other_credentials_are_refused(wire):
    graph = Neptune(wire.url, **CREDENTIALS | {"aws_access_key_id": "another"})
    with pytest.raises(ClientError, match="AccessDenied"):
        await graph.query("RETURN 1")
