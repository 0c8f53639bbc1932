"""The findings: what binds, what to watch and what is ruled out, each with its evidence."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.document import Check, Evidence, Finding, Kind, Report
from agentscope_analyzer.reporters.html.markup import Html, join, name, tag
from agentscope_analyzer.reporters.html.svg import cause_swatch
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.validity import NOT_MEASURED
from agentscope_analyzer.wording import figure

MAX_EVIDENCE: Final = 30

_HEADINGS: Final[dict[Kind, str]] = {
    "binds": "Binds",
    "watch": "Watch",
    "ruled_out": "Ruled out",
}


def findings(report: Report) -> Html:
    """All of them: what binds open, the rest behind a line each."""
    parts = []
    for kind, title in _HEADINGS.items():
        own = [one for one in report.findings if one.kind == kind]
        if own:
            parts.append(tag("h3", f"{title} ", tag("span", len(own), class_="count")))
            parts += [_finding(one, report.verdict.cause) for one in own]
    missing = [check for check in report.validity if check.check == NOT_MEASURED]
    if missing:
        parts.append(
            tag("h3", "Not measured, so not ruled out ", tag("span", len(missing), class_="count"))
        )
        parts.append(tag("ul", *(_missing(check) for check in missing), class_="missing"))
    if not parts:
        parts.append(
            tag("p", "Nothing could be judged: the run has no turn time.", class_="absent")
        )
    return tag("section", tag("h2", "Findings"), *parts, id="findings")


def _finding(found: Finding, verdict: str | None) -> Html:
    body = [_evidence(found.evidence)] if found.evidence else []
    if found.traces:
        body.append(_traces(found.traces))
    line = [cause_swatch(found.cause), tag("b", found.cause), " "]
    rests = found.kind == "binds" and found.cause == verdict
    line.append(tag("span", "The verdict above rests on this." if rests else found.statement))
    return tag(
        "details",
        tag("summary", *line),
        *body,
        class_=f"finding {found.kind.replace('_', '-')}",
        open=found.kind == "binds",
    )


def _evidence(evidence: list[Evidence]) -> Html:
    rows = [
        (
            name(one.name, 200),
            figure(one.value, one.unit),
            "–" if one.limit is None else figure(one.limit, _same(one.unit)),
            tag("code", one.question) if one.question else None,
        )
        for one in evidence[:MAX_EVIDENCE]
    ]
    shown = table(
        "Evidence",
        [("figure", TEXT), ("value", FIGURE), ("judged by, or of", FIGURE), ("question", TEXT)],
        rows,
    )
    more = len(evidence) - MAX_EVIDENCE
    note = tag("p", f"and {more} more figures in the JSON report", class_="note")
    return join(shown, note if more > 0 else None)


def _same(unit: str) -> str:
    """Counts stand beside counts: their unit is told once."""
    return unit if unit in {"s", "share"} else ""


def _traces(traces: list[str]) -> Html:
    listed = [join(", " if i else "", tag("code", trace)) for i, trace in enumerate(traces)]
    return tag("p", "Turns to look at (", tag("code", "agentscope trace RUN ID"), "): ", *listed,
               class_="traces")  # fmt: skip


def _missing(check: Check) -> Html:
    cause = str(check.value)
    return tag("li", tag("b", name(cause)), " ", check.detail.removeprefix(f"{cause}: "))
