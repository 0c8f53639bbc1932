"""What inherent work consists of: which tool, which other service."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope_analyzer.facts import Facts
from agentscope_analyzer.signs.sign import MAX_NAMED, Sign, elsewhere, sign
from agentscope_analyzer.wording import amount, seconds


def tools(facts: Facts) -> Iterator[Sign]:
    """Each tool, by the time it took."""
    yield from _work(facts, "tool", "tool", "tool.execution")


def services(facts: Facts) -> Iterator[Sign]:
    """Each other service, by the time its answers took."""
    yield from _work(facts, "http", "service", "http.upstream")


def _work(facts: Facts, kind: str, noun: str, cause: str) -> Iterator[Sign]:
    rows = [row for row in facts.work if row["kind"] == kind]
    for row in rows[:MAX_NAMED]:
        name = f"{noun} {row['name']!r}" if row["name"] else f"a {noun}"
        yield sign(
            f"a call of {name}",
            row["mean_s"],
            "s",
            "runtime/work",
            agrees=False,
            says=f"{name} takes {seconds(row['mean_s'])} ({amount(row['calls'], 'call')})"
            f"{elsewhere(cause, row['mean_s'] * row['calls'], facts)}",
        )
