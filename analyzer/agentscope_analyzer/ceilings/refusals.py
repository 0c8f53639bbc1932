"""A quota that nobody names, told by refusals alone: what was let in while more was refused.

When an attempt is refused, less is left of the quota than it asked for. So from one refusal to the
next a bucket lets in what it refills meanwhile, give or take one attempt, and a quota that is counted
anew each minute lets in its limit from one minute's refusals to the next one's. What was let in is
therefore a straight line over time, or a staircase over minutes; its slope is the limit. How full the
bucket was when the run began does not matter: at the first refusal it is empty.

Only what the quota counts keeps to the line within one attempt. Of requests and tokens the other one
strays from it, the more the less alike calls are: that tells what is counted, where anything does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope.ratelimit_headers import MINUTE_S
from agentscope_analyzer.ceilings.quotas import GIVEN, Quota
from agentscope_analyzer.ceilings.resampling import Interval
from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import number, span

__all__ = ["REFUSALS", "quota_by_refusals", "quotas_from_refusals"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

REFUSALS: Final = "refusals"
"""The source of what nobody said."""
MOST_REFUSALS: Final = 2_000
"""Refusals that are looked at."""
SHORTEST_S: Final = 0.1
"""Of refusals closer together than this the first one counts."""
MIN_REFUSALS: Final = 8
MIN_MINUTES: Final = 1.0
MIN_USAGE_SHARE: Final = 0.95
"""With usage known for less of what was let in, tokens are not looked at."""
GAPS_S: Final = (60.0, 15.0, 5.0, 2.0, 1.0)
"""In a longer time without a refusal a bucket may have been full: what it took in is not known. One
that holds a minute's worth is not full before a minute is over, a smaller one is sooner, and shows it
by letting in less than a line would."""
PHASES: Final = 60
"""Moments at which minutes may begin, a second apart."""
MAX_DOUBT: Final = 0.2
"""An interval that reaches further than this part to either side is no knowledge."""
Z_95: Final = 1.96
LEVEL: Final = 12**-0.5
"""Deviation of what is left at a refusal, in attempts: anything between none and one."""
CONSTANT: Final = 1.0
"""What the quota counts strays from the line by no more than so many attempts…"""
LATE_S: Final = 0.05
"""… and those that overtake each other on their way: they are dated when they are sent."""
APART: Final = 2.0
"""Anything else strays so many times as much."""
STILL: Final = 0.5
"""A bucket lets in its limit also while it refuses: if less than this part, it is none."""
NO_WORSE: Final = 1.5
"""Tokens read and written together are the usual quota of tokens: others must fit so much better."""


@dataclass(frozen=True)
class Line:
    """A line through what was let in, counted in attempts."""

    slope: float
    """A minute."""
    error: float
    """Standard error of the slope."""
    stray: float
    """Deviation of refusals from the line."""
    minutes: float
    """Length of all stretches of refusals."""

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the slope."""
        return Interval(self.slope - Z_95 * self.error, self.slope + Z_95 * self.error)

    @property
    def is_constant(self) -> bool:
        """Whether refusals keep to the line as they do where the quota counts just this."""
        return self.stray <= CONSTANT + self.slope / MINUTE_S * LATE_S

    @property
    def is_knowledge(self) -> bool:
        """Whether the stretches are long enough, and the interval narrow enough, to name a limit."""
        narrow = Z_95 * self.error <= MAX_DOUBT * self.slope
        return self.minutes >= MIN_MINUTES - 1e-9 and self.slope > 0 and narrow


def quotas_from_refusals(
    asker: Asker, by_model: Rows, known: list[Quota], length_s: float
) -> Iterator[Quota | str]:
    """For each model that refused and of which no quota is known: its quota, or why it is not told.

    ``by_model`` are rows of ``llm/by_model``; a quota given by hand holds for every model.
    """
    if any(quota.source == GIVEN for quota in known):
        return
    told = {(quota.provider, quota.model) for quota in known}
    for row in by_model:
        provider, model = row["provider"], row["model"]
        if row["rate_limited"] and (provider, model) not in told:
            bin_s = max(SHORTEST_S, length_s / MOST_REFUSALS)
            refusals = asker.ask(
                "ceilings/refusals", provider=provider, model=model, bin_ns=round(bin_s * 1e9)
            )
            yield quota_by_refusals(refusals, provider, model)


def quota_by_refusals(refusals: Rows, provider: str = "", model: str = "") -> Quota | str:
    """Read the rows of ``ceilings/refusals``: the quota, or in words why they do not tell it."""
    if len(refusals) < MIN_REFUSALS:
        return _untold(f"refused at {len(refusals)} moments, and {MIN_REFUSALS} are needed")
    at_s = np.array([row["at_ns"] - refusals[0]["at_ns"] for row in refusals]) / 1e9
    let_in, sizes = _let_in(refusals)
    if not let_in:
        return _untold("nothing was let in between refusals: a longer quota, or no quota at all")
    lines = _over_time(at_s, let_in)
    steps = _over_minutes(at_s, let_in)
    by_the_minute = _fits_better(steps, lines)
    if by_the_minute:
        lines = steps
    dimension, why = _counted(lines)
    line, size = lines[dimension], sizes[dimension]
    if not line.is_knowledge:
        return _untold(f"they lasted for {span(MINUTE_S * line.minutes)}, or came too unevenly")
    if not any(one.is_constant for one in lines.values()):
        return _untold(
            f"what was let in meanwhile was not constant, {number(size * line.slope)} "
            f"{_unit(dimension)} a minute on average: a limit is above that"
        )
    # Quotas are whole numbers.
    limit = max(1.0, float(round(size * line.slope)))
    low = max(1.0, float(math.floor(size * line.interval.low)))
    high = float(math.ceil(size * line.interval.high))
    told = f"{number(limit)} [{number(low)}, {number(high)}]"
    return Quota(
        provider,
        model,
        dimension,
        limit,
        MINUTE_S,
        REFUSALS,
        window_known=by_the_minute,
        low=low,
        high=high,
        says=(
            f"inferred from refusals: {told} {_unit(dimension)} a minute were let in while more was "
            f"refused; {why}; what others use of the same quota is not in it"
        ),
    )


