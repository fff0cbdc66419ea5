"""A person is asked before money goes: `python examples/support.py`, `--plane` through a plane.

The thread waits for the answer, for a second or a year, and holds nothing meanwhile.
"""

from typing import Literal

from stage import main, pretend

from duragraph_worker import (
    END,
    Graph,
    Retry,
    entrypoint,
    human_node,
    llm_node,
    node,
    router_node,
    tool,
)

ORDERS = {"A-1": {"item": "teapot", "price": 30}, "A-2": {"item": "kettle", "price": 55}}


@tool
def look_up_order(order_id: str) -> dict:
    """Find an order by its id."""
    return ORDERS.get(order_id, {"error": "no such order"})


def refund(order_id: str, *, idempotency_key: str) -> dict:
    """Stands for a payment provider: it takes a key, so that paying twice is impossible."""
    return {"refunded": order_id}


@Graph(id="support", version="1.0.0")
class Support:
    """Answers customers, asks a person before refunds."""

    @entrypoint
    @llm_node(
        model="openai/gpt-4o-mini",
        system="Classify the customer's wish: refund or question.",
        output=Literal["refund", "question"],
        into="intent",
    )
    def classify(self, state):
        return state["messages"][-1]

    @router_node
    def route(self, state) -> Literal["approve", "answer"]:
        return "approve" if state["intent"] == "refund" else "answer"

    @llm_node(model="openai/gpt-4o-mini", tools=[look_up_order])
    def answer(self, state): ...

    @human_node(prompt="Refund this order?")
    def approve(self, state, decision):
        return {"approved": decision["approve"], "order": decision.get("order")}

    @node(retry=Retry(times=3, on=[ConnectionError]), timeout=30)
    async def pay_back(self, state, ctx):
        if not state["approved"]:
            return {"messages": [("system", "The refund was declined: say so kindly.")]}
        receipt = await ctx.effect(
            "refund", lambda key: refund(state["order"], idempotency_key=key)
        )
        await ctx.emit({"progress": "paid"})
        return {"receipt": receipt, "messages": [("system", f"The refund was paid: {receipt}")]}

    classify >> route
    approve >> pay_back >> answer >> END


async def play(stage):
    thread = stage.thread()
    asked = {"messages": [("user", "I want my money for A-1 back.")]}
    scene = await stage.run(Support, asked, thread)
    print("?", scene.questions[0]["prompt"], "- yes")
    return await stage.run(Support, None, thread, answer={"approve": True, "order": "A-1"})


def script(request):
    if request.output is not None:
        return '{"value": "refund"}'
    return f"It is done. {request.messages[-1].text}"


pretend("openai", script)

if __name__ == "__main__":
    main(play, Support)
