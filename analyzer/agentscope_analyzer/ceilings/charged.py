"""Whether tokens from the provider's cache count against its quota, by what is left of it.

Providers differ: Anthropic leaves tokens read from its cache out of the input limit of most models,
OpenAI counts them. From one answer to the next ``remaining`` falls by what was charged and rises by
what was refilled meanwhile; regressed on uncached and cached input, that tells how much a cached
token counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.headers import number
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.ceilings.resampling import SHORT, interval_of, multiplicities
from agentscope_analyzer.ceilings.slopes import least_absolute
from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

Floats = npt.NDArray[np.float64]

NS: Final = 1e9
MIN_STEPS: Final = 30
"""Fewer answers than this do not tell two kinds of input apart."""
DRAWN: Final = 100
LEAST_CHARGED, MOST_CHARGED = 0.5, 2.0
"""An uncached token counts as about one. Where what is left follows no token, it tells of none."""
FULL: Final = 0.999
"""Above this part of the limit the bucket may have been full, so what it took in is not known."""


@dataclass(frozen=True)
class Charged:
    """How much a cached token counts: 1 like any other, 0 not at all; and how that is known."""

    weight: float = 1.0
    says: str = "counted like the rest, which nothing recorded confirms"


def charged_of(asker: Asker, quota: Quota) -> Charged:
    """What differences of ``remaining`` say; counted in full where they do not tell."""
    if not quota.remaining_header:
        return Charged()
    rows = asker.ask(
        "ceilings/remaining",
        provider=quota.provider,
        model=quota.model,
        remaining_header=quota.remaining_header,
    )
    return charged_by_steps(rows, quota)


def charged_by_steps(rows: Rows, quota: Quota) -> Charged:
    """Regress what was charged from answer to answer on what each of them used."""
    left = np.array([_left(row["remaining"]) for row in rows])
    at_s = np.array([row["start_ns"] / NS for row in rows])
    read = np.array([row["input_tokens"] for row in rows], dtype=np.float64)
    cached = np.minimum(np.array([row["cached_tokens"] for row in rows], dtype=np.float64), read)
    written = np.array([row["output_tokens"] for row in rows], dtype=np.float64)
    refilled = quota.limit / quota.window_s * np.diff(at_s)
    spent = -np.diff(left) + refilled
    usable = (
        np.isfinite(spent)
        & (left[:-1] < FULL * quota.limit)
        & (left[1:] < FULL * quota.limit)
        & (np.diff(at_s) < quota.window_s)
    )
    if usable.sum() < MIN_STEPS:
        return Charged()
    columns = [(read - cached)[1:], cached[1:]]
    if quota.dimension == "tokens":
        columns.append(written[1:])
    x = np.stack([*columns, np.ones(left.size - 1)], axis=1)[usable]
    y = spent[usable]
    drawn = np.array([_weight(x, y, w) for w in multiplicities(y.size, DRAWN, SHORT)])
    interval = interval_of(drawn, y.size // SHORT)
    if interval is None or interval.width > 1.0:
        return Charged()
    if interval.high < 0.5:
        return Charged(0.0, "not counted, as differences of what is left show")
    if interval.low > 0.5:
        return Charged(1.0, "counted like the rest, as differences of what is left show")
    return Charged()


def _weight(x: Floats, y: Floats, times: Floats) -> float:
    """What a cached token counts, in uncached ones.

    By least absolute errors: others draw on the same quota, and answers overtake each other.
    """
    found = least_absolute(x, y, times)
    if not LEAST_CHARGED <= found[0] <= MOST_CHARGED:
        return float("nan")
    return float(found[1] / found[0])


def _left(text: str | None) -> float:
    value = number(text, "remaining")
    return float("nan") if value is None else value
