"""A user of the plane, as auth handlers and graphs see one."""

from collections.abc import Iterator, Mapping
from typing import Any


class User(Mapping[str, Any]):
    """`ctx.user`, and `langgraph_auth_user` of a run: its fields as items and as attributes."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_fields" or name not in self._fields:
            raise AttributeError(f"the user has no {name!r}")
        return self._fields[name]

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __str__(self) -> str:
        return str(self._fields["identity"])

    def model_dump(self) -> dict[str, Any]:
        return {**self._fields}

    dict = model_dump
