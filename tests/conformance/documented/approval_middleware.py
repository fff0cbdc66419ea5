"""An agent whose tool calls wait for a person, all in one question (LangChain's middleware)."""

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from scripted import Scripted, calls


@tool
async def delete(file: str) -> str:
    """Delete a file."""
    return f"{file} is gone"


@tool
async def read(file: str) -> str:
    """Read a file."""
    return f"{file} is empty"


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "human":
        return calls(*(("delete", {"file": file}) for file in "ab"), after=messages)
    if messages[-1].name == "delete":
        return calls(("read", {"file": "c"}), after=messages)
    return " and ".join(m.text for m in messages if m.type == "tool")


graph = create_agent(
    Scripted(think),
    tools=[delete, read],
    middleware=[
        HumanInTheLoopMiddleware({"delete": {"allowed_decisions": ["approve", "edit", "reject"]}})
    ],
)
