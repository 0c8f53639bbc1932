"""Clocks: do the load generator and the processes of the service agree on the time?"""

from __future__ import annotations

from collections.abc import Iterator

from agentscope_analyzer.audit import ClockPair
from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.stretches import clock_ahead
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number, percent, seconds

MIN_CLOCK_AHEAD_S = 0.1


def clocks(facts: Facts) -> Iterator[Check]:
    """The service's clock and the load generator's."""
    ahead_s, within_s = facts.load["clock_ahead_s"], facts.load["clock_within_s"]
    if ahead_s is None:
        return
    step = facts.audit.clock_step
    if step is not None and step.is_set:
        way = "forward" if step.by_s > 0 else "back"
        detail = (
            f"the service's clock went {seconds(abs(step.by_s))} {way} against the load generator's "
            f"after {percent(step.part / 10)} of the requests: a clock was set, so times of both sides cannot be compared; keep time synchronised and run again"
        )
        yield check("clocks", "fail", detail, step.by_s)
        return
    told = f"{seconds(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'}"
    detail = f"the service's clock is {told} the load generator's, to {seconds(within_s)}"
    if abs(ahead_s) <= MIN_CLOCK_AHEAD_S + within_s:
        detail = (
            f"service and load generator agree on the time, to {seconds(abs(ahead_s) + within_s)}"
        )
        yield check("clocks", "ok", detail, ahead_s)
        return
    if clock_ahead(facts.load):
        detail += "; load stages were moved by it"
    yield check("clocks", "warn", detail, ahead_s)


def instance_clocks(facts: Facts) -> Iterator[Check]:
    """The clocks of processes that call each other."""
    pairs = facts.audit.clock_pairs
    if not pairs:
        return
    moved = sum(pair.misplaced for pair in pairs)
    calls = sum(pair.calls for pair in pairs)
    worst = max(pairs, key=lambda pair: max(pair.off_s, pair.moved_s))
    if max(worst.off_s, worst.moved_s) <= MIN_CLOCK_AHEAD_S:
        detail = f"{amount(calls, 'call')} between {amount(len(pairs), 'pair')} of processes"
        detail += (
            f"; {number(moved)} were moved, by up to {seconds(_farthest(pairs))}, to lie within their "
            "callers"
            if moved
            else " lie within their callers"
        )
        yield check("instance_clocks", "ok", detail, worst.off_s)
        return
    detail = (
        f"{_says(worst)}; the called side of {number(moved)} of {amount(calls, 'call')} was moved into "
        f"the middle of the call, by up to {seconds(_farthest(pairs))}"
    )
    others = sum(max(pair.off_s, pair.moved_s) > MIN_CLOCK_AHEAD_S for pair in pairs) - 1
    if others:
        detail += f"; {amount(others, 'other pair')} of processes differ too"
    detail += (
        "; what users wait between processes is open by as much: synchronise the hosts' clocks"
    )
    yield check("instance_clocks", "warn", detail, worst.ahead_s)


def _says(pair: ClockPair) -> str:
    way = "ahead of" if pair.ahead_s > 0 else "behind"
    if pair.moved_s > MIN_CLOCK_AHEAD_S:
        return (
            f"the clock of {pair.called} moved against {pair.caller}'s by at least "
            f"{seconds(pair.moved_s)} during the run"
        )
    ahead_s, within_s = (pair.least_s + pair.most_s) / 2, (pair.most_s - pair.least_s) / 2
    return (
        f"the clock of {pair.called} is {seconds(abs(ahead_s))} {way} {pair.caller}'s, to "
        f"{seconds(max(0.0, within_s))}"
    )


def _farthest(pairs: tuple[ClockPair, ...]) -> float:
    return max(pair.farthest_s for pair in pairs if pair.misplaced)
