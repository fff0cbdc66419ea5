"""An agent that calls tools in a loop until it can answer (LangChain, "Agents")."""

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from scripted import Scripted, asked, calls

WEATHER = {"paris": "18 °C, sunny", "oslo": "-3 °C, snow"}


@tool
async def weather(city: str) -> str:
    """Tell the weather in a city."""
    return WEATHER[city.lower()]


@tool
async def difference(first: int, second: int) -> int:
    """Subtract one temperature from another."""
    return first - second


def think(messages: list[BaseMessage]) -> AIMessage | str:
    match messages[-1].type, asked(messages):
        case "human", question if "weather" in question:
            cities = [city for city in WEATHER if city in question.lower()]
            return calls(
                *[("weather", {"city": c}) for c in cities], after=messages, says="Let me look."
            )
        case "human", _:
            return "I only know about the weather."
        case "tool", _ if messages[-1].name == "weather" and messages[-2].type == "tool":
            return calls(("difference", {"first": 18, "second": -3}), after=messages)
    return f"It is {messages[-1].text}."


graph = create_agent(
    Scripted(think),
    tools=[weather, difference],
    system_prompt="You are a weather forecaster.",
    name="forecaster",
)
