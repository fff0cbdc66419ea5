"""A plan, its steps one by one by an agent, and a look at the plan after each."""

import operator
from typing import Annotated, Literal

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field
from scripted import Scripted, asked, calls
from typing_extensions import TypedDict


class PlanExecute(TypedDict):
    input: str
    plan: list[str]
    past_steps: Annotated[list[tuple[str, str]], operator.add]
    response: str


class Plan(BaseModel):
    """What to do, in order."""

    steps: list[str] = Field(description="the steps, sorted")


class Response(BaseModel):
    """An answer to the user."""

    response: str


class Act(BaseModel):
    """What to do now."""

    action: Response | Plan


@tool
def search(query: str) -> str:
    """Search for facts."""
    return {"winner": "Iga", "hometown": "Warsaw"}.get(query, "nothing")


def execute(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool":
        return f"Found {messages[-1].text}."
    return calls(("search", {"query": asked(messages).split()[-1]}), after=messages)


def make_plan(messages: list[BaseMessage]) -> AIMessage:
    return calls(("Plan", {"steps": ["find the winner", "find the hometown"]}), after=messages)


def think_again(messages: list[BaseMessage]) -> AIMessage:
    *_, done = messages[-1].text.splitlines()
    if "hometown" in done:
        return calls(("Act", {"action": {"response": "It is Warsaw."}}), after=messages)
    return calls(("Act", {"action": {"steps": ["find the hometown"]}}), after=messages)


planner = Scripted(make_plan).with_structured_output(Plan)
replanner = Scripted(think_again).with_structured_output(Act)
executor = create_agent(Scripted(execute), tools=[search])


async def plan_step(state: PlanExecute) -> dict[str, list[str]]:
    plan = await planner.ainvoke([("user", state["input"])])
    return {"plan": plan.steps}


async def execute_step(state: PlanExecute) -> dict[str, list[tuple[str, str]]]:
    task = state["plan"][0]
    result = await executor.ainvoke({"messages": [("user", task)]})
    return {"past_steps": [(task, result["messages"][-1].text)]}


async def replan_step(state: PlanExecute) -> dict[str, str | list[str]]:
    done = "\n".join(f"{task}: {result}" for task, result in state["past_steps"])
    decision = await replanner.ainvoke(f"{state['input']}\n{done}")
    if isinstance(decision.action, Response):
        return {"response": decision.action.response}
    return {"plan": decision.action.steps}


def should_end(state: PlanExecute) -> Literal["agent", "__end__"]:
    return END if state.get("response") else "agent"


graph = (
    StateGraph(PlanExecute)
    .add_node("planner", plan_step)
    .add_node("agent", execute_step)
    .add_node("replan", replan_step)
    .add_edge(START, "planner")
    .add_edge("planner", "agent")
    .add_edge("agent", "replan")
    .add_conditional_edges("replan", should_end)
    .compile()
)
