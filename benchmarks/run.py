"""Runs the same load against servers that speak the LangGraph API, in turns, in one run.

    python benchmarks/run.py ours=http://127.0.0.1:8123 reference=http://127.0.0.1:8124 \
        --pid ours:database=4711 --pid ours:worker=4712

Every answer is checked. CPU is that of the named processes and their children, and of whoever
listens on the server's port, per run. Compare ratios within one run, CPU before rates.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil

CALLERS = (1, 8, 32, 128)
ECHO = {"assistant_id": "echo", "input": {"msg": "hi"}}
TOKENS = {"assistant_id": "tokens", "input": {"count": 200}, "stream_mode": ["custom"]}


class Server:
    def __init__(self, name: str, url: str, roles: dict[str, int]):
        self.name, self.url = name, url
        self.roles = roles | {"server": listener(urlsplit(url).port)}

    def cpu(self) -> dict[str, float]:
        """Seconds so far, by role."""
        return {role: spent(pid) for role, pid in self.roles.items()}


def listener(port: int | None) -> int:
    for connection in psutil.net_connections("tcp"):
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
            return connection.pid
    sys.exit(f"nobody listens on port {port}")


def spent(pid: int) -> float:
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


async def thread(session: aiohttp.ClientSession, server: Server) -> str:
    async with session.post(f"{server.url}/threads", json={}) as response:
        return (await response.json())["thread_id"]


async def echo(session: aiohttp.ClientSession, server: Server, thread_id: str) -> None:
    url = f"{server.url}/threads/{thread_id}/runs/wait"
    async with session.post(url, json=ECHO) as response:
        answer = await response.json()
        if answer.get("out") != "hi":
            raise RuntimeError(f"{server.name} answered {answer}")


async def rate(server: Server, callers: int, seconds: float) -> dict[str, float]:
    """Runs a second and CPU ms a run of `callers`, each waiting for its run before the next."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        threads = [await thread(session, server) for _ in range(callers)]
        await asyncio.gather(*(echo(session, server, t) for t in threads))
        took: list[float] = []
        began, before = time.perf_counter(), server.cpu()

        async def call(thread_id: str) -> None:
            while time.perf_counter() - began < seconds:
                sent = time.perf_counter()
                await echo(session, server, thread_id)
                took.append(time.perf_counter() - sent)

        await asyncio.gather(*map(call, threads))
        wall, after = time.perf_counter() - began, server.cpu()
    used = {f"cpu_{r}": (after[r] - before[r]) / len(took) * 1e3 for r in after}
    return {
        "runs_a_second": len(took) / wall,
        "p50_ms": statistics.median(took) * 1e3,
        "cpu_ms_a_run": sum(used.values()),
    } | used


async def first_token(server: Server, seconds: float) -> dict[str, float]:
    """From the request to the first event, and to the first of 200 tokens; one caller."""
    event: list[float] = []
    token: list[float] = []
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - began < seconds:
            url = f"{server.url}/threads/{await thread(session, server)}/runs/stream"
            sent, seen = time.perf_counter(), 0
            async with session.post(url, json=TOKENS) as response:
                async for line in response.content:
                    if line.startswith(b"event: ") and not seen:
                        event.append(time.perf_counter() - sent)
                        seen = -1
                    if line.startswith(b"event: custom"):
                        if seen <= 0:
                            token.append(time.perf_counter() - sent)
                            seen = 0
                        seen += 1
            if seen != TOKENS["input"]["count"]:
                raise RuntimeError(f"{server.name} streamed {seen} tokens")
    return {
        "first_event_ms": statistics.median(event) * 1e3,
        "first_token_ms": statistics.median(token) * 1e3,
    }


async def measure(servers: list[Server], *, rounds: int, seconds: float) -> dict[str, list]:
    """The median of each figure over rounds; servers take turns within each."""
    loads: dict[str, Callable[[Server], Awaitable[dict[str, float]]]] = {
        f"echo, {n} callers": lambda server, n=n: rate(server, n, seconds) for n in CALLERS
    }
    loads["200 tokens"] = lambda server: first_token(server, seconds)
    results: dict[str, list] = {}
    for load, run in loads.items():
        seen: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                seen[server.name].append(await run(server))
        for key in seen[servers[0].name][0] | seen[servers[-1].name][0]:
            medians = [
                statistics.median(r[key] for r in seen[s.name]) if key in seen[s.name][0] else None
                for s in servers
            ]
            results.setdefault(load, []).append([key, *medians])
            show(load, key, medians)
    return results


def show(load: str, key: str, medians: list[float | None]) -> None:
    figures = "".join("         -" if m is None else f"{m:10.2f}" for m in medians)
    first, last = medians[0], medians[-1]
    ratio = f"  x{last / first:.1f}" if len(medians) > 1 and first and last else ""
    print(f"{load:18} {key:16}{figures}{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--pid", action="append", default=[], metavar="NAME:ROLE=PID")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out")
    options = parser.parse_args()
    roles: dict[str, dict[str, int]] = {}
    for given in options.pid:
        who, _, pid = given.partition("=")
        name, _, role = who.partition(":")
        roles.setdefault(name, {})[role] = int(pid)
    servers = []
    for given in options.servers:
        name, _, url = given.partition("=")
        servers.append(Server(name, url, roles.get(name, {})))
    print(f"{'':35}" + "".join(f"{s.name:>10}" for s in servers))
    results = asyncio.run(measure(servers, rounds=options.rounds, seconds=options.seconds))
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
