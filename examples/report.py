"""A scheduled report: `python examples/report.py`, with `--plane` through a plane.

The plane runs it at nine on working days, once, whichever of its processes die meanwhile.
"""

from stage import main, pretend

from duragraph_worker import Graph, entrypoint, llm_node, node

SALES = {"teapots": 12, "kettles": 7}
STOCK = {"teapots": 3, "kettles": 40}


@Graph(id="report")
class Report:
    """Gathers figures, has them written up, and posts that."""

    @entrypoint
    @node
    def begin(self, state):
        return {"shop": state.get("shop", "Berlin")}

    @node
    async def sales(self, state):
        return {"sales": SALES}

    @node
    async def stock(self, state):
        return {"stock": STOCK}

    @llm_node(model="openai/gpt-4o-mini", system="Write a report of a line.", into="report")
    def write(self, state):
        return f"{state['shop']}: sold {state['sales']}, left {state['stock']}"

    @node
    async def post(self, state, ctx):
        # The key is the same at each try, so that the channel can refuse a second post.
        posted = await ctx.effect("post", lambda key: f"posted: {state['report']}")
        return {"posted": posted}

    begin >> [sales, stock] >> write >> post


async def play(stage):
    given = {"shop": "Berlin"}
    await stage.schedule(
        Report,
        "0 9 * * MON-FRI",
        timezone="Europe/Berlin",
        input=given,
        on_run_completed="keep",
    )
    return await stage.run(Report, given)


pretend("openai", lambda request: f"Today in {request.messages[-1].text}. Order teapots.")

if __name__ == "__main__":
    main(play, Report)
