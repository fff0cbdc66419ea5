"""A supervisor that hands work to two agents and gets it back (langgraph-supervisor)."""

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langgraph_supervisor import create_supervisor
from scripted import Scripted, asked, calls


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def search(query: str) -> str:
    """Search the web."""
    return "Head counts: Acme 12, Umbrella 30."


def calculate(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool" and messages[-1].name == "add":
        return f"The sum is {messages[-1].text}."
    return calls(("add", {"a": 12, "b": 30}), after=messages)


def research(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool" and messages[-1].name == "search":
        return messages[-1].text
    return calls(("search", {"query": asked(messages)}), after=messages)


def supervise(messages: list[BaseMessage]) -> AIMessage | str:
    since = messages[max(i for i, m in enumerate(messages) if m.type == "human") :]
    said = " ".join(message.text for message in since)
    if "Head counts" not in said:
        return calls(("transfer_to_research_expert", {}), after=messages)
    if "The sum" not in said:
        return calls(("transfer_to_math_expert", {}), after=messages)
    return "Together they have 42 people."


graph = create_supervisor(
    [
        create_agent(Scripted(research), tools=[search], name="research_expert"),
        create_agent(Scripted(calculate), tools=[add], name="math_expert"),
    ],
    model=Scripted(supervise),
    prompt="You manage a researcher and a mathematician.",
    output_mode="full_history",
).compile()
