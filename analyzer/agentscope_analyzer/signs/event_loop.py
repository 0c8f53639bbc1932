"""Signs of an event loop that stands still: how long, by whose code, with what effect."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.signs.before import before_turns
from agentscope_analyzer.signs.sign import Sign, line_of, sign
from agentscope_analyzer.wording import amount, number, percent, seconds

STOOD_STILL = "time the event loop stood still"
"""The figure that says for which share of their lives the loops of all processes were stopped."""
MIN_BLOCKED_SHARE = 0.02
"""A loop stopped for less of the time than this cannot hold up turns by a tenth."""
MIN_DELAY_S = 0.1
"""A loop this late is felt by users."""
MIN_INFLATION = 1.2
MIN_AWAITS = 5
MAX_NAMED_LINES = 3
MIN_SYNCHRONOUS = 0.8
"""With fewer calls of a name within blocks some are awaited, or made in worker threads."""
MIN_WORSE = 2.0
"""A loop that stands still so many times as long as all do on average is named."""
MIN_CROWDED_SHARE = 0.3
"""From here on a machine without a free processor is named beside the service's own code."""


def blocks(facts: Facts) -> Iterator[Sign]:
    """For how much of the run, stopped by which lines, and what that did to unrelated awaits."""
    rows = [row for row in facts.blocks if row["event"] == c.RuntimeEvent.LOOP_BLOCKED]
    blocked_s = sum(row["wall_s"] for row in rows)
    # What it waited for a processor is the machine's doing, not its own.
    own_s = blocked_s * (1 - facts.crowding)
    delay = facts.metric(c.LOOP_DELAY_MAX.name)
    if facts.lived_s > 0 and (rows or delay):
        yield sign(
            STOOD_STILL,
            blocked_s / facts.lived_s,
            "share",
            "runtime/blocks",
            limit=MIN_BLOCKED_SHARE,
            agrees=max(own_s / facts.lived_s, _worst_share(facts)) >= MIN_BLOCKED_SHARE,
            says=f"the loop stood still for {percent(blocked_s / facts.lived_s)} of the run"
            f"{_crowded(facts)}{_worst(facts)}",
        )
    made = [
        row
        for row in facts.synchronous[:MAX_NAMED_LINES]
        if row["held"] >= max(MIN_AWAITS, MIN_SYNCHRONOUS * row["calls"])
    ]
    by = ""
    if made and 2 * made[0]["wall_s"] > blocked_s:
        by = f", by calls {made[0]['name']!r} that it made synchronously"
    for row in [row for row in rows if row["code_function"]][:MAX_NAMED_LINES]:
        yield sign(
            f"stopped by {line_of(row)}",
            row["wall_s"],
            "s",
            "runtime/blocks",
            agrees=own_s > 0 and row["wall_s"] - row["processor_s"] >= 0.5 * own_s,
            says=f"{_blocker(row)} stopped it {amount(row['blocks'], 'time')}, "
            f"{seconds(row['wall_s'])} in all{by if 2 * row['wall_s'] > blocked_s else ''}",
        )
    yield from (_synchronous(row) for row in made)
    yield from before_turns("runtime.event_loop", facts)
    if delay and delay["most"] is not None:
        yield sign(
            "largest delay of the event loop",
            delay["most"],
            "s",
            "run/metrics",
            limit=MIN_DELAY_S,
            agrees=delay["most"] * (1 - facts.crowding) >= MIN_DELAY_S,
            says=f"the loop was never later than {seconds(delay['most'])}"
            if delay["most"] < MIN_DELAY_S
            else f"up to {seconds(delay['most'])} late",
        )
    yield from _inflation(facts)


def _worst_share(facts: Facts) -> float:
    """The share of its life for which the process stood still that did so longest, its own part."""
    worst = facts.processes[0]
    lived_s = facts.lived_of(worst)
    own_s = float(worst["blocked_s"] - worst["processor_s"])
    return min(1.0, own_s / lived_s) if lived_s > 0 else 0.0


def _worst(facts: Facts) -> str:
    """``, that of i-1 for 98 %``, where one process is much worse than all are on average."""
    blocked_s = facts.stopped_s(c.RuntimeEvent.LOOP_BLOCKED)
    share, worst = blocked_s / facts.lived_s, _worst_share(facts)
    if len(facts.processes) < 2 or worst < max(MIN_BLOCKED_SHARE, MIN_WORSE * share):
        return ""
    return f", that of {facts.processes[0]['instance']} for {percent(worst)}"


def _crowded(facts: Facts) -> str:
    if facts.crowding < MIN_CROWDED_SHARE:
        return ""
    return f", {percent(facts.crowding)} of that for want of a free processor on the machine"


def _blocker(row: Row) -> str:
    """The line, and what it called where that is known: ``ask (app.py:20), in Client.create,``."""
    callee = str(row["callee"])
    if not callee or "<" in callee:  # a wrapper's inside says nothing
        return line_of(row)
    return f"{line_of(row)}, in {'.'.join(callee.split('.')[-2:])},"


def _synchronous(row: Row) -> Sign:
    name = row["name"]
    return sign(
        f"calls {name!r} made synchronously on the loop",
        row["held"],
        "calls",
        "runtime/synchronous",
        limit=row["calls"],
        agrees=True,
        says=f"{number(row['held'])} of {amount(row['calls'], 'call')} {name!r} made synchronously on "
        "the loop",
    )


def _inflation(facts: Facts) -> Iterator[Sign]:
    for row in facts.inflation:
        if min(row["hit"], row["missed"]) < MIN_AWAITS or not row["missed_median_s"]:
            continue
        yield sign(
            f"median {row['kind']} call that ended after a block",
            row["hit_median_s"],
            "s",
            "runtime/inflation",
            limit=row["missed_median_s"],
            agrees=row["hit_median_s"] >= MIN_INFLATION * row["missed_median_s"],
            says=f"{row['kind']} calls take {seconds(row['hit_median_s'])} with a block and "
            f"{seconds(row['missed_median_s'])} without",
        )
