"""Signs of waiting for what has a limit: threads, locks, connections, a caller who reads slowly."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.signs.sign import MAX_NAMED, Sign, sign
from agentscope_analyzer.wording import amount, moment, number, percent, seconds

MIN_FULL = 2
"""A gauge must show a resource full so often before a sentence says since when it was."""


def waits(facts: Facts, what: str, *kinds: c.Wait, link: str = "") -> Iterator[Sign]:
    """How many waited at once, resource by resource."""
    for row in facts.waits_of(*kinds):
        name = f" {link}{row['resource']!r}" if row["resource"] else ""
        yield sign(
            f"most waiting at once for {what}{name}",
            row["at_once"],
            "waiting",
            "waits/by_kind",
            agrees=row["at_once"] >= 2,
            says=f"{amount(row['waits'], 'wait')} for {what}{name}, {at_once(row['at_once'])}",
        )


def at_once(most: int) -> str:
    """How many waited together, at most."""
    return f"up to {number(most)} at once" if most > 1 else "one at a time"


def cap(facts: Facts, used: c.Metric, unit: str, link: str) -> Iterator[Sign]:
    """Each pool against its own limit, in the process where it was fullest."""
    fullest: dict[str, Row] = {}
    for row in facts.caps[used.name]:
        fullest.setdefault(row["resource"], row)
    for name, row in list(fullest.items())[:MAX_NAMED]:
        most, size = row["most"], row["size"]
        where = f" {link}{name!r}" if name else ""
        yield sign(
            f"most {unit}{where} in use",
            most,
            unit,
            "runtime/caps",
            limit=size,
            agrees=most >= size,
            says=f"all {number(size)} {unit}{where} in use{_since(row)}"
            if most >= size
            else f"{f'at most {number(most)}' if most else 'none'} of {number(size)} {unit}{where} "
            "in use when sampled",
        )


def _since(row: Row) -> str:
    if row["times_full"] < MIN_FULL:
        return ""
    share = percent(row["times_full"] / row["points"])
    return f" from {moment(row['full_from_ns'])} on, {share} of the time"


def threads(facts: Facts) -> Iterator[Sign]:
    """Worker threads: the pools' limits, and who waits for one."""
    yield from cap(facts, c.THREADPOOL_BORROWED, "worker threads", "of ")
    yield from waits(facts, "a worker thread", c.Wait.THREADPOOL, link="of ")


def locks(facts: Facts) -> Iterator[Sign]:
    """Locks and semaphores: who waits, at which line, and how long a turn at it takes."""
    for row in facts.waits_of(c.Wait.LOCK):
        name = f" at {row['resource']}" if row["resource"] else ""
        says = f"the lock{name} was waited for {amount(row['waits'], 'time')}, "
        says += f"by {at_once(row['at_once'])}"
        if row["handed_on_s"] is not None:
            says += f", and handed on every {seconds(row['handed_on_s'])}"
        yield sign(
            f"most waiting at once for the lock{name}",
            row["at_once"],
            "waiting",
            "waits/by_kind",
            agrees=row["at_once"] >= 2,
            says=says,
        )


def sending(facts: Facts) -> Iterator[Sign]:
    """How much of turn time callers took to read."""
    if facts.spans["send_measured"]:
        waited_s = facts.spans["send_wait_s"] or 0.0
        share = waited_s / facts.wall_s if facts.wall_s else 0.0
        yield sign(
            "turn time awaiting send()",
            share,
            "share",
            "run/spans",
            agrees=share >= 0.05,
            says=f"send() was awaited for {percent(share)} of turn time, whatever else went on",
        )
