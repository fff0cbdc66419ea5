"""`ctx.run`: child runs, their results and ends; with no server they run in this process."""

import asyncio
from typing import Any

import pytest

from duragraph.errors import NotFound
from duragraph.protocol import Effect
from duragraph_worker import Graph, node
from duragraph_worker.errors import ChildRunError
from duragraph_worker.executor.execute import execute
from duragraph_worker.executor.waiting import Child
from tests.unit.plans import Bench, plan
from tests.unit.plans import node as bare

IN_TIME = 5
RUN = "00000000-0000-7000-8000-000000000001"


@Graph(id="doubling")
class Double:
    @node
    async def compute(self, state, ctx):
        if state["n"] < 0:
            raise ValueError("no negative numbers")
        await ctx.sleep(seconds=0.01)
        return {"twice": 2 * state["n"]}


class Parents:
    """Starts no run, but tells which it was to start."""

    def __init__(self, bench: Bench) -> None:
        self.asked: list[Child] = []
        self._record = bench.record

    async def start(self, child: Child) -> str:
        assert self._record.snapshot(child.checkpoint_id), "what it hangs on is not on record"
        self.asked.append(child)
        return f"run-of-{child.assistant}"


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_a_child_is_started_before_the_run_waits_and_its_output_is_remembered(
    durability: str,
):
    async def body(state: Any, ctx: Any) -> Any:
        return {
            "out": await ctx.run("doubling", {"n": 1}, config={"tags": ["x"]}, context={"u": 1})
        }

    bench = Bench(plan(bare("n", body)))
    parents, asked = Parents(bench), {"input": {}, "run_id": RUN, "durability": durability}
    task = bench.task(**asked, stream_mode=[])
    first = await execute(bench.plan, task, bench, children=parents)
    (wait,), (child,) = first.waits, parents.asked
    assert (wait.kind, wait.run_id, wait.key) == ("run", "run-of-doubling", child.key)
    assert (child.input, child.config, child.context) == (
        b'{"n":1}', b'{"tags":["x"]}', b'{"u":1}'
    )  # fmt: skip
    ended = b'{"status":"success","output":{"n":1,"twice":2},"error":null}'
    bench.record.add(Effect(wait.checkpoint_id, wait.key, ended))
    again = bench.task(**asked, stream_mode=[], resuming=True)
    await execute(bench.plan, again, bench, children=parents)
    assert bench.values["out"] == {"n": 1, "twice": 2}
    assert len(parents.asked) == 1


@Graph(id="siblings")
class Family:
    """Runs as many as it is told, each by a name or a class in turn."""

    @node
    async def ask(self, state, ctx):
        targets = ["doubling", Double]
        runs = [ctx.run(targets[n % 2], {"n": n}) for n in range(state["many"])]
        return {"out": [each["twice"] for each in await asyncio.gather(*runs)]}


def test_children_run_beside_each_other_by_name_or_class():
    assert Family().run({"many": 4}).output["out"] == [0, 2, 4, 6]


def test_a_sync_body_runs_children_too():
    @Graph(id="sync")
    class Sync:
        @node
        def ask(self, state, ctx):
            return {"out": ctx.run.sync(Double, {"n": 4})["twice"]}

    assert Sync().run({}).output["out"] == 8


def test_a_childs_failure_is_told_as_clients_see_it():
    @Graph(id="fails")
    class Fails:
        @node
        async def ask(self, state, ctx):
            try:
                await ctx.run(Double, {"n": -1})
            except ChildRunError as error:
                return {"told": [error.status, error.error, str(error)]}

    assert Fails().run({}).output["told"] == [
        "error",
        {"error": "ValueError", "message": "no negative numbers"},
        "The child run of 'doubling' ended with error: ValueError: no negative numbers",
    ]


def test_a_childs_failure_is_its_parents_unless_that_minds():
    @Graph(id="fails-too")
    class FailsToo:
        @node
        async def ask(self, state, ctx):
            await ctx.run(Double, {"n": -1})

    result = FailsToo().run({})
    assert (result.status, type(result.error)) == ("error", ChildRunError)


def test_a_child_that_asks_a_person_has_not_succeeded():
    @Graph(id="asks")
    class Asks:
        @node
        async def ask(self, state, ctx):
            return {"said": ctx.interrupt("well?")}

    @Graph(id="of-asks")
    class OfAsks:
        @node
        async def ask(self, state, ctx):
            await ctx.run(Asks, {"x": 1})

    error = OfAsks().run({}).error
    assert isinstance(error, ChildRunError)
    assert str(error).endswith("interrupted: ChildInterrupted: The run stopped at an interrupt.")


def test_a_graph_that_is_not_there_is_an_error_with_those_that_are():
    @Graph(id="lost")
    class Lost:
        @node
        async def ask(self, state, ctx):
            await ctx.run("nowhere")

    error = Lost().run({}).error
    assert isinstance(error, NotFound)
    assert "'nowhere'" in str(error)
    assert "doubling" in str(error)


def test_what_is_no_graph_is_refused():
    @Graph(id="mistaken")
    class Mistaken:
        @node
        async def ask(self, state, ctx):
            await ctx.run(42)

    assert "not 42" in str(Mistaken().run({}).error)


async def test_children_are_cancelled_with_their_parent():
    begun, ended = asyncio.Event(), asyncio.Event()

    @Graph(id="long")
    class Long:
        @node
        async def work(self, state):
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

    @Graph(id="parent")
    class Parent:
        @node
        async def ask(self, state, ctx):
            await ctx.run(Long, {"x": 1})

    running = asyncio.create_task(Parent().arun({}))
    await asyncio.wait_for(begun.wait(), IN_TIME)
    running.cancel()
    await asyncio.wait([running], timeout=IN_TIME)
    assert ended.is_set()


async def test_a_parent_that_ends_first_leaves_no_child_behind():
    ended = asyncio.Event()

    @Graph(id="slow")
    class Slow:
        @node
        async def work(self, state):
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

    @Graph(id="hasty")
    class Hasty:
        @node
        async def ask(self, state, ctx):
            runs = [asyncio.ensure_future(ctx.run(each, {"n": 1})) for each in (Slow, Double)]
            done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
            return {"out": done.pop().result()["twice"]}

    assert (await asyncio.wait_for(Hasty().arun({}), IN_TIME)).output["out"] == 2
    assert ended.is_set()


def test_a_child_has_children_of_its_own():
    @Graph(id="grandparent")
    class Grandparent:
        @node
        async def ask(self, state, ctx):
            return {"out": (await ctx.run("siblings", {"many": 2}))["out"]}

    assert Grandparent().run({}).output["out"] == [0, 2]


@pytest.mark.parametrize("named", [True, False])
def test_children_of_one_graph_are_told_apart_by_order_or_name(named: bool):
    @Graph(id="several")
    class Several:
        @node
        async def ask(self, state, ctx):
            names = ["a", "b"] if named else [None, None]
            got = [await ctx.run(Double, {"n": n}, name=name) for n, name in enumerate(names)]
            return {"out": [each["twice"] for each in got]}

    assert Several().run({}).output["out"] == [0, 2]
