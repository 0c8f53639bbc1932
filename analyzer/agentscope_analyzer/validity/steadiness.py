"""Steadiness: which part of the run had the whole load, and did it come to rest?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentscope_analyzer.audit import Trend
from agentscope_analyzer.document import Check, Status
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.stretches import clock_ahead, steady_of
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number, percent, seconds

MAX_RAMP = 0.5
MAX_P95_SHIFT = 0.2
MIN_CHANGE = 0.2


def ramp(facts: Facts) -> Iterator[Check]:
    """The load generator's own stages: when were all users there?"""
    told = (facts.manifest.get("load") or {}).get("stages")
    if not told or facts.whole.duration_s <= 0:
        return
    if _only_ramps(told):
        detail = (
            "the ramp never ended: the load generator did not say that all its users had come; what "
            "is found holds for fewer of them, so let it run longer or add users faster"
        )
        yield check("ramp", "fail", detail, 1.0)
        return
    steady = steady_of(facts.whole, facts.manifest, clock_ahead_s=clock_ahead(facts.load))
    share = max(0.0, (steady.start_s - facts.whole.start_s) / facts.whole.duration_s)
    detail = f"full load began after {percent(share)} of the run"
    status: Status = "warn" if share > MAX_RAMP else "ok"
    yield check("ramp", status, detail, share)


def _only_ramps(stages: Any) -> bool:
    """The generator told of a ramp, and never of an end of it."""
    return isinstance(stages, list) and all(
        isinstance(stage, Mapping) and stage.get("name") == "ramp" for stage in stages
    )


def warm_up(facts: Facts) -> Iterator[Check]:
    """Slower turns at the start: found, left out of what must be steady, and said."""
    found = facts.audit.warm_up
    if found is None:
        return
    p95_s = facts.turns["p95_s"]
    detail = (
        f"the first {seconds(found.length_s)} at full load ({amount(found.turns, 'turn')}) were warm-up: "
        f"turns took {number(found.ratio)} times as long as after it (MSER-5); "
    )
    shifts = p95_s > (1 + MAX_P95_SHIFT) * found.p95_s
    if found.kept:
        detail += "what follows is too short to stand alone, so nothing was left out: run longer"
    else:
        detail += (
            "left out of quota ceilings, trends and what grows with load, not of turn times and shares: p95 "
            f"{seconds(p95_s)} with it, {seconds(found.p95_s)} without"
        )
        if shifts:
            detail += "; warm the service up before a run whose p95 counts"
    yield check("warm_up", "warn" if found.kept or shifts else "ok", detail, found.length_s)


def steady(facts: Facts) -> Iterator[Check]:
    """Throughput, turn times and live sessions must not still be moving when the run ends."""
    trends = facts.audit.trends
    if not trends:
        return
    length_s = max(trend.length_s for trend in trends)
    moving = [trend for trend in trends if trend.is_sure and abs(trend.change) >= MIN_CHANGE]
    if not moving:
        names = ", ".join(trend.measure for trend in trends)
        detail = f"nothing moves beyond chance over the last {seconds(length_s)}: {names}"
        yield check("steady", "ok", detail, max(abs(trend.change) for trend in trends))
        return
    told = ", ".join(_says(trend) for trend in moving)
    detail = f"still moving as the run ended, over its last {seconds(length_s)}: {told}"
    most = max(moving, key=lambda trend: abs(trend.change))
    yield check("steady", "warn", f"{detail}; {_meaning(moving)}", most.change)


def _says(trend: Trend) -> str:
    low, high = sorted(abs(_of_start(change)) for change in (trend.low, trend.high))
    way = "rose" if trend.change > 0 else "fell"
    changed = percent(abs(_of_start(trend.change)))
    return f"{trend.measure} {way} by {changed} [{percent(low)}, {percent(high)}]"


def _of_start(change: float) -> float:
    """A change along a straight line, as a share of where the line begins; it was one of its mean.

    Nothing falls by more than all of it; of what began near nothing a rise is a lower bound.
    """
    return max(-1.0, change / max(0.25, 1 - change / 2))


def _meaning(moving: list[Trend]) -> str:
    rising = {trend.measure for trend in moving if trend.change > 0}
    falling = {trend.measure for trend in moving if trend.change < 0}
    if rising & {"throughput", "live sessions"}:
        return (
            "the load was still growing, so turn times, contention and throughput are lower bounds: "
            "hold the full load for a minute or more"
        )
    if "turn times" in rising:
        return (
            "a queue was still growing, so turn times and contention are lower bounds: hold the load "
            "until turn times stay"
        )
    if "turn times" in falling:
        return "not yet warm, so turn times are upper bounds: run longer"
    return (
        f"less and less of it came, so means of {' and '.join(sorted(falling))} are upper bounds: end the "
        "run before its users go"
    )
