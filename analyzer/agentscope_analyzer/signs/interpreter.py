"""Signs of a busy interpreter: CPU time, the interpreter lock, the collector."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.measured import MAX_CPU_SHARE, cpu_share
from agentscope_analyzer.signs.before import before_turns
from agentscope_analyzer.signs.event_loop import MIN_BLOCKED_SHARE
from agentscope_analyzer.signs.sign import Sign, line_of, sign
from agentscope_analyzer.wording import amount, number, percent, seconds

MIN_LOCK_WAIT_S = 0.0025
"""Half of the 5 ms for which a thread keeps the interpreter lock: another one wants it, mostly."""
MIN_NAMED_SHARE = 0.2
"""A function in which less of the collector's time passed is not named."""


def cpu(facts: Facts) -> Iterator[Sign]:
    """How much of turn time can be own code at most, and whether threads compete for the lock."""
    for row in facts.pressure[:1]:
        pressed = is_pressed(facts)
        yield sign(
            "wait of a thread that is ready, for the interpreter lock",
            row["wait_s"],
            "s",
            "runtime/pressure",
            limit=MIN_LOCK_WAIT_S,
            agrees=pressed,
            says="threads compete for one interpreter: one that is ready waits "
            f"{seconds(row['wait_s'])} for its lock on average"
            if pressed
            else f"a thread that is ready waits {seconds(row['wait_s'])} for the interpreter lock",
        )
    own_s = sum(row["wall_s"] for row in facts.own_code)
    for row in facts.own_code[:1]:
        yield sign(
            f"turn time of own code in {row['name']!r}",
            row["wall_s"],
            "s",
            "runtime/own_code",
            agrees=True,
            says=f"{percent(row['wall_s'] / own_s)} of it in {row['name']!r}",
        )
    share = cpu_share(facts)
    if share is not None:
        yield sign(
            "CPU time of all processes, as a share of turn time",
            share,
            "share",
            "run/metrics",
            limit=MAX_CPU_SHARE,
            agrees=share >= MAX_CPU_SHARE,
            says=f"all CPU time of all processes is {percent(share)} of turn time",
        )


def is_pressed(facts: Facts) -> bool:
    """Whether threads that compute in Python wait for each other, in one of the processes."""
    most_s = max((row["most_s"] for row in facts.pressure[:1]), default=0.0)
    return facts.seconds("runtime.cpu") > 0 and most_s >= MIN_LOCK_WAIT_S


def _pauses(row: Row) -> str:
    """``3 pauses, 1 of them a full collection``."""
    pauses, full = amount(row["pauses"], "pause"), row["full_pauses"]
    if not full:
        return pauses
    if full == row["pauses"]:
        return f"{pauses}, {'a full collection' if full == 1 else 'all full collections'}"
    return f"{pauses}, {number(full)} of them {'a full collection' if full == 1 else 'full'}"


def collector(facts: Facts) -> Iterator[Sign]:
    """How much of the run the collector took, and in which functions it ran."""
    pauses = facts.metric(c.GC_PAUSE.name)
    if pauses and pauses["total"] is not None and facts.lived_s > 0:
        # Pauses that are events are known by their time; the histogram has those before the load, too.
        seen_s = facts.stopped_s(c.RuntimeEvent.GC_PAUSE)
        share = min(1.0, (seen_s or pauses["total"]) / facts.lived_s)
        yield sign(
            "time in garbage collection",
            share,
            "share",
            "run/metrics",
            limit=MIN_BLOCKED_SHARE,
            agrees=share >= MIN_BLOCKED_SHARE,
            says=f"{amount(pauses['observed'], 'pause')}, {percent(share)} of the run",
        )
    paused_s = sum(row["wall_s"] for row in facts.collections)
    for row in facts.collections:
        if not row["code_function"] or row["wall_s"] < MIN_NAMED_SHARE * paused_s:
            continue
        yield sign(
            f"collections in {line_of(row)}",
            row["wall_s"],
            "s",
            "runtime/collections",
            agrees=row["wall_s"] >= 0.5 * paused_s,
            says=f"{percent(row['wall_s'] / paused_s)} of it in {line_of(row)}, {_pauses(row)}",
        )
    yield from before_turns("runtime.gc", facts)
