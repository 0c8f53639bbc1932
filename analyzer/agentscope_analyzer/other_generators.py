"""What Locust or k6 wrote beside a run, held against what was recorded of it.

Their own outputs count requests and sum them up; only single requests with a trace id can be
joined with the turns that served them, and those are in the table ``load``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agentscope_analyzer.document import Check, Rows, Status
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.wording import amount, number, percent, seconds

__all__ = ["other_generators"]

NAMES: Final = {"locust": "Locust", "k6": "k6"}
MAX_APART: Final = 0.05
"""Of the requests that are turns; the end of a run cuts off a few."""
MOST_FAILURES_TOLD: Final = 3


def other_generators(facts: Facts) -> Iterator[Check]:
    """One check a generator whose own counts stand beside the run."""
    by_generator: dict[str, Rows] = {}
    for row in facts.other_generators:
        by_generator.setdefault(row["generator"], []).append(row)
    for generator, rows in by_generator.items():
        yield _check(generator, rows, facts)


def _check(generator: str, rows: Rows, facts: Facts) -> Check:
    who = NAMES.get(generator, generator)
    if _elsewhere(rows, facts):
        detail = f"{who}'s files are of another time than the turns: not used"
        return Check(check="load_generator", status="warn", detail=detail, value=None)
    asked = [row for row in rows if row["turns"] is not None]
    recorded = _recorded(asked) if asked else facts.turns["turns"]
    status, share = _compared(asked or rows, recorded, of_turns=bool(asked))
    parts = [f"{who}: {_told(row)}" for row in asked or _whole(rows)]
    if asked:
        of_them = "more than it counted" if (share or 0) > 1 else f"{percent(share or 0.0)} of them"
        parts.append(f"{amount(recorded, 'turn')} recorded, {of_them}")
    else:
        parts.append(f"which of them are turns it does not say; {number(recorded)} recorded")
    dropped = max((row["dropped"] or 0 for row in rows), default=0)
    if dropped:
        status = "warn"
        parts.append(f"{number(dropped)} due and never sent: it could not keep up")
    parts += _failures(generator, facts)
    failed = _failed_share(asked or _whole(rows))
    if failed > facts.failed_share + MAX_APART:
        status = "warn"
        parts.append(f"{percent(failed)} failed there, {percent(facts.failed_share)} of the turns")
    return Check(check="load_generator", status=status, detail="; ".join(parts), value=share)


def _recorded(asked: Rows) -> int:
    """Turns on the paths that were asked for; two methods of one path have the same turns."""
    return sum({row["name"].rpartition(" ")[2]: int(row["turns"]) for row in asked}.values())


def _compared(rows: Rows, recorded: int, *, of_turns: bool) -> tuple[Status, float | None]:
    requests = sum(row["requests"] for row in (rows if of_turns else _whole(rows)))
    if not requests:
        return "warn", None
    share = recorded / requests
    apart = share < 1 - MAX_APART if of_turns else False
    return ("warn" if apart or share > 1 + MAX_APART else "ok"), share


def _failed_share(rows: Rows) -> float:
    requests = sum(row["requests"] for row in rows if row["failures"] is not None)
    return sum(row["failures"] or 0 for row in rows) / requests if requests else 0.0


def _whole(rows: Rows) -> Rows:
    """The row over all requests, or those of single names where there is none."""
    return [row for row in rows if row["name"] == ""] or rows


def _told(row: dict[str, object]) -> str:
    requests, failures = row["requests"], row["failures"]
    text = amount(float(str(requests)), "request")
    if row["name"]:
        text += f" of {row['name']}"
    if failures is not None:
        text += f", {number(float(str(failures)))} failed"
    times = [
        f"{name} {seconds(value)}"
        for name, value in (("p50", row["p50_s"]), ("p95", row["p95_s"]))
        if isinstance(value, float)
    ]
    return f"{text} ({', '.join(times)})" if times else text


def _failures(generator: str, facts: Facts) -> list[str]:
    told = [
        f"{row['error']} {number(row['failures'])}"
        for row in facts.other_failures
        if row["generator"] == generator
    ]
    return [f"failures: {', '.join(told[:MOST_FAILURES_TOLD])}"] if told else []


def _elsewhere(rows: Rows, facts: Facts) -> bool:
    """The generator's seconds and the run's turns have no moment in common."""
    first_s, last_s = rows[0]["first_s"], rows[0]["last_s"]
    if first_s is None or not facts.turns["turns"]:
        return False
    return bool(last_s < facts.whole.start_s or first_s > facts.whole.end_s)
