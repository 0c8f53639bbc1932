"""The report on a terminal: the verdict first, then what it rests on, on one screen.

Plain text of 80 to 100 columns that reads the same without colour. Whatever comes from the run is
escaped: a model's name must not move the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentscope_analyzer.document import (
    Ceiling,
    Check,
    Evidence,
    Kind,
    LlmFigures,
    MemoryFigures,
    Report,
)
from agentscope_analyzer.reporters.advice import next_steps
from agentscope_analyzer.reporters.page import MAX_WIDTH, Page
from agentscope_analyzer.reporters.text import clean, clipped, title_of
from agentscope_analyzer.validity import NOT_MEASURED, NOTED
from agentscope_analyzer.wording import (
    amount,
    count,
    dollars,
    figure,
    interval,
    limited,
    percent,
    seconds,
    size,
    size_interval,
    span,
)

BAR_WIDTH = 20
CAUSE_WIDTH = 18
MAX_EVIDENCE = 8
RETRIES_INCLUDED = "times are as the service waited: refusals and back-off included"
MAX_UNPRICED = 3
MAX_MODELS = 20
MAX_NAME = 100
MAX_TEXT = 1500
"""Characters of a sentence with names from the run in it: the JSON report has all of them."""
MAX_TRACES: dict[Kind, int] = {"binds": 3, "watch": 1, "ruled_out": 0}

_HEADINGS: dict[Kind, tuple[str, str]] = {
    "binds": ("BINDS", "bold red"),
    "watch": ("WATCH", "bold yellow"),
    "ruled_out": ("RULED OUT", "bold green"),
}


def render(report: Report, console: Console) -> None:
    """Print the report."""
    page = Page(console)
    _head(report, page)
    for kind in _HEADINGS:
        _findings(report, kind, page)
    _not_measured(report.validity, page)
    _causes(report, page)
    _said(report, page)
    _ceilings(report, page)
    _turns(report, page)
    _calls(report, page)
    _validity(report.validity, page)


def _head(report: Report, page: Page) -> None:
    run = report.run
    sessions = f" of {amount(run.sessions, 'session')}" if run.sessions is not None else ""
    length = f" in {seconds(run.duration_s)}" if run.duration_s is not None else ""
    page.line(
        f"{title_of(run)}: {amount(run.turns, 'turn')}{sessions}{length}, "
        f"{amount(run.spans, 'span')}, {amount(run.instances, 'instance')}"
    )
    page.heading("VERDICT")
    page.block(Text(_shown(_capital(report.verdict.statement)), style="bold"))
    page.block(Text(f"confidence: {report.verdict.confidence}"))
    steps = next_steps(report)
    if steps:
        page.heading("WHAT TO DO NEXT")
        page.numbered(steps)


def _findings(report: Report, kind: Kind, page: Page) -> None:
    findings = [one for one in report.findings if one.kind == kind]
    if not findings:
        return
    title, style = _HEADINGS[kind]
    page.heading(title, style)
    for finding in findings:
        is_verdict = finding.cause == report.verdict.cause
        said = "the verdict above rests on:" if is_verdict else finding.statement
        page.block(_row(Text(finding.cause, style=style), said))
        if kind == "binds":
            page.block(_evidence(finding.evidence), indent=4)
        for trace in finding.traces[: MAX_TRACES[kind]]:
            page.block(Text(_shown(f"see trace {trace}"), style="dim"), indent=4)


def _not_measured(checks: list[Check], page: Page) -> None:
    missing = [check for check in checks if check.check == NOT_MEASURED]
    if missing:
        page.heading("NOT MEASURED, SO NOT RULED OUT", "bold yellow")
        for check in missing:
            cause = str(check.value)
            page.block(_row(Text(cause), check.detail.removeprefix(f"{cause}: ")))


def _row(first: Text, said: str) -> Table:
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(width=CAUSE_WIDTH, no_wrap=True)
    row.add_column(ratio=1)
    row.add_row(first, Text(_shown(said)))
    return row


def _evidence(evidence: list[Evidence]) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    for one in evidence[:MAX_EVIDENCE]:
        unit = one.unit if one.unit in {"s", "share"} else ""
        limit = "" if one.limit is None else f"/ {figure(one.limit, unit)}"
        grid.add_row(
            Text(_shown(one.name)),
            Text(_shown(figure(one.value, one.unit))),
            Text(_shown(limit)),
            Text(one.question or "", style="dim"),
        )
    if len(evidence) > MAX_EVIDENCE:
        grid.add_row(Text(f"and {len(evidence) - MAX_EVIDENCE} more figures in the JSON report"))
    return grid


def _causes(report: Report, page: Page) -> None:
    causes = sorted(
        report.attribution.causes.items(), key=lambda item: item[1].seconds, reverse=True
    )
    if not causes:
        return
    page.heading(f"WHERE {seconds(report.attribution.seconds)} OF TURN TIME WENT")
    bar = BAR_WIDTH if page.width >= MAX_WIDTH else BAR_WIDTH // 2
    rows = []
    for name, cause in causes:
        bounds = (
            f"{seconds(cause.low)} – {seconds(cause.high)}"
            if cause.low is not None and cause.high is not None
            else ""
        )
        rows.append(
            (
                _shown(name),
                seconds(cause.seconds),
                percent(cause.share),
                "█" * round(bar * cause.share),
                "" if cause.p95_share is None else percent(cause.p95_share),
                bounds,
            )
        )
    names = ("cause", "seconds", "share", "", "p95 turns", "low – high")
    page.table(names, rows, dispensable=("", "low – high", "p95 turns"))


def _said(report: Report, page: Page) -> None:
    page.heading("WHY THE SLOWEST TURNS ARE SLOW")
    page.block(Text(_shown(_capital(report.tail.statement))))
    page.heading("WHAT GROWS WITH LOAD")
    page.block(Text(_shown(_capital(report.growth.statement))))


def _ceilings(report: Report, page: Page) -> None:
    page.heading("CEILINGS")
    if report.ceilings:
        page.table(
            ("resource", "limit", "a session", "sessions", "reached"),
            [_ceiling(one) for one in report.ceilings],
            wraps="limit",
            dispensable=("a session", "limit"),
        )
        page.block(Text(_shown(_capital(report.margin.statement)), style="bold"))
        for ceiling in report.ceilings:
            page.block(Text(_shown(f"{ceiling.resource}: {ceiling.basis}"), style="dim"))
    else:
        page.block(Text("none can be told from this run; validity says why"))
    for why in report.margin.untold:
        page.block(Text(_shown(why), style="dim"))
    memory = report.memory
    if any(one is not None for one in (memory.base_bytes, memory.leak, memory.bytes_per_turn)):
        page.block(_row(Text("memory"), _memory(memory)))
    page.block(_row(Text("scalability"), report.scalability.statement))


def _ceiling(ceiling: Ceiling) -> tuple[str, str, str, str, str]:
    """One line of the table. What refusals hid makes demand a lower bound, sessions an upper one."""
    least, most = ("≥ ", "≤ ") if ceiling.censored else ("", "")
    demand = ceiling.demand_per_session
    by_size = demand is not None and ceiling.unit == "bytes"
    each = size(demand or 0.0) if by_size else figure(demand, "")
    sessions = "–" if ceiling.sessions is None else most + count(ceiling.sessions)
    within = interval(ceiling.low, ceiling.high)
    # A core of a process and the cores of the host are two limits of one resource.
    of = f" ({ceiling.dimension})" if ceiling.resource == "cpu" else ""
    return (
        _shown(ceiling.resource + of),
        _shown(limited(ceiling.limit, ceiling.unit)),
        least + each,
        f"{sessions} {within}".rstrip(),
        ("yes" if ceiling.reached else "no") + (", first" if ceiling.binding else ""),
    )


def _memory(memory: MemoryFigures) -> str:
    """Base, a live session, an ended one; whether that is a leak."""
    parts = []
    if memory.base_bytes is not None:
        parts.append(f"{size(memory.base_bytes)} without sessions")
    if memory.bytes_per_live_session is not None:
        within = size_interval(memory.live_low, memory.live_high)
        parts.append(f"{size(memory.bytes_per_live_session)} a live session {within}".rstrip())
    if memory.bytes_per_turn is not None:
        within = size_interval(memory.turn_low, memory.turn_high)
        goes = {True: " until its session ends", False: " that stay", None: ""}[memory.turns_freed]
        parts.append(f"{size(memory.bytes_per_turn)} a turn {within}".rstrip() + goes)
    if memory.leak is not None:
        parts.append(
            f"{'a leak' if memory.leak else 'no leak'}: an ended session leaves "
            f"{size(memory.bytes_per_ended_session or 0.0)} "
            f"{size_interval(memory.low, memory.high)}".rstrip()
        )
    if memory.time_to_limit_s is not None:
        limit = size(memory.limit_bytes or 0.0)
        parts.append(f"{limit} are full in {span(memory.time_to_limit_s)}")
    if memory.leak is None:
        parts.append(f"a leak is neither seen nor ruled out ({memory.basis})")
    return "; ".join(parts)


def _turns(report: Report, page: Page) -> None:
    turns = report.turns
    page.heading("TURNS")
    times = (turns.p50_s, turns.p90_s, turns.p95_s, turns.p99_s, turns.max_s)
    failed = figure(turns.error_rate, "share")
    rows = [
        ("duration", *(figure(one, "s") for one in times), figure(turns.per_second, ""), failed)
    ]
    if turns.ttfb_p50_s is not None:
        first, slow = figure(turns.ttfb_p50_s, "s"), figure(turns.ttfb_p95_s, "s")
        rows.append(("to first byte", first, "", slow, "", "", "", ""))
    names = ("", "p50", "p90", "p95", "p99", "max", "a second", "failed")
    page.table(names, rows, dispensable=("p99", "p90", "max"))


def _calls(report: Report, page: Page) -> None:
    llm = report.llm
    page.heading("MODEL CALLS")
    page.table(
        ("", "calls", "a turn", "attempts", "hidden retries", "refused", "back-off"),
        [
            (
                "all",
                figure(llm.calls, ""),
                figure(llm.calls_per_turn, ""),
                figure(llm.attempts, ""),
                figure(llm.retries_hidden, ""),
                figure(llm.rate_limited, ""),
                figure(llm.backoff_s, "s"),
            )
        ],
        dispensable=("a turn", "back-off"),
    )
    if llm.by_model:
        page.table(
            ("model", "calls", "retries", "refused", "back-off", "p50", "p95"),
            [
                (
                    _model(row),
                    figure(row["calls"], ""),
                    figure(row["retries"], ""),
                    figure(row["rate_limited"], ""),
                    figure(row["backoff_s"], "s"),
                    figure(row["p50_s"], "s"),
                    figure(row["p95_s"], "s"),
                )
                for row in llm.by_model[:MAX_MODELS]
            ],
            dispensable=("p50", "back-off"),
        )
        page.table(
            ("", "first token", "p95", "tokens/s", "tokens in", "cached", "out", "cost"),
            [
                (
                    _model(row),
                    figure(row["ttft_p50_s"], "s"),
                    figure(row["ttft_p95_s"], "s"),
                    figure(row["tokens_per_s"], ""),
                    figure(row["input_tokens"], ""),
                    figure(row["cache_read_tokens"], ""),
                    figure(row["output_tokens"], ""),
                    dollars(row["cost_usd"]),
                )
                for row in llm.by_model[:MAX_MODELS]
            ],
            dispensable=("cached", "p95", "tokens/s"),
        )
        if len(llm.by_model) > MAX_MODELS:
            more = len(llm.by_model) - MAX_MODELS
            page.block(Text(f"and {amount(more, 'model')} more, in the JSON report", style="dim"))
        if any(row["retries"] and row["ttft_p50_s"] is not None for row in llm.by_model):
            page.block(Text(RETRIES_INCLUDED, style="dim"))
        page.block(Text(_shown(_cost(llm)), style="dim"))


def _model(row: dict[str, Any]) -> str:
    named = " ".join(part for part in (row["provider"], row["model"]) if part)
    return _shown(named or "–", MAX_NAME)


def _shown(text: str, most: int = MAX_TEXT) -> str:
    """Text that came from a run, as far as a screen has room for it."""
    return clean(clipped(text, most))


def _cost(llm: LlmFigures) -> str:
    """What the calls cost in all, by which prices, and what is not in it."""
    prices = llm.prices
    checked = f", prices checked up to {prices.date}" if prices.date else ""
    parts = []
    if llm.cost_usd is not None:
        least = "at least " if prices.unpriced or llm.tokens["calls_without_usage"] else ""
        parts.append(f"cost: {least}{dollars(llm.cost_usd)} by {prices.source}{checked}")
    else:
        parts.append("cost: not known")
    for one in prices.unpriced[:MAX_UNPRICED]:
        called = " ".join(part for part in (one.provider, one.model) if part)
        parts.append(
            f"{clipped(called or 'calls without a model', MAX_NAME)} not in it: {one.reason}"
        )
    if len(prices.unpriced) > MAX_UNPRICED:
        parts.append(f"{len(prices.unpriced) - MAX_UNPRICED} more without a price")
    missing = llm.tokens["calls_without_usage"]
    if missing:
        parts.append(f"{amount(missing, 'answered call')} without token usage")
    return "; ".join(parts)


def _validity(checks: list[Check], page: Page) -> None:
    page.heading("CAN THIS RUN BE BELIEVED?")
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    styles = {"fail": "bold red", "warn": "yellow", "ok": "green"}
    order = list(styles)
    for check in sorted(checks, key=lambda one: order.index(one.status)):
        told = check.status != "ok" or check.check in NOTED
        if told and check.check != NOT_MEASURED:
            style = styles[check.status]
            grid.add_row(Text(check.status, style), Text(check.check), Text(_shown(check.detail)))
    if grid.row_count:
        page.block(grid)
    passed = _unique(
        check.check for check in checks if check.status == "ok" and check.check not in NOTED
    )
    if passed:
        page.block(Text(f"ok: {', '.join(passed)}"))


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
