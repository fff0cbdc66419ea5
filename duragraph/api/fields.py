"""What bodies and answers share: field types, selected keys, the error without a thread."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta

from duragraph.errors import NotFound

Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Object: TypeAlias = dict[str, Any]


def no_thread(thread_id: str) -> NotFound:
    """The error for a thread that does not exist, in the wire's own words."""
    return NotFound(f"Thread with ID {thread_id} not found")


def select(rows: Sequence[Any], names: Sequence[str] | None) -> list[Any]:
    """Rows with these keys only, as far as they have them; all of them when none are named."""
    if not names:
        return list(rows)
    return [{n: v for n in names if (v := getattr(row, n)) is not UNSET} for row in rows]
