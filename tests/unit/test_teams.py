"""Teams: conversations that are handed over, graphs as tools, tools that wait."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypedDict

import pytest

from duragraph_worker import (
    END,
    Command,
    Graph,
    GraphError,
    entrypoint,
    handoff,
    llm_node,
    node,
    tool,
    tool_node,
)
from tests import agents
from tests.agents import Boss, Cast, Desk, Researcher, calls

IN_TIME = 5


@pytest.fixture
def cast() -> Iterator[Callable[..., Cast]]:
    with ExitStack() as stack:
        yield lambda **scripts: stack.enter_context(agents.cast(**scripts))


def said(result: Any) -> list[str]:
    assert result.error is None, result.error
    return [message.text for message in result.output["messages"]]


ASK = {"messages": [("user", "My teapot leaks.")]}


def test_a_model_hands_the_conversation_over(cast):
    played = cast(triage=[calls(("transfer_to_repairs", {}))], repairs=["Send it in."])
    result = Desk().run(ASK)
    assert said(result) == ["My teapot leaks.", "", "Handed over to repairs.", "Send it in."]
    assert result.output["case"] == 7
    assert played.asked("repairs") == ["Handed over to repairs."]
    assert result.steps == 2


def test_it_may_come_back(cast):
    cast(
        triage=[calls(("transfer_to_repairs", {})), "Anything else?"],
        repairs=[calls(("transfer_to_triage", {}))],
    )
    assert said(Desk().run(ASK))[-1] == "Anything else?"


def test_a_hand_over_to_nowhere_is_an_error_of_the_graph():
    with pytest.raises(GraphError, match="'nowhere', which is no node"):

        @Graph(id="astray")
        class Astray:
            @llm_node(tools=[handoff("nowhere")])
            def ask(self, state): ...


def test_a_tools_own_command_goes_where_it_declares(cast):
    @tool(goto=["clerk"])
    def escalate(reason: str) -> Command:
        """Call a person."""
        return Command(goto="clerk", update={"reason": reason})

    @Graph(id="escalating")
    class Escalating:
        @entrypoint
        @llm_node(model="cast/bot")
        async def bot(self, state, llm):
            reply = await llm(state["messages"], tools=[escalate])
            return {"last": reply.tool_calls[0]["name"]}

        @tool_node(tools=[escalate])
        def unused(self, state): ...

        @node
        async def clerk(self, state):
            return {"seen": state["reason"]}

        bot >> unused >> END

    cast(bot=[calls(("escalate", {"reason": "angry"}))])
    error = Escalating().run(ASK).error
    assert "doesn't declare" in str(error)


def test_a_graph_as_a_tool_is_a_child_run_and_nothing_is_asked_twice(cast):
    played = cast(
        boss=[calls(*[("researcher", {"task": f"task {n}"}) for n in range(3)]), "All done."],
        researcher=["found"] * 3,
    )
    result = Boss().run(ASK)
    assert said(result) == ["My teapot leaks.", "", *["found"] * 3, "All done."]
    assert sorted(played.asked("researcher")) == ["task 0", "task 1", "task 2"]
    assert len(played.asked("boss")) == 2


def test_messages_of_one_wait_and_of_the_next_are_told_apart(cast):
    task = [calls(("researcher", {"task": "t"}))]
    cast(boss=[*task, *task, *task, "Done."], researcher=["a", "b", "c"])
    said_then = ["My teapot leaks.", "", "a", "", "b", "", "c", "Done."]
    assert said(Boss().run(ASK)) == said_then


def test_a_tool_node_gives_tasks_too(cast):
    @Graph(id="by-hand")
    class ByHand:
        @tool_node(tools=[Researcher.as_tool("ask")])
        def give(self, state): ...

    cast(researcher=["found"])
    assert said(ByHand().run({"messages": [calls(("ask", {"task": "x"}))]}))[-1] == "found"


class Sum(TypedDict, total=False):
    question: str
    total: int


@Graph(id="adder v2", state=Sum)
class Adder:
    @node
    async def add(self, state):
        return {"total": sum(map(int, state["question"].split("+")))}


def test_other_keys_than_messages_are_named(cast):
    @Graph(id="teacher")
    class Teacher:
        @llm_node(model="cast/teacher", tools=[Adder.as_tool(input="question", output="total")])
        def teach(self, state): ...

    cast(teacher=[calls(("adder_v2", {"task": "1+2"})), "It is 3."])
    assert said(Teacher().run(ASK))[2] == "3"
    with pytest.raises(TypeError, match=r"no key .messages.: .* it has question, total"):
        Adder.as_tool()


def test_agents_report_to_their_supervisor(cast):
    @Graph(id="team")
    class Team:
        @entrypoint
        @llm_node(model="cast/boss", tools=[handoff("research"), handoff("writing")])
        def supervisor(self, state): ...

        research = Researcher.as_subgraph()

        @llm_node(model="cast/writer")
        def writing(self, state): ...

        research >> supervisor
        writing >> supervisor

    played = cast(
        boss=[calls(("transfer_to_research", {})), calls(("transfer_to_writing", {})), "Here."],
        researcher=["facts"],
        writer=["prose"],
    )
    assert said(Team().run(ASK))[-1] == "Here."
    assert played.asked("boss") == ["My teapot leaks.", "facts", "prose"]


async def test_a_tool_may_wait_for_a_signal_and_ask_a_person(cast):
    @tool
    async def buy(item: str, ctx) -> str:
        """Buy an item, once the budget is there."""
        budget = await ctx.wait_for("budget")
        return f"{item} for {budget}, {ctx.interrupt(f'{item}?')}"

    @Graph(id="buyer")
    class Buyer:
        @llm_node(model="cast/buyer", tools=[buy])
        def shop(self, state): ...

    assert "ctx" not in buy.parameters["properties"]
    cast(buyer=[calls(("buy", {"item": "tea"}), ("buy", {"item": "milk"})), "Bought."])
    app = Buyer()
    running = asyncio.create_task(app.arun(ASK, thread_id="t"))
    await asyncio.sleep(0)
    app.signal("t", "budget", 9)
    asked = await asyncio.wait_for(running, IN_TIME)
    assert {each.value for each in asked.interrupts} == {"tea?", "milk?"}
    answers = {each.id: each.value.upper() for each in asked.interrupts}
    bought = await app.aresume("t", answers)
    assert said(bought)[2:] == ["tea for 9, TEA?", "milk for 9, MILK?", "Bought."]
