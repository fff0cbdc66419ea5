"""The same agent, asked about each tool call on its own, with a schema for the answer."""

from approval_middleware import delete, read, think
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from scripted import Scripted

graph = create_agent(
    Scripted(think),
    tools=[delete, read],
    middleware=[
        HumanInTheLoopMiddleware(
            {"delete": {"allowed_decisions": ["approve", "edit", "reject"]}},
            interrupt_mode="per_call",
        )
    ],
)
