"""A state that is a pydantic model, with types that JSON does not have."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated
from uuid import UUID

from langgraph.graph import START, StateGraph
from pydantic import BaseModel, Field


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Author(BaseModel):
    name: str
    born: date | None = None


@dataclass
class Mark:
    line: int
    note: str = ""


def union(old: set[int], new: set[int]) -> set[int]:
    return old | new


class Document(BaseModel):
    """What the nodes get and are checked against."""

    title: str
    author: Author
    level: Level = Level.LOW
    words: int = Field(default=0, ge=0)
    pages: Annotated[set[int], union] = set()
    marks: list[Mark] = []
    price: Decimal | None = None
    published: datetime | None = None
    id: UUID | None = None
    raw: bytes = b""
    pair: tuple[int, str] | None = None
    ratio: float = 0.0


class Receipt(BaseModel):
    title: str
    level: Level
    pages: set[int]


async def read(document: Document) -> dict[str, object]:
    return {
        "words": len(document.title.split()),
        "pages": {1, len(document.author.name)},
        "raw": b"\x00\xff",
    }


async def value(document: Document) -> dict[str, object]:
    return {
        "level": Level.HIGH,
        "price": Decimal("12.50"),
        "published": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        "id": UUID(int=document.words),
        "marks": [*document.marks, Mark(document.words, "read")],
        "pair": (1, "one"),
        "ratio": 2 / 3,
    }


def shelve(document: Document) -> Document:
    return document.model_copy(
        update={"pages": {7}, "author": Author(name="Ada", born=date(1815, 12, 10))}
    )


graph = (
    StateGraph(Document, output_schema=Receipt)
    .add_sequence([read, value, shelve])
    .add_edge(START, "read")
    .compile()
)
