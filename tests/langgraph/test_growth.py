"""A turn costs what it adds, not what the thread has become."""

from itertools import count

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

MESSAGES = 2000
TURNS = 64
"""Half as many as there are messages between two snapshots: each turn appends two."""
MOST = 8
"""Times a fresh thread's. A copy of the whole list each turn is 400 times."""
SAID = "word " * 20


async def reply(state: MessagesState) -> MessagesState:
    return {"messages": [AIMessage(SAID)]}


chat = StateGraph(MessagesState).add_node(reply).add_edge(START, "reply").compile()


@pytest.mark.timeout(240)
async def test_a_turn_of_a_long_thread_writes_little_more_than_one_of_a_fresh_thread(
    serve, client, owner
):
    await serve(chat=chat)
    numbers = count()

    async def turn(thread_id: str, messages: int = 1) -> None:
        said = [{"role": "human", "content": f"{SAID}{next(numbers)}"} for _ in range(messages)]
        await client.runs.wait(thread_id, "chat", input={"messages": said})

    async def wal_a_turn(*threads: str) -> float:
        before = await owner.fetchval("select pg_current_wal_insert_lsn()")
        for thread_id in threads:
            await turn(thread_id)
        sql = "select (pg_current_wal_insert_lsn() - $1::pg_lsn)::float8"
        return float(await owner.fetchval(sql, before)) / len(threads)

    fresh = [(await client.threads.create())["thread_id"] for _ in range(TURNS)]
    long = (await client.threads.create())["thread_id"]
    await turn(long, MESSAGES)
    await turn(long)
    of_fresh, of_long = await wal_a_turn(*fresh), await wal_a_turn(*[long] * TURNS)
    parts = await owner.fetch(
        "select depth from channel_value where thread_id = $1 and channel = 'messages'", long
    )
    state = await client.threads.get_state(long)
    print(f"\nfresh {of_fresh:,.0f}, long {of_long:,.0f} bytes: x{of_long / of_fresh:.2f}")
    assert len(state["values"]["messages"]) == MESSAGES + 1 + 2 + 2 * TURNS
    assert sum(part["depth"] == 0 for part in parts) > 1
    assert of_long < MOST * of_fresh
