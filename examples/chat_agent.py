"""A chat agent with tools: `python examples/chat_agent.py`, with `--plane` through a plane."""

from stage import main, pretend

from duragraph_worker import Graph, llm_node, tool
from duragraph_worker.testing import calls

ORDERS = {"A-1": {"item": "teapot", "price": 30}, "A-2": {"item": "kettle", "price": 55}}


@tool
def look_up_order(order_id: str) -> dict:
    """Find an order by its id."""
    return ORDERS.get(order_id, {"error": "no such order"})


@tool
async def track(order_id: str) -> str:
    """Say where the parcel of an order is."""
    return f"{order_id} is on its way"


@Graph(id="chat_agent")
class Agent:
    """Answers customers of a tea shop."""

    @llm_node(
        model="openai/gpt-4o-mini",
        system="You work in a tea shop. Look orders up, don't guess.",
        tools=[look_up_order, track],
    )
    def chat(self, state): ...


async def play(stage):
    thread = stage.thread()
    await stage.run(Agent, {"messages": [("user", "Where is my order A-2?")]}, thread)
    return await stage.run(Agent, {"messages": [("user", "What did it cost?")]}, thread)


def script(request):
    match request.messages[-1]:
        case asked if "Where" in asked.text:
            return calls(("look_up_order", {"order_id": "A-2"}), ("track", {"order_id": "A-2"}))
        case asked if "cost" in asked.text:
            return "You paid 55 euros for it."
        case told:
            return f"Your kettle: {told.text}."


pretend("openai", script)

if __name__ == "__main__":
    main(play, Agent)
