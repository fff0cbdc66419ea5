"""Two agents who hand a conversation to each other and remember who has it (langgraph-swarm)."""

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langgraph_swarm import create_handoff_tool, create_swarm
from scripted import Scripted, asked, calls


def book_flight(to: str) -> str:
    """Book a flight."""
    return f"Booked a flight to {to}."


def book_hotel(city: str) -> str:
    """Book a hotel."""
    return f"Booked a hotel in {city}."


def flights(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool" and messages[-1].name == "book_flight":
        return messages[-1].text
    if "hotel" in asked(messages):
        return calls(("transfer_to_hotels", {}), after=messages)
    return calls(("book_flight", {"to": "Lima"}), after=messages)


def hotels(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool" and messages[-1].name == "book_hotel":
        return messages[-1].text
    if "flight" in asked(messages):
        return calls(("transfer_to_flights", {}), after=messages)
    return calls(("book_hotel", {"city": "Lima"}), after=messages)


graph = create_swarm(
    [
        create_agent(
            Scripted(flights),
            tools=[book_flight, create_handoff_tool(agent_name="hotels")],
            name="flights",
        ),
        create_agent(
            Scripted(hotels),
            tools=[book_hotel, create_handoff_tool(agent_name="flights")],
            name="hotels",
        ),
    ],
    default_active_agent="flights",
).compile()
