"""The page's first screen: the verdict, what to do next, and the few figures everybody asks for."""

from __future__ import annotations

from agentscope_analyzer.document import Report, Verdict
from agentscope_analyzer.reporters.advice import next_steps
from agentscope_analyzer.reporters.html.markup import Child, Html, join, name, tag
from agentscope_analyzer.reporters.html.palette import class_of
from agentscope_analyzer.reporters.html.pictures.ceilings import live_sessions
from agentscope_analyzer.reporters.html.svg import swatch
from agentscope_analyzer.reporters.text import headline_of, moment_of, title_of
from agentscope_analyzer.wording import (
    amount,
    count,
    dollars,
    figure,
    interval,
    number,
    seconds,
)


def head(report: Report) -> Html:
    """Which run this is, on one line."""
    run = report.run
    parts: list[Child] = [amount(run.turns, "turn")]
    if run.sessions is not None:
        parts.append(amount(run.sessions, "session"))
    if run.duration_s is not None:
        parts.append(seconds(run.duration_s))
    if run.id and run.started is not None:
        parts.append(moment_of(run.started))
    return tag(
        "header",
        tag("p", tag("b", "agentscope"), " report", class_="brand"),
        tag("p", name(title_of(run)), *(f" · {part}" for part in parts)),
    )


def verdict(report: Report) -> Html:
    """What binds, how sure that is, and what to do about it."""
    found = report.verdict
    headline, clauses = headline_of(found.statement)
    steps = next_steps(report)
    tone = "withheld" if found.confidence == "withheld" else "bound" if found.cause else "open"
    return tag(
        "section",
        tag("p", "Verdict", class_="kicker"),
        tag("h1", headline),
        tag(
            "p",
            *_cause(found),
            tag("span", "confidence: ", tag("b", found.confidence), class_="badge-line"),
            class_="sure",
        ),
        tag("ul", *(tag("li", clause) for clause in clauses), class_="clauses")
        if clauses
        else None,
        tag("h2", "What to do next") if steps else None,
        tag("ol", *(tag("li", step) for step in steps), class_="steps") if steps else None,
        class_=f"verdict {tone}",
        id="verdict",
    )


def figures(report: Report) -> Html:
    """The few figures that everybody asks for first."""
    turns = report.turns
    tiles: list[tuple[str, str, Child]] = [
        ("median turn", figure(turns.p50_s, "s"), None),
        ("p95", figure(turns.p95_s, "s"), f"longest {figure(turns.max_s, 's')}"),
        ("turns a second", figure(turns.per_second, ""), amount(report.run.turns, "turn")),
        ("failed", figure(turns.error_rate, "share"), None),
    ]
    seen = live_sessions(report)
    if seen is not None:
        tiles.append(("live sessions", number(seen), "most at once"))
    first = next((one for one in report.ceilings if one.binding), None)
    if first is not None:
        within = interval(first.low, first.high)
        tiles.append(
            (
                "first limit",
                ("≤ " if first.censored else "") + count(first.sessions or 0.0),
                join(tag("span", within, class_="nowrap"), " sessions, ", first.resource),
            )
        )
    if report.llm.cost_usd is not None:
        tiles.append(("model cost", dollars(report.llm.cost_usd), "at list prices"))
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", title),
                tag("dd", value),
                tag("dd", note, class_="tile-note") if note else None,
            )
            for title, value, note in tiles
        ),
        class_="tiles",
    )


def _cause(found: Verdict) -> list[Html]:
    if found.cause is None:
        return []
    return [tag("span", swatch(class_of(found.cause)), " ", tag("code", found.cause))]


def contents(entries: list[tuple[str, str]]) -> Html:
    """Links to the parts of the page."""
    links = [tag("li", tag("a", title, href=f"#{key}")) for key, title in entries]
    return tag("nav", tag("ul", join(*links)), aria_label="Parts of this report")
