"""A writer and a critic who talk until the text is good (reflection)."""

from typing import Annotated, Literal

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from scripted import Scripted
from typing_extensions import TypedDict


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def write(messages: list[BaseMessage]) -> AIMessage:
    draft = sum(message.type == "ai" for message in messages) + 1
    return AIMessage(f"Draft {draft} of: {messages[0].text}", id=f"draft-{len(messages)}")


writer = Scripted(write)
critic = Scripted(lambda messages: f"{messages[-1].text} needs more rhymes.")


async def generate(state: State) -> State:
    return {"messages": [await writer.ainvoke(state["messages"])]}


async def reflect(state: State) -> State:
    swapped = {"ai": HumanMessage, "human": AIMessage}
    first, *rest = state["messages"]
    translated = [first, *(swapped[message.type](message.content) for message in rest)]
    remarks = await critic.ainvoke(translated)
    return {"messages": [HumanMessage(remarks.content)]}


def should_continue(state: State) -> Literal["reflect", "__end__"]:
    return END if len(state["messages"]) > 4 else "reflect"


graph = (
    StateGraph(State)
    .add_node(generate)
    .add_node(reflect)
    .add_edge(START, "generate")
    .add_conditional_edges("generate", should_continue)
    .add_edge("reflect", "generate")
    .compile()
)
