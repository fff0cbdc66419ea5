"""A person looks at each tool call before it is made: goes on, corrects it or says no."""

from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from scripted import Scripted, asked, calls


@tool
def send_money(to: str, amount: int) -> str:
    """Send money to somebody."""
    return f"sent {amount} to {to}"


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "human" and "send" in asked(messages):
        return calls(("send_money", {"to": "Ada", "amount": 100}), after=messages)
    return f"Done: {messages[-1].text}"


model = Scripted(think).bind_tools([send_money])


def call_model(state: MessagesState) -> MessagesState:
    return {"messages": [model.invoke(state["messages"])]}


def wants_review(state: MessagesState) -> Literal["review", "__end__"]:
    return "review" if state["messages"][-1].tool_calls else END


def review(state: MessagesState) -> Command[Literal["call_model", "run_tool"]]:
    message = state["messages"][-1]
    call = message.tool_calls[0]
    answer = interrupt({"question": "Is this correct?", "tool_call": call})
    match answer:
        case {"action": "continue"}:
            return Command(goto="run_tool")
        case {"action": "update", "data": args}:
            corrected = message.model_copy(update={"tool_calls": [{**call, "args": args}]})
            return Command(goto="run_tool", update={"messages": [corrected]})
        case {"action": "feedback", "data": words}:
            refusal = ToolMessage(words, name=call["name"], tool_call_id=call["id"])
            return Command(goto="call_model", update={"messages": [refusal]})
    raise ValueError(f"unknown answer: {answer}")


graph = (
    StateGraph(MessagesState)
    .add_node(call_model)
    .add_node(review)
    .add_node("run_tool", ToolNode([send_money]))
    .add_edge(START, "call_model")
    .add_conditional_edges("call_model", wants_review)
    .add_edge("run_tool", "call_model")
    .compile()
)
