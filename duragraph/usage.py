"""What calls of models took, one by one and summed up as a run shows it.

Pure: planes and workers sum alike, so that a run with no server tells what a run's row would.
Part of the worker protocol, see `protocol.py`.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

import attrs
import msgspec
from msgspec import Meta

Tokens: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Totals: TypeAlias = dict[str, Any]
"""Numbers by name, zeros left out but for tokens; under `models` the same for each of them.

`calls` were made, `failed_calls` of them in vain; `cached_calls` were answered without being made.
`unpriced_calls` took tokens at a price that isn't known: they are missing from `cost_usd`, which
is there once any price was known.
"""


@attrs.frozen(kw_only=True)
class Usage:
    """One call of a model, or an answer that spared it. Its tokens are as the provider says."""

    model: str
    provider: str
    key: str = ""
    """Of the effect that it was made for."""
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    total_tokens: Tokens = 0
    input_token_details: dict[str, Tokens] = attrs.field(factory=dict)
    """Such as `cache_read`: they are counted in `input_tokens`, too."""
    output_token_details: dict[str, Tokens] = attrs.field(factory=dict)
    cost_usd: Decimal | None = None
    """None where no price is known."""
    cached: bool = False
    """Answered from a cache or a memo: no tokens, no cost."""
    failed: bool = False
    """It gave no answer. It may have taken tokens all the same."""


dumps = msgspec.json.Encoder(decimal_format="number").encode
"""JSON, costs to their last digit."""


def frame(call: Usage, *, node: str | None) -> bytes:
    """The data of a `usage` frame: JSON."""
    return dumps({"node": node, **attrs.asdict(call)})


def totals(calls: Iterable[Usage]) -> Totals:
    whole: Totals = {}
    for call in calls:
        add(whole, call)
    return whole


def add(whole: Totals, call: Usage) -> None:
    """Count `call` in, in place."""
    counted = _counted(call)
    _sum(whole, counted)
    _sum(whole.setdefault("models", {}).setdefault(f"{call.provider}/{call.model}", {}), counted)


def _counted(call: Usage) -> Totals:
    tokens = {
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "total_tokens": call.total_tokens,
    }
    counts = {
        "calls": int(not call.cached),
        "failed_calls": int(call.failed),
        "cached_calls": int(call.cached),
        "unpriced_calls": int(call.cost_usd is None and call.total_tokens > 0),
        "input_token_details": call.input_token_details,
        "output_token_details": call.output_token_details,
    }
    cost = {} if call.cost_usd is None else {"cost_usd": call.cost_usd}
    return tokens | {name: count for name, count in counts.items() if count} | cost


def _sum(whole: Totals, more: Totals) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _sum(whole.setdefault(name, {}), value)
        else:
            whole[name] = whole.get(name, 0) + value
