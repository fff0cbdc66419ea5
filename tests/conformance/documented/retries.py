"""Nodes that fail and are tried again, and results that are kept for the next time."""

from langgraph.cache.memory import InMemoryCache
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, RetryPolicy
from typing_extensions import TypedDict


class State(TypedDict):
    seed: str
    fails: bool
    attempts: int
    answer: int


class Unreachable(ConnectionError):
    """The database can't be reached."""


async def fetch(state: State, runtime: Runtime) -> dict[str, int]:
    attempt = runtime.execution_info.node_attempt
    runtime.stream_writer({"attempt": attempt})
    if attempt < 3:
        raise Unreachable("try again")
    return {"attempts": attempt}


async def compute(state: State) -> dict[str, int]:
    return {"answer": state["attempts"] * 14}


async def check(state: State, runtime: Runtime) -> None:
    if state.get("fails"):
        raise ValueError(f"no answer for {state['seed']}")


graph = (
    StateGraph(State)
    .add_node(
        fetch,
        retry_policy=RetryPolicy(
            max_attempts=3, initial_interval=0.01, jitter=False, retry_on=Unreachable
        ),
    )
    .add_node(compute, cache_policy=CachePolicy(ttl=600, key_func=lambda state: state["seed"]))
    .add_node(check, retry_policy=[RetryPolicy(initial_interval=0.01, max_attempts=2)])
    .add_edge(START, "fetch")
    .add_edge("fetch", "compute")
    .add_edge("compute", "check")
    .compile(cache=InMemoryCache())
)
