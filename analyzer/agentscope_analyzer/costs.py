"""What the calls of a run cost at list prices: tokens times the prices that ``genai-prices`` ships.

The package's own snapshot is used, never the network. It prices cached input apart from the rest of
the input it is part of, and knows tiers by input length and prices by date; batch, priority and
negotiated prices are not in the spans, so they are not in the figures either. What has no price is
named with a reason, never counted as free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

from agentscope import conventions as c

__all__ = ["Costs", "costs_of", "price_date", "price_source"]

_CHECKED = re.compile(r"\b(?:verified|checked)(?: as)? (?:on|of) (\d{4}-\d\d-\d\d)")


@dataclass
class Costs:
    """USD by provider and model, and why some have none."""

    usd: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    unpriced: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def total_usd(self) -> float | None:
        """Of the models that have a price; None if none has."""
        return float(sum(self.usd.values(), Decimal(0))) if self.usd else None

    def of(self, provider: str, model: str) -> float | None:
        """Of one model; None if it has no price or said no usage."""
        usd = self.usd.get((provider, model))
        return None if usd is None else float(usd)


def costs_of(rows: Iterable[Mapping[str, Any]]) -> Costs:
    """Price the rows of ``llm/usage``."""
    costs = Costs()
    for row in rows:
        key = (row["provider"], row["model"])
        priced = _price(row)
        if isinstance(priced, str):
            costs.unpriced[key] = priced
        elif key not in costs.unpriced:
            costs.usd[key] = costs.usd.get(key, Decimal(0)) + priced
    for key in costs.unpriced:  # a part of a sum is not the sum
        costs.usd.pop(key, None)
    return costs


def price_source() -> str:
    """``genai-prices 0.2.3``."""
    return f"genai-prices {version('genai-prices')}"


@cache
def price_date() -> str | None:
    """The newest day on which a price in the snapshot was checked, as far as its notes say so.

    The package states no date of its own: the snapshot is of that day or later.
    """
    from genai_prices.data_snapshot import get_snapshot

    dates: set[str] = set()
    for provider in get_snapshot().providers:
        for notes in (
            provider.price_comments,
            *(model.price_comments for model in provider.models),
        ):
            dates.update(_CHECKED.findall(notes or ""))
    return max(dates, default=None)


def _price(row: Mapping[str, Any]) -> Decimal | str:
    """USD of one row, or why it has none.

    All calls of a row lie in one price tier, so they cost as many times the mean call.
    """
    from genai_prices import Usage, calc_price

    if not row["model"]:
        return "the calls name no model"
    calls = row["calls"]
    usage = Usage(
        **{
            name: Decimal(row[name]) / calls
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
            if row[name]
        }
    )
    provider = row["provider"]
    for model in dict.fromkeys((row["model"], row["asked_model"])):
        try:
            mean = calc_price(
                usage,
                model,
                provider_id=c.PRICED_AS.get(provider, provider) or None,
                genai_request_timestamp=datetime.fromtimestamp(row["start_ns"] / 1e9, UTC),
            )
        except LookupError:
            continue
        except ValueError as error:
            return f"its usage contradicts itself: {error}"
        if not any(price is not None for price in vars(mean.model_price).values()):
            return f"{price_source()} knows the model and no price of it"
        usd: Decimal = mean.total_price * calls
        return usd
    return f"{price_source()} knows no such model of this provider"
