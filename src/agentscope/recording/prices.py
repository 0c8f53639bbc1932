"""What calls of models cost, at the list prices that the package ``genai-prices`` ships.

Only where that package is installed, and never by the network. Pricing one call takes longer than
recording it, so tokens are added up and priced when the metrics are next looked at, about once a
second: a price is linear within a tier of input lengths, so calls of one tier cost as many times
their mean. Cached and reasoning tokens are parts of their totals, as the conventions have it; the
package prices cached input apart from the rest. What has no price is counted, never as money.
"""

from __future__ import annotations

import importlib.util
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Instruments
from agentscope.recording.span import AttributeValue

MAX_MODELS = 512
"""Models whose tiers are remembered."""

UNKNOWN_MODEL, NO_USAGE, CONTRADICTORY = "unknown_model", "no_usage", "contradictory_usage"
"""Why a call has no price."""

_NAMES = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
)
"""What the package calls the counts of a call."""

_package: Any = None
_tiers: dict[tuple[str, str], tuple[int, ...] | None] = {}


def load() -> bool:
    """Load the prices, where the package is installed; whether they are there now.

    Takes 25 ms, or 160 ms where the package has no compiled bytecode, and holds the interpreter
    lock for much of it: to be called where a client library is imported, not while turns run.
    """
    global _package
    if _package is None:
        try:
            if importlib.util.find_spec("genai_prices") is not None:
                import genai_prices
                from genai_prices.data_snapshot import get_snapshot

                get_snapshot()
                _package = genai_prices
        except Exception as error:  # a version that we do not know, or one that is broken
            note_error("prices", error)
    return _package is not None


def bill(
    instruments: Instruments,
    provider: str,
    model: str,
    answered_by: str,
    tokens: Sequence[AttributeValue | None],
) -> None:
    """Have a call counted into ``agentscope.cost``, or among those without a price.

    ``answered_by`` is the model that the answer named, ``tokens`` are input, output, of the
    input those read from the provider's cache and written to it, and of those written the ones to
    be kept for an hour. For the recorder's thread.
    """
    if _package is None:
        return
    total, output, cache_read, cache_write, for_an_hour = counts = [
        number if type(number) is int else 0 for number in tokens
    ]
    if not total and not output:
        _unpriced(instruments, provider, model, NO_USAGE)
        return
    contradictory = cache_read + cache_write > total or for_an_hour > cache_write
    if contradictory or min(counts) < 0:
        _unpriced(instruments, provider, model, CONTRADICTORY)
        return
    for priced_as in dict.fromkeys((answered_by, model)):
        starts = _tiers_of(provider, priced_as)
        if starts is not None:
            key = (bill, provider, model, priced_as, bisect_left(starts, total))
            calls = instruments.gathered(key, partial(_Calls, provider, model, priced_as))
            calls.add(counts)
            return
    _unpriced(instruments, provider, model, UNKNOWN_MODEL)


class _Calls:
    """Calls of one model and price tier that have not been priced."""

    __slots__ = ("_count", "_model", "_priced_as", "_provider", "_tokens")

    def __init__(self, provider: str, model: str, priced_as: str) -> None:
        self._provider = provider
        self._model = model
        self._priced_as = priced_as
        self._count = 0
        self._tokens = [0] * len(_NAMES)

    def add(self, counts: Sequence[int]) -> None:
        """Add one call's."""
        self._tokens = list(map(int.__add__, self._tokens, counts))
        self._count += 1

    def __call__(self, instruments: Instruments) -> None:
        """Price them all."""
        mean = {
            name: Decimal(tokens) / self._count
            for name, tokens in zip(_NAMES, self._tokens, strict=True)
            if tokens
        }
        usage = _package.Usage(**mean)
        priced = _package.calc_price(usage, self._priced_as, provider_id=_named(self._provider))
        usd = float(priced.total_price * self._count)
        instruments.add(c.COST, (self._provider, self._model), usd)


def _unpriced(instruments: Instruments, provider: str, model: str, reason: str) -> None:
    instruments.add(c.COST_UNPRICED, (provider, model, reason), 1)


def _tiers_of(provider: str, model: str) -> tuple[int, ...] | None:
    """Above which numbers of input tokens a model's price changes; None where it has no price."""
    key = (provider, model)
    try:
        return _tiers[key]
    except KeyError:
        if len(_tiers) >= MAX_MODELS:
            _tiers.clear()
        found = _tiers[key] = _look_up(provider, model)
        return found


def _look_up(provider: str, model: str) -> tuple[int, ...] | None:
    if not model:
        return None
    try:
        snapshot = _package.data_snapshot.get_snapshot()
        _, known = snapshot.find_provider_model(model, None, _named(provider), None)
    except LookupError:
        return None
    prices = [
        price for price in vars(known.get_prices(datetime.now(UTC))).values() if price is not None
    ]
    if not prices:
        return None
    starts = {tier.start for price in prices for tier in getattr(price, "tiers", ())}
    return tuple(sorted(starts))


def _named(provider: str) -> str | None:
    return c.PRICED_AS.get(provider, provider) or None
