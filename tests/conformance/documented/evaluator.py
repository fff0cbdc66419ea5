"""One model writes, another judges with a reason, until it is content (evaluator-optimizer).

The project names a function that makes the graph, for each run, from the run's configuration.
"""

from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field
from scripted import Scripted, calls
from typing_extensions import TypedDict


class State(TypedDict):
    topic: str
    joke: str
    feedback: str
    funny: str


class Feedback(BaseModel):
    grade: Literal["funny", "not funny"] = Field(description="whether one laughs")
    feedback: str


def judge(messages: list[BaseMessage]) -> AIMessage:
    grade = "funny" if "puns" in messages[-1].text else "not funny"
    return calls(("Feedback", {"grade": grade, "feedback": "use puns"}), after=messages)


writer = Scripted(lambda messages: f"A joke {messages[-1].text}")
evaluator = Scripted(judge).with_structured_output(Feedback)


async def generate(state: State) -> dict[str, str]:
    wish = f", and {state['feedback']}" if state.get("feedback") else ""
    return {"joke": (await writer.ainvoke(f"about {state['topic']}{wish}")).text}


async def evaluate(state: State) -> dict[str, str]:
    verdict = await evaluator.ainvoke(f"Grade {state['joke']}")
    return {"funny": verdict.grade, "feedback": verdict.feedback}


def accepted(state: State) -> Literal["generate", "__end__"]:
    return END if state["funny"] == "funny" else "generate"


def graph(config: RunnableConfig) -> CompiledStateGraph:
    return (
        StateGraph(State)
        .add_node(generate)
        .add_node(evaluate)
        .add_edge(START, "generate")
        .add_edge("generate", "evaluate")
        .add_conditional_edges("evaluate", accepted)
        .compile(name=config["configurable"].get("name", "Evaluator"))
    )