def _unit(dimension: str) -> str:
    return dimension.replace("_", " ")


def _untold(why: str) -> str:
    return (
        f"llm.requests: no quota was recorded, and refusals do not tell it: not enough data ({why}); "
        "give it: --limit llm.requests=150/min"
    )


def _let_in(refusals: Rows) -> tuple[dict[str, Floats], dict[str, float]]:
    """What had been let in at each refusal, in attempts of mean size, and that size."""

    def column(name: str) -> Floats:
        found: Floats = np.array([row[name] for row in refusals], dtype=np.float64)
        found -= found[0]
        return found

    counted = {"requests": column("requests")}
    attempts, last = counted["requests"][-1], refusals[-1]
    if not attempts:
        return {}, {}
    if last["with_usage"] >= MIN_USAGE_SHARE * last["requests"]:
        read, written = column("input_tokens"), column("output_tokens")
        counted |= {"tokens": read + written, "input_tokens": read, "output_tokens": written}
    sizes = {name: float(told[-1] / attempts) for name, told in counted.items() if told[-1] > 0}
    return {name: counted[name] / size for name, size in sizes.items()}, sizes


def _over_time(at_s: Floats, let_in: Mapping[str, Floats]) -> dict[str, Line]:
    """As a bucket lets in; in stretches so short that it was not full in between."""
    best: dict[str, Line] = {}
    for gap_s in GAPS_S:
        apart = np.diff(at_s) > gap_s
        lines = {name: _line(at_s / MINUTE_S, told, apart) for name, told in let_in.items()}
        if not best or _is_nearer(_closest(lines), _closest(best)):
            best = lines
    return best


def _is_nearer(line: Line, known: Line) -> bool:
    """Whether shorter stretches show that longer ones held time in which the bucket was full."""
    if not (line.is_constant and line.is_knowledge):
        return False
    return not known.is_constant or line.interval.low > known.interval.high


def _closest(lines: Mapping[str, Line]) -> Line:
    return min(lines.values(), key=lambda line: line.stray)


def _over_minutes(at_s: Floats, let_in: Mapping[str, Floats]) -> dict[str, Line]:
    """As a quota does that is counted anew each minute, whenever minutes begin."""
    best: dict[str, Line] = {}
    for phase in range(PHASES):
        minute = np.floor(at_s / MINUTE_S + phase / PHASES)
        apart = np.diff(minute) > 1
        lines = {name: _line(minute, attempts, apart) for name, attempts in let_in.items()}
        if not best or _least(lines) < _least(best):
            best = lines
    return best


def _fits_better(steps: Mapping[str, Line], lines: Mapping[str, Line]) -> bool:
    """Whether the quota is counted by the minute: refusals keep closer to stairs than to a line.

    Or next to nothing was let in while it refused, where a bucket goes on refilling.
    """
    stairs, line = steps["requests"], lines["requests"]
    pauses = stairs.is_knowledge and line.interval.high < STILL * stairs.slope
    return pauses or APART * _least(steps) < _least(lines)


def _least(lines: Mapping[str, Line]) -> float:
    """How far from its line that strays which keeps closest; without a stretch of time, anything."""
    return min(max(LEVEL, line.stray) if line.minutes else np.inf for line in lines.values())


def _line(x: Floats, let_in: Floats, apart: Flags) -> Line:
    """Least squares with a base for each stretch; ``apart`` says where another stretch begins."""
    stretch = np.concatenate([[0], np.cumsum(apart)])
    count = np.bincount(stretch)
    dx = x - (np.bincount(stretch, x) / count)[stretch]
    dy = let_in - (np.bincount(stretch, let_in) / count)[stretch]
    edges = np.flatnonzero(np.concatenate([[True], apart, [True]]))
    lengths = x[edges[1:] - 1] - x[edges[:-1]]
    free = x.size - count.size - 1
    if not lengths.any() or free < 1:
        return Line(0.0, np.inf, np.inf, 0.0)
    slope = float((dx * dy).sum() / (dx * dx).sum())
    stray = math.sqrt(float(((dy - slope * dx) ** 2).sum()) / free)
    # What strays may do so for long, so that only the two ends of a stretch count as independent.
    error = max(LEVEL, stray) * np.sqrt(2) / np.sqrt((lengths * lengths).sum())
    return Line(slope, float(error), stray, float(lengths.sum()))


def _counted(lines: Mapping[str, Line]) -> tuple[str, str]:
    """What the quota counts, and in words how that is known."""
    tokens = {name: line.stray for name, line in lines.items() if name != "requests"}
    requests = lines["requests"].stray
    if not tokens:
        return "requests", "either requests or tokens: too few calls say their usage to tell"
    best = min(tokens, key=tokens.__getitem__)
    alike = [name for name in tokens if tokens[name] <= NO_WORSE * max(LEVEL, tokens[best])]
    if "tokens" in alike:
        best = "tokens"
    closest, other = sorted([requests, tokens[best]])
    if other < APART * max(LEVEL, closest):
        return "requests", "either requests or tokens: which of them was constant cannot be told"
    if requests < tokens[best]:
        return "requests", "requests, not tokens, were constant"
    if len(alike) > 1:
        return best, "tokens, not requests, were constant, and which of them cannot be told"
    return best, f"{_unit(best)}, not requests, were constant"
