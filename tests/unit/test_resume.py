"""A run that loses its worker after any item it recorded ends as if nothing had happened."""

import itertools
import operator
from typing import Any

import attrs
import pytest

from duragraph.protocol import RUN_TASK, Checkpoint, Effect, Item, Write
from duragraph_worker import serialize
from duragraph_worker.plan import Plan
from tests.unit.plans import (
    ASK,
    CYCLE,
    DEEP,
    ECHO,
    ERROR,
    FAN,
    ROUTER,
    SEND,
    SUB,
    SUB_ASK,
    TOKENS,
    Bench,
    channels,
    node,
    plan,
    update,
)

Step = dict[str, Any]

GRAPHS: dict[str, tuple[Plan, list[Step]]] = {
    "echo": (ECHO, [{"input": {"msg": "hi"}}]),
    "fan": (FAN, [{"input": {"items": ["x"]}}, {"input": {"items": ["y"]}}]),
    "router": (ROUTER, [{"input": {"kind": "l"}}]),
    "cycle": (CYCLE, [{"input": {"stop": 4}}]),
    "command": (
        CYCLE,
        [{"input": {"stop": 2}}, {"command": {"update": {"n": 0}, "goto": "tick"}}],
    ),
    "interrupt": (
        ASK,
        [{"input": {"q": "?"}}, {"command": {"resume": "A"}}, {"command": {"resume": "B"}}],
    ),
    "breakpoint": (ASK, [{"input": {"q": "?"}, "interrupt_before": ["ask"]}, {"input": None}]),
    "after": (CYCLE, [{"input": {"stop": 2}, "interrupt_after": "*"}, {"input": None}]),
    "error": (ERROR, [{"input": {"kind": "v"}}]),
    "tokens": (TOKENS, [{"input": {"messages": [{"role": "user", "content": "q", "id": "u"}]}}]),
    "subgraph": (SUB, [{"input": {"topic": "t"}}]),
    "subgraph-interrupt": (SUB_ASK, [{"input": {"topic": "t"}}, {"command": {"resume": "R"}}]),
    "deep": (DEEP, [{"input": {"topic": "t"}}, {"command": {"resume": "R"}}]),
    "send": (SEND, [{"input": {"xs": [1, 2, 3]}}]),
}


def watched(graph: Plan, ran: list[str]) -> Plan:
    """`graph`, with the id of every task that runs noted in `ran`."""

    def watch(each: Any) -> Any:
        if each.subgraph is not None:
            return attrs.evolve(each, subgraph=watched(each.subgraph, ran))

        async def call(state: Any, injected: Any) -> Any:
            ran.append(injected["ctx"]._task.id)
            return await each.call(state, injected)

        return attrs.evolve(each, call=call)

    return attrs.evolve(graph, nodes={name: watch(each) for name, each in graph.nodes.items()})


def without_ids(value: Any) -> Any:
    """Message ids hold the attempt on purpose."""
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key != "id"}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


def feed(items: list[Item], graph: Plan) -> Bench:
    bench = Bench(graph)
    for item in items:
        bench.put(item)
    return bench


def finished(items: list[Item]) -> set[str]:
    return {
        item.task_id
        for item in items
        if isinstance(item, Write) and item.result is not None and item.task_id != RUN_TASK
    }


@pytest.mark.parametrize("durability", ["async", "sync", "exit"])
@pytest.mark.parametrize("name", GRAPHS)
async def test_a_run_cut_anywhere_ends_the_same_and_repeats_nothing_recorded(
    name: str, durability: str
):
    graph, steps = GRAPHS[name]
    modes = ["values", "updates", "tasks", "messages"]
    straight = Bench(graph)
    for at, step in enumerate(steps):
        before = list(straight.items)
        run_id = f"00000000-0000-7000-8000-{at:012}"
        kwargs = {**step, "durability": durability, "stream_mode": modes, "run_id": run_id}
        outcome = await straight.run(**kwargs)
        for cut in range(len(before), len(straight.items) + 1):
            recorded = straight.items[:cut]
            ran: list[str] = []
            again = feed(recorded, watched(graph, ran))
            over = await again.run(**kwargs, attempt=2, resuming=_head_is_of(again, run_id))
            assert (over.status, over.error) == (outcome.status, outcome.error), over.trace
            assert over.interrupted == outcome.interrupted
            assert without_ids(again.values) == without_ids(straight.values)
            assert finished(recorded).isdisjoint(ran)
            assert _asked(again) == _asked(straight)
            if outcome.interrupted and cut == len(straight.items) and _head_is_of(again, run_id):
                assert not ran, "what asked has asked"


def _head_is_of(bench: Bench, run_id: str) -> bool:
    """How the plane tells that an earlier attempt got anywhere."""
    snapshot = bench.record.snapshot()
    return snapshot is not None and serialize.decode(snapshot.metadata)["run_id"] == run_id


def _asked(bench: Bench) -> list[Any]:
    """The open questions; their ids differ where the checkpoint they belong to was lost."""
    snapshot = bench.record.snapshot()
    assert snapshot is not None
    return [
        [asked["value"] for asked in serialize.decode(write.interrupts)]
        for write in snapshot.writes
        if write.result is None and write.interrupts is not None
    ]


async def test_frames_after_a_takeover_go_on_without_a_repetition():
    straight = Bench(FAN)
    await straight.run({"items": ["x"]}, stream_mode=["values", "updates"])
    places = [at for at, item in enumerate(straight.items) if isinstance(item, Checkpoint)]
    for place, following in itertools.pairwise(places[1:]):
        recorded = straight.items[:following]
        cut = next(
            (at for at in range(place + 1, following) if isinstance(recorded[at], Write)),
            following,
        )
        again = feed(straight.items[:cut], FAN)
        await again.run({"items": ["x"]}, stream_mode=["values", "updates"], resuming=True)
        assert sorted(map(str, again.frames())) == sorted(map(str, straight.frames()))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("durability", ["async", "sync", "exit"])
async def test_a_recorded_effect_is_not_repeated_and_its_key_stays(durability: str, deep: bool):
    charged: list[str] = []

    async def pay(state: Any, ctx: Any) -> Any:
        receipt = await ctx.effect("charge", lambda key: charged.append(key) or len(charged))
        return {"paid": [receipt]}

    graph = plan(
        node("a", update(paid=[])),
        node("pay", pay),
        node("b", update(paid=[0])),
        edges="a>pay pay>b",
        channels=channels(paid=operator.add),
    )
    if deep:
        graph = plan(node("sub", update(), kind="subgraph", subgraph=graph))
    straight = Bench(graph)
    await straight.run({}, durability=durability)
    # What stands before the effect is recorded before it begins: no cut can come earlier.
    paid = next(at for at, item in enumerate(straight.items) if isinstance(item, Effect))
    begun = max(at for at in range(paid) if isinstance(straight.items[at], Checkpoint))
    for cut in range(begun + 1, len(straight.items)):
        recorded = straight.items[:cut]
        charged[:] = charged[:1]
        await feed(recorded, graph).run({}, durability=durability, resuming=True)
        known = any(isinstance(item, Effect) for item in recorded)
        assert charged == [charged[0]] * (1 if known else 2)


async def test_an_answer_is_used_once_even_if_the_run_is_taken_over():
    straight = Bench(ASK)
    await straight.run({"q": "?"})
    await straight.run(None, command={"resume": "A"}, run_id="one")
    for resuming in (True, False):
        again = feed(straight.items, ASK)
        outcome = await again.run(None, command={"resume": "A"}, run_id="one", resuming=resuming)
        assert outcome.interrupted
        assert b'"x":"A"' in outcome.interrupts
