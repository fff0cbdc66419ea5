"""Calls of models as they are accounted for: tokens as their provider says, and the price."""

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

import attrs
import msgspec

from duragraph.usage import Usage
from duragraph_worker.llm.prices import cost
from duragraph_worker.llm.providers import split
from duragraph_worker.messages import UsageMetadata

log = logging.getLogger(__name__)


def spent(
    model: str, tokens: UsageMetadata | None, *, key: str = "", failed: bool = False
) -> Usage:
    """A call of `provider/model`, for `ctx.usage`. `tokens` is a message's `usage_metadata`.

    Without tokens, or where those are no counts, there is nothing to pay, as far as is known.
    """
    provider, bare = split(model)
    named = {"provider": provider, "model": bare, "key": key, "failed": failed}
    try:
        call = msgspec.convert({**(tokens or {}), **named}, Usage)
    except msgspec.ValidationError as error:
        # The reply is as good without: its run must not fail for what the provider says of it.
        log.warning("tokens can't be read", extra={"model": model, "why": str(error)})
        return msgspec.convert(named, Usage)
    if tokens is None:
        return call
    counted = cast("UsageMetadata", attrs.asdict(call))
    today = datetime.now(UTC).date()
    return attrs.evolve(call, cost_usd=cost(f"{provider}/{bare}", counted, day=today))


def spared(model: str, *, key: str = "") -> Usage:
    """An answer of `provider/model` that was on hand."""
    provider, bare = split(model)
    return Usage(provider=provider, model=bare, key=key, cached=True, cost_usd=Decimal(0))
