"""The prebuilt agent of LangGraph: tools with state and artifacts, a reply with a structure."""

from typing import Annotated, Literal

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.prebuilt import InjectedState, create_react_agent
from langgraph.prebuilt.chat_agent_executor import AgentStateWithStructuredResponse
from pydantic import BaseModel
from scripted import Scripted, asked, calls


class Verdict(BaseModel):
    """What came of a look at an order."""

    order: str
    status: Literal["late", "shipped", "unknown"]


class Support(AgentStateWithStructuredResponse):
    customer: str


@tool(response_format="content_and_artifact")
def look_up(
    order: str, customer: Annotated[str, InjectedState("customer")]
) -> tuple[str, dict[str, str]]:
    """Find an order of the customer."""
    if order == "0":
        raise ValueError(f"{customer} has no order {order}")
    return f"order {order} of {customer} was shipped", {"carrier": "snail"}


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "human":
        order = "".join(filter(str.isdigit, asked(messages)))
        return calls(("look_up", {"order": order}), after=messages)
    return messages[-1].text


def conclude(messages: list[BaseMessage]) -> AIMessage:
    status = "shipped" if "shipped" in messages[-1].text else "unknown"
    return calls(("Verdict", {"order": "7", "status": status}), after=messages)


def choose(messages: list[BaseMessage]) -> AIMessage | str:
    """One model does both: it is asked for the structure once the tools have answered."""
    return conclude(messages) if messages[-1].type == "ai" else think(messages)


graph = create_react_agent(
    Scripted(choose),
    [look_up],
    prompt="You help customers with their orders.",
    response_format=Verdict,
    state_schema=Support,
)
