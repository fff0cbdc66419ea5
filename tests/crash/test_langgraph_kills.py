"""kill -9 of workers under LangGraph's graphs: each run ends as if nothing had happened."""

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from tests.crash.acknowledged import (
    acknowledged,
    check_all_that_began_was_acknowledged,
    check_nothing_acknowledged_began_again,
    take_notes,
)
from tests.crash.documented_stories import DOCUMENTED
from tests.crash.evidence import audit
from tests.crash.kills import KILLS, WORKERS, kill_at_random_moments
from tests.crash.stories import ENDS, FRAMES, OWN, Story, Told, check_customs, difference, play
from tests.crash.witness import side_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CLIENTS = 60
DRAINS = 6
REST_SECONDS = 90
"""What the last stories may take after the last kill: four runs, each hit by it at worst."""
Stories = dict[str, Callable[[], Story]]
STAGES = pytest.mark.parametrize(
    ("module", "stories", "share_moved"),
    [("langgraph_graphs", OWN, 1.0), ("documented_graphs", DOCUMENTED, 1.0)],
    ids=["own", "documented"],
)
"""`share_moved`: of the graphs, those that go from a killed worker to another in 200 kills."""


def targets(module: str, stories: Stories) -> list[str]:
    return [f"tests.crash.{module}:{graph}" for graph in stories]


async def play_undisturbed(client, stories: Stories) -> dict[str, Told]:
    played = (play(client, graph, story(), durability="async") for graph, story in stories.items())
    return dict(zip(stories, await asyncio.gather(*played), strict=True))


async def keep_playing(client, stories: Stories, number: int, over: asyncio.Event) -> list[Told]:
    """One story after another, those of all graphs in turn."""
    played, names = [], list(stories)
    while not over.is_set():
        graph = names[(number + len(played)) % len(names)]
        durability = random.choice(["sync", "async"])
        played.append(await play(client, graph, stories[graph](), durability=durability))
    return played


@STAGES
async def test_two_hundred_killed_workers_change_nothing_that_a_graph_does(
    start_cluster, module, stories, share_moved
):
    graphs = targets(module, stories)
    # More attempts than chance may need: a run that is hit four times proves no fault.
    async with start_cluster(workers=WORKERS, graphs=graphs, max_attempts=40) as cluster:
        await take_notes(cluster.database_url)
        over, client = asyncio.Event(), cluster.client()
        undisturbed = await play_undisturbed(client, stories)
        async with asyncio.TaskGroup() as group:
            playing = [
                group.create_task(keep_playing(client, stories, n, over)) for n in range(CLIENTS)
            ]
            killed = await kill_at_random_moments(cluster)
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(playing)
        told = [each for task in playing for each in task.result()]
        log = side_log(cluster.side_log)
        pids: defaultdict[str, set[int]] = defaultdict(set)
        for began in log:
            pids[began.run_id].add(began.pid)
        moved = Counter(
            each.graph for each in told if any(len(pids[run]) > 1 for run in each.run_ids)
        )
        print(
            f"\n{len(killed)} kills; {len(told)} stories, {sum(len(t.run_ids) for t in told)} "
            f"runs; moved: {dict(moved)}; bodies begun {len(log)}"
        )
        for each in told:
            check_customs(each)
        ends, shown = (
            [d for each in told if (d := difference(undisturbed[each.graph], each, parts))]
            for parts in (ENDS, FRAMES)
        )
        print(*ends, *shown, sep="\n")
        assert not ends, (len(ends), ends[0])
        assert not shown, (len(shown), shown[0])
        assert len(moved) >= share_moved * len(stories) * min(1, KILLS / 200)
        noted = await acknowledged(cluster.database_url)
        check_nothing_acknowledged_began_again(log, noted)
        check_all_that_began_was_acknowledged(log, noted, told, undisturbed.values())
        assert await audit(cluster.database_url) == 0


async def test_a_worker_that_is_told_to_stop_gives_its_graphs_back(start_cluster):
    graphs, stories = targets("langgraph_graphs", OWN), OWN
    async with start_cluster(workers=1, graphs=graphs) as cluster:
        await take_notes(cluster.database_url)
        client, (leaver,) = cluster.client(), cluster.workers
        undisturbed = await play_undisturbed(client, stories)
        for _ in range(DRAINS):
            playing = [
                asyncio.ensure_future(play(client, graph, story(), durability=durability))
                for graph, story in stories.items()
                for durability in ("sync", "async")
            ]
            heir = await cluster.add_worker()
            await asyncio.sleep(random.uniform(0, 0.4))  # the moment is the experiment
            await leaver.kill(signal.SIGTERM)
            async with asyncio.timeout(REST_SECONDS):
                told = await asyncio.gather(*playing)
            differing = [d for each in told if (d := difference(undisturbed[each.graph], each))]
            assert not differing, (len(differing), differing[0])
            leaver = heir
        log = side_log(cluster.side_log)
        noted = await acknowledged(cluster.database_url)
        check_nothing_acknowledged_began_again(log, noted)
        check_all_that_began_was_acknowledged(log, noted)
        assert await audit(cluster.database_url) == 0
