"""What calls of models cost, by `prices.csv` and by the tables that users add to it.

Prices are US dollars a million tokens. A row holds from its day on, `valid_from`, for prompts of
more than `over` tokens. A model that is not listed has no price.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import attrs
import msgspec

from duragraph_worker.messages import UsageMetadata

_MILLION = 1_000_000
_DATED = re.compile(r"-(latest|\d{4}-\d\d-\d\d|\d\d-\d{4}|\d{8})$")
"""What tells the versions of a model apart that cost the same."""


@attrs.frozen(kw_only=True)
class Price:
    """A row. Input that was read from or written to the provider's cache may cost less or more."""

    model: str
    """`provider/model`."""
    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    over: int = 0
    valid_from: date

    def of(self, tokens: UsageMetadata) -> Decimal:
        details = tokens.get("input_token_details", {})
        read, written = details.get("cache_read", 0), details.get("cache_creation", 0)
        # Not every server counts what its cache held within the input.
        fresh = max(0, tokens["input_tokens"] - read - written)
        return (
            fresh * self.input
            + read * (self.input if self.cached_input is None else self.cached_input)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + tokens["output_tokens"] * self.output
        ) / _MILLION


def cost(model: str, tokens: UsageMetadata, *, day: date) -> Decimal | None:
    """What a call of `provider/model` cost on that day in US dollars; None if it isn't listed.

    Days before all rows of a model cost as the first of them says.
    """
    known = _table().get(model) or _table().get(_DATED.sub("", model), [])
    fitting = [row for row in known if row.over < max(1, tokens["input_tokens"])]
    if not fitting:
        return None
    day = max(day, min(row.valid_from for row in fitting))
    begun = (row for row in fitting if row.valid_from <= day)
    return max(begun, key=lambda row: (row.valid_from, row.over)).of(tokens)


def load(path: str | Path) -> None:
    """Take the prices of a CSV's models from there, instead of ours. It has our columns.

    Raises ValueError for a row that is no price.
    """
    with Path(path).open(newline="") as lines:
        _table().update(_read(lines))


@cache
def _table() -> dict[str, list[Price]]:
    with Path(__file__).with_name("prices.csv").open() as lines:
        return dict(_read(lines))


def _read(lines: Iterable[str]) -> Mapping[str, list[Price]]:
    rows: defaultdict[str, list[Price]] = defaultdict(list)
    for number, row in enumerate(csv.DictReader(lines), start=2):
        given = {name: text for name, text in row.items() if text}
        try:
            price = msgspec.convert(given, Price, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"line {number} is no price of a model: {error}") from error
        rows[price.model].append(price)
    return rows
