"""What users test their graphs with."""

import pytest

from duragraph_worker import Graph, entrypoint, human_node, llm_node, node, tool, vector_node
from duragraph_worker.integrations.pgvector import PgVector
from duragraph_worker.llm.providers import ModelError, resolve
from duragraph_worker.testing import calls, in_memory, run_graph, scripted

TEA = "Green tea wants water of 80 degrees."
handbook = PgVector("handbook", url="postgresql://nobody@nowhere.invalid/none")


@tool
def weigh(grams: int) -> str:
    """Weigh tea."""
    return f"{grams} g"


@Graph(id="tea")
class Tea:
    @entrypoint
    @vector_node(handbook, k=1)
    def find(self, state): ...

    @llm_node(model="openai/gpt-4o-mini", tools=[weigh])
    def brew(self, state):
        return state["documents"][0]["text"]

    @human_node(prompt="Milk?")
    def milk(self, state, decision):
        return {"milk": decision}

    @human_node(prompt="Sugar?")
    def sugar(self, state, decision):
        return {"sugar": decision}

    find >> brew >> [milk, sugar]


@Graph(id="filled")
class Filled:
    @node
    async def fill(self, state):
        await handbook.upsert(state["texts"])


@Graph(id="broken")
class Broken:
    @node
    def fall(self, state):
        raise ValueError("dropped the pot")


@pytest.fixture
def filled():
    """The handbook, in memory, with what the tests look for."""
    with in_memory(handbook):
        Filled().run({"texts": [TEA, "Shelves are dusted on Mondays."]})
        yield


def test_a_graph_runs_to_its_end_with_scripts_stores_and_answers(filled):
    result = run_graph(
        Tea,
        {"input": "How hot is green tea brewed?"},
        script=[calls(("weigh", {"grams": 4})), "Here it is."],
        answers=[False, True],
    )
    assert result.output["documents"][0]["text"] == TEA
    assert result.output["response"] == "Here it is."
    assert {result.output["milk"], result.output["sugar"]} == {False, True}


@pytest.mark.parametrize(
    ("answers", "told"), [([True], "no answer left for"), ([True, False, 3], "answers \\[3\\]")]
)
def test_too_few_and_too_many_answers_are_told(filled, answers, told):
    with pytest.raises(AssertionError, match=told):
        run_graph(Tea, {"input": "tea"}, script=["Here."], answers=answers)


def test_a_failed_node_raises_what_it_raised():
    with pytest.raises(ValueError, match="dropped the pot"):
        run_graph(Broken, {})
    assert run_graph(Broken, {}, raise_error=False).status == "error"


def test_a_script_that_is_too_short_says_what_was_asked(filled):
    with pytest.raises(AssertionError, match=r"request 2: '4 g'"):
        run_graph(Tea, {"input": "tea"}, script=[calls(("weigh", {"grams": 4}))])


async def test_a_function_may_be_the_script(filled):
    with scripted("openai", lambda request: request.messages[-1].text.upper()) as llm:
        result = await Tea().arun({"input": "green tea"})
    assert result.output["response"] == TEA.upper()
    assert [request.model for request in llm.requests] == ["gpt-4o-mini"]


def test_providers_are_as_before_afterwards():
    with scripted("mine", ()) as other:
        with scripted("mine", ()) as inner:
            assert resolve("mine/x")[0] is inner
        assert resolve("mine/x")[0] is other
    with pytest.raises(ModelError):
        resolve("mine/x")
