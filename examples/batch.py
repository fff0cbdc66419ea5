"""A long batch job: `python examples/batch.py`, with `--plane` through a plane.

A hundred invoices, twenty at a time. Each round is recorded, so that a crash repeats one round at
most, and of that no invoice that was sent. The mail server fails now and then.
"""

import operator
from typing import Annotated, Literal, TypedDict

from stage import main

from duragraph_worker import Graph, Retry, Send, entrypoint, node, router_node

ROUND = 20


class State(TypedDict, total=False):
    orders: list[int]
    sent: Annotated[list[str], operator.add]
    summary: str


def mail(order: int, *, attempt: int, key: str) -> str:
    """Stands for a mail server, which takes a key, so that sending twice is impossible."""
    if order % 10 == 0 and attempt == 1:
        raise ConnectionError("the mail server is busy")
    return f"invoice {order}"


@Graph(id="batch", state=State)
class Batch:
    """Sends an invoice for each order."""

    @entrypoint
    @node
    def begin(self, state) -> Send[Literal["invoice"]]:
        todo = state["orders"][len(state["sent"]) :]
        return [Send("invoice", {"order": order}) for order in todo[:ROUND]]

    @node(retry=Retry(times=3, on=ConnectionError, first=0.01), timeout=30)
    async def invoice(self, state, ctx):
        order = state["order"]
        sent = await ctx.effect("mail", lambda key: mail(order, attempt=ctx.attempt, key=key))
        return {"sent": [sent]}

    @node
    async def count(self, state, ctx):
        await ctx.emit({"sent": len(state["sent"]), "of": len(state["orders"])})

    @router_node
    def more(self, state) -> Literal["begin", "finish"]:
        return "begin" if len(state["sent"]) < len(state["orders"]) else "finish"

    @node
    def finish(self, state):
        return {"summary": f"{len(state['sent'])} invoices, the last one {state['sent'][-1]!r}"}

    invoice >> count >> more


async def play(stage):
    scene = await stage.run(Batch, {"orders": list(range(1, 101))})
    print(scene.values["summary"])
    return scene


if __name__ == "__main__":
    main(play, Batch)
