"""The report as a comment on a pull request: the verdict, the findings, the ceilings; short.

Written for GitHub's and GitLab's Markdown. What came from the run is escaped: a model's name cannot
make a link, a heading, a table of its own or a notice to somebody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from agentscope_analyzer.document import Ceiling, Finding, Kind, Report
from agentscope_analyzer.reporters.advice import next_steps
from agentscope_analyzer.reporters.files import write_text
from agentscope_analyzer.reporters.text import clean, clipped, headline_of, title_of
from agentscope_analyzer.validity import NOT_MEASURED
from agentscope_analyzer.wording import (
    amount,
    count,
    dollars,
    figure,
    interval,
    limited,
    seconds,
)

MAX_TEXT: Final = 400
MAX_FINDINGS: Final = 12
MAX_CEILINGS: Final = 8
MAX_DOUBTS: Final = 6

_KINDS: Final[dict[Kind, str]] = {"binds": "**binds**", "watch": "watch", "ruled_out": "ruled out"}
_APART: Final = "\u200b"
"""A space of no width: it parts what would be a notice or a link, and nobody sees it."""


def render(report: Report) -> str:
    """The comment."""
    headline, clauses = headline_of(report.verdict.statement)
    parts = [
        f"### {escaped(headline)}",
        escaped("; ".join(clauses)),
        f"Confidence: **{report.verdict.confidence}** · {_run(report)}",
        _steps(report),
        _figures(report),
        _findings(report),
        _ceilings(report.ceilings),
        _doubts(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(report: Report, path: str | Path) -> None:
    """Write the comment to a file, replacing it in one step; raises OSError."""
    write_text(path, render(report))


def escaped(text: str, most: int = MAX_TEXT) -> str:
    """The text as Markdown shows it letter by letter, on one line."""
    shown = clean(clipped(text, most))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"([\\`*_{}\[\]#!|~$])", r"\\\1", shown)
    return re.sub(r"(@|#|:(?=//)|www(?=\.))", rf"\1{_APART}", shown)


def _run(report: Report) -> str:
    run = report.run
    told = [escaped(title_of(run), 84), amount(run.turns, "turn")]
    if run.sessions is not None:
        told.append(amount(run.sessions, "session"))
    if run.duration_s is not None:
        told.append(seconds(run.duration_s))
    return " · ".join(told)


def _steps(report: Report) -> str:
    return "\n".join(f"{i}. {escaped(step)}" for i, step in enumerate(next_steps(report), 1))


def _figures(report: Report) -> str:
    turns = report.turns
    return _table(
        ("p50", "p95", "p99", "turns/s", "failed", "model cost"),
        [
            (
                figure(turns.p50_s, "s"),
                figure(turns.p95_s, "s"),
                figure(turns.p99_s, "s"),
                figure(turns.per_second, ""),
                figure(turns.error_rate, "share"),
                dollars(report.llm.cost_usd),
            )
        ],
    )


def _findings(report: Report) -> str:
    """What binds and what to watch in full, what is ruled out on one line."""
    findings, verdict = report.findings, report.verdict.cause
    shown = [one for one in findings if one.kind != "ruled_out"][:MAX_FINDINGS]
    parts = []
    if shown:
        rows = [
            (_KINDS[one.kind], f"`{one.cause}`", _why(one, verdict), _trace(one)) for one in shown
        ]
        parts.append(_table(("", "cause", "why", "trace"), rows))
    ruled_out = [f"`{one.cause}`" for one in findings if one.kind == "ruled_out"]
    if ruled_out:
        parts.append(f"Ruled out: {', '.join(ruled_out)}.")
    return "\n\n".join(parts)


def _why(finding: Finding, verdict: str | None) -> str:
    if finding.kind == "binds" and finding.cause == verdict:
        return "the verdict above"
    return escaped(finding.statement)


def _trace(finding: Finding) -> str:
    return f"`{re.sub(r'[^0-9a-f]', '', finding.traces[0])}`" if finding.traces else ""


def _ceilings(ceilings: Sequence[Ceiling]) -> str:
    if not ceilings:
        return ""
    rows = [
        (
            escaped(_name(one), 80) + (" **(first)**" if one.binding else ""),
            escaped(limited(one.limit, one.unit), 80),
            "–" if one.sessions is None else ("≤ " if one.censored else "") + count(one.sessions),
            escaped(interval(one.low, one.high)),
            "yes" if one.reached else "no",
        )
        for one in ceilings[:MAX_CEILINGS]
    ]
    more = len(ceilings) - MAX_CEILINGS
    note = f"\n\nand {amount(more, 'higher limit')}" if more > 0 else ""
    return _table(("limit", "of", "live sessions", "95 %", "reached"), rows) + note


def _name(ceiling: Ceiling) -> str:
    """A core of a process and the cores of the host are two limits of one resource."""
    of = f" ({ceiling.dimension})" if ceiling.resource == "cpu" else ""
    return ceiling.resource + of


def _doubts(report: Report) -> str:
    """The checks that did not pass, and what was not measured."""
    doubts = [c for c in report.validity if c.status != "ok" and c.check != NOT_MEASURED]
    doubts.sort(key=lambda check: check.status != "fail")
    lines = [f"- {check.status}: {escaped(check.detail)}" for check in doubts[:MAX_DOUBTS]]
    if len(doubts) > MAX_DOUBTS:
        lines.append(f"- and {len(doubts) - MAX_DOUBTS} more")
    missing = [f"`{clean(str(c.value))}`" for c in report.validity if c.check == NOT_MEASURED]
    if missing:
        lines.append(f"- not measured, so not ruled out: {', '.join(missing)}")
    if not lines:
        return ""
    return "\n".join(
        ["<details><summary>Doubts about the run</summary>", "", *lines, "", "</details>"]
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
