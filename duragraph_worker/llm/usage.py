"""Calls of models as they are accounted for: tokens as their provider says, and the price."""

from datetime import UTC, datetime
from decimal import Decimal

from duragraph.usage import Usage
from duragraph_worker import messages
from duragraph_worker.llm.prices import cost
from duragraph_worker.llm.providers import split

NOTHING: messages.Usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def spent(
    model: str, tokens: messages.Usage | None, *, key: str = "", failed: bool = False
) -> Usage:
    """A call of `provider/model`, for `ctx.usage`. `tokens` is a message's `usage_metadata`.

    Without tokens there is nothing to pay, as far as is known.
    """
    provider, bare = split(model)
    today = datetime.now(UTC).date()
    return Usage(
        provider=provider,
        model=bare,
        key=key,
        failed=failed,
        cost_usd=None if tokens is None else cost(f"{provider}/{bare}", tokens, day=today),
        **(tokens or NOTHING),
    )


def spared(model: str, *, key: str = "") -> Usage:
    """An answer of `provider/model` that was on hand."""
    provider, bare = split(model)
    return Usage(provider=provider, model=bare, key=key, cached=True, cost_usd=Decimal(0))
