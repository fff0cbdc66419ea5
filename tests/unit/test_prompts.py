"""Templates with versions, and nodes whose system prompts they are."""

import pytest

from duragraph_worker import Graph, llm_node
from duragraph_worker.prompts import Prompt, PromptError, Prompts
from duragraph_worker.testing import scripted

GREET = "Greet {{ customer.name }}{% if vip is defined %}, kindly{% endif %}."


def test_a_prompt_is_filled():
    prompt = Prompt("greet", GREET)
    assert prompt.render(customer={"name": "Ada"}) == "Greet Ada."
    assert prompt.render(customer={"name": "{{ 1 + 1 }}"}, vip=True) == "Greet {{ 1 + 1 }}, kindly."


def test_what_is_missing_is_named():
    told = r"prompt greet@3: 'customer' is undefined; given: vip, day"
    with pytest.raises(PromptError, match=told):
        Prompt("greet", GREET, "3").render(vip=True, day=1)


@pytest.mark.parametrize("text", ["{{ customer", "{% if %}"])
def test_a_template_that_cannot_be_read_is_told_with_its_line(text):
    with pytest.raises(PromptError, match=r"prompt greet@1 can't be read: .* in line 2"):
        Prompts({"greet@1": f"Hello\n{text}"})


def test_a_template_reaches_nothing_but_what_it_is_given():
    with pytest.raises(PromptError, match="unsafe"):
        Prompt("sly", "{{ it.__class__.__mro__ }}").render(it="")


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1 / 0 }}",
        "{{ it + 1 }}",
        "{% include 'other' %}",
        "{% for n in range(10 ** 9) %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
    ids=["arithmetic", "types", "no loader", "too long", "endless", "too deep"],
)
def test_whatever_fails_in_a_template_names_the_prompt(text):
    with pytest.raises(PromptError, match="prompt sly@1"):
        Prompt("sly", text, "1").render(it="")


def test_versions_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("greet@1.9.md", "greet@1.10.md", "ask.md", ".hidden"):
        (tmp_path / name).write_text(f"This is {name}.")
    prompts = Prompts(tmp_path)
    assert set(prompts) == {"ask", "greet"}
    assert prompts["greet"].text == "This is greet@1.10.md."
    assert prompts["greet@1.9"].version == "1.9"
    assert "greet@1.9" in prompts
    assert len(prompts["ask"].version) == 8
    assert prompts["ask"].version == Prompts({"ask": "This is ask.md."})["ask"].version


def test_a_file_without_a_version_is_the_newest():
    assert Prompts({"greet": "new", "greet@9": "old"})["greet"].text == "new"


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(PromptError, match="no prompt 'gret'; known: greet@1"):
        Prompts({"greet@1": ""})["gret"]
    with pytest.raises(PromptError, match="there is no folder"):
        Prompts(tmp_path / "none")
    for suffix in ("md", "txt"):
        (tmp_path / f"greet.{suffix}").touch()
    with pytest.raises(PromptError, match="two files"):
        Prompts(tmp_path)
    (tmp_path / "greet.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptError, match="no text in UTF-8"):
        Prompts(tmp_path)


@Graph(id="prompted")
class Prompted:
    @llm_node(model="mine/x", system=Prompt("reply", "Reply as {{ role }}.", "4"))
    def reply(self, state): ...


async def test_a_node_asks_with_it_and_the_run_tells_its_version():
    said = {"role": "a poet", "messages": [("user", "Hi")]}
    with scripted("mine", ["Hi, hi.", "Hi."]) as llm:
        result = await Prompted().arun(said)
        parts = [part async for part in Prompted().stream(said, stream_mode="messages-tuple")]
    assert [message.text for message in llm.requests[0].messages] == ["Reply as a poet.", "Hi"]
    assert result.output["messages"][-1].response_metadata == {"prompt": "reply@4"}
    assert parts[-1].data[1]["prompt"] == "reply@4"


def test_a_state_that_does_not_fill_it_fails_the_node():
    with scripted("mine", ["Hi."]):
        result = Prompted().run({"messages": [("user", "Hi")]})
    assert "'role' is undefined" in str(result.error)
