"""The functional API: tasks, a question in between, and what the last run left (`previous`)."""

from langgraph.func import entrypoint, task
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Essay(TypedDict):
    essay: str
    review: str
    written: int


@task
async def write(topic: str) -> str:
    return f"An essay about {topic}"


@task
def count_words(essay: str) -> int:
    return len(essay.split())


@entrypoint()
async def graph(topic: str, *, previous: Essay | None = None) -> entrypoint.final[Essay, Essay]:
    essay = await write(topic)
    words = await count_words(essay)
    review = interrupt({"essay": essay, "words": words, "action": "Please approve or reject."})
    written = (previous["written"] if previous else 0) + 1
    result = Essay(essay=essay, review=review, written=written)
    return entrypoint.final(value=result, save=result)
