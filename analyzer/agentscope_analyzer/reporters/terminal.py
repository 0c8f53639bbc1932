"""The report on a terminal: the verdict first, then what it rests on, on one screen.

Plain text of 80 to 100 columns that reads the same without colour. Whatever comes from the run is
escaped: a model's name must not move the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
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
from agentscope_analyzer.reporters.text import clean
from agentscope_analyzer.validity import NOT_MEASURED, NOTED
from agentscope_analyzer.wording import (
    amount,
    dollars,
    figure,
    interval,
    number,
    percent,
    seconds,
    size,
    span,
)

MAX_WIDTH = 100
BAR_WIDTH = 20
CAUSE_WIDTH = 18
RESOURCE_WIDTH = 15
MAX_EVIDENCE = 8
MAX_UNPRICED = 3
MAX_TRACES: dict[Kind, int] = {"binds": 3, "watch": 1, "ruled_out": 0}

_HEADINGS: dict[Kind, tuple[str, str]] = {
    "binds": ("BINDS", "bold red"),
    "watch": ("WATCH", "bold yellow"),
    "ruled_out": ("RULED OUT", "bold green"),
}


def render(report: Report, console: Console) -> None:
    """Print the report."""
    page = _Page(console)
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


class _Page:
    """The console, never wider than MAX_WIDTH, with the few shapes that the report is made of."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.width = min(console.width, MAX_WIDTH)

    def line(self, *parts: str | Text) -> None:
        text = Text.assemble(*(Text(clean(p)) if isinstance(p, str) else p for p in parts))
        self._console.print(text, width=self.width, highlight=False)

    def heading(self, title: str, style: str = "bold") -> None:
        self._console.print()
        self._console.print(Text(title, style=style), highlight=False)

    def block(self, content: RenderableType, indent: int = 2) -> None:
        self._console.print(Padding(content, (0, 0, 0, indent)), width=self.width, highlight=False)


def _head(report: Report, page: _Page) -> None:
    run = report.run
    sessions = f" of {amount(run.sessions, 'session')}" if run.sessions is not None else ""
    length = f" in {seconds(run.duration_s)}" if run.duration_s is not None else ""
    page.line(
        f"run {run.id or 'without id'}: {amount(run.turns, 'turn')}{sessions}{length}, "
        f"{amount(run.spans, 'span')}, {amount(run.instances, 'instance')}"
    )
    page.heading("VERDICT")
    page.block(Text(clean(_capital(report.verdict.statement)), style="bold"))
    page.block(Text(f"confidence: {report.verdict.confidence}"))


def _findings(report: Report, kind: Kind, page: _Page) -> None:
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
            page.block(Text(clean(f"see trace {trace}"), style="dim"), indent=4)


def _not_measured(checks: list[Check], page: _Page) -> None:
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
    row.add_row(first, Text(clean(said)))
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
            Text(clean(one.name)),
            Text(clean(figure(one.value, one.unit))),
            Text(clean(limit)),
            Text(one.question or "", style="dim"),
        )
    if len(evidence) > MAX_EVIDENCE:
        grid.add_row(Text(f"and {len(evidence) - MAX_EVIDENCE} more figures in the JSON report"))
    return grid


def _causes(report: Report, page: _Page) -> None:
    causes = sorted(
        report.attribution.causes.items(), key=lambda item: item[1].seconds, reverse=True
    )
    if not causes:
        return
    page.heading(f"WHERE {seconds(report.attribution.seconds)} OF TURN TIME WENT")
    table = _table("cause", "seconds", "share", "", "p95 turns", "low – high")
    table.columns[0].no_wrap = True
    bar = BAR_WIDTH if page.width >= MAX_WIDTH else BAR_WIDTH // 2
    for name, cause in causes:
        bounds = (
            f"{seconds(cause.low)} – {seconds(cause.high)}"
            if cause.low is not None and cause.high is not None
            else ""
        )
        table.add_row(
            clean(name),
            seconds(cause.seconds),
            percent(cause.share),
            "█" * round(bar * cause.share),
            "" if cause.p95_share is None else percent(cause.p95_share),
            bounds,
        )
    page.block(table)


def _said(report: Report, page: _Page) -> None:
    page.heading("WHY THE SLOWEST TURNS ARE SLOW")
    page.block(Text(clean(_capital(report.tail.statement))))
    page.heading("WHAT GROWS WITH LOAD")
    page.block(Text(clean(_capital(report.growth.statement))))


def _ceilings(report: Report, page: _Page) -> None:
    page.heading("CEILINGS")
    if report.ceilings:
        table = _table("resource", "limit", "a session", "sessions", "reached")
        table.columns[0].min_width, table.columns[1].no_wrap = RESOURCE_WIDTH, False
        for ceiling in report.ceilings:
            table.add_row(*_ceiling(ceiling))
        page.block(table)
        page.block(Text(clean(_capital(report.margin.statement)), style="bold"))
        for ceiling in report.ceilings:
            page.block(Text(clean(f"{ceiling.resource}: {ceiling.basis}"), style="dim"))
    else:
        page.block(Text("none can be told from this run; validity says why"))
    for why in report.margin.untold:
        page.block(Text(clean(why), style="dim"))
    if report.memory.base_bytes is not None or report.memory.leak is not None:
        page.block(_row(Text("memory"), _memory(report.memory)))
    page.block(_row(Text("scalability"), report.scalability.statement))


def _ceiling(ceiling: Ceiling) -> tuple[str, str, str, str, str]:
    """One line of the table. What refusals hid makes demand a lower bound, sessions an upper one."""
    least, most = ("≥ ", "≤ ") if ceiling.censored else ("", "")
    by_size = ceiling.unit == "bytes"
    limit = size(ceiling.limit) if by_size else f"{number(ceiling.limit)} {ceiling.unit}"
    demand = ceiling.demand_per_session
    each = size(demand) if by_size and demand is not None else figure(demand, "")
    within = interval(ceiling.low, ceiling.high)
    # A core of a process and the cores of the host are two limits of one resource.
    of = f" ({ceiling.dimension})" if ceiling.resource == "cpu" else ""
    return (
        clean(ceiling.resource + of),
        clean(limit),
        least + each,
        f"{most}{figure(ceiling.sessions, '')} {within}".rstrip(),
        ("yes" if ceiling.reached else "no") + (", first" if ceiling.binding else ""),
    )


def _memory(memory: MemoryFigures) -> str:
    """Base, a live session, an ended one; whether that is a leak."""
    parts = []
    if memory.base_bytes is not None:
        parts.append(f"{size(memory.base_bytes)} without sessions")
    if memory.bytes_per_live_session is not None:
        parts.append(f"{size(memory.bytes_per_live_session)} a live session")
    if memory.leak is not None:
        low, high = memory.low or 0.0, memory.high or 0.0
        parts.append(
            f"{'a leak' if memory.leak else 'no leak'}: an ended session leaves "
            f"{size(memory.bytes_per_ended_session or 0.0)} [{size(low)}, {size(high)}]"
        )
    if memory.time_to_limit_s is not None:
        limit = size(memory.limit_bytes or 0.0)
        parts.append(f"{limit} are full in {span(memory.time_to_limit_s)}")
    if memory.leak is None:
        parts.append(f"a leak is neither seen nor ruled out ({memory.basis})")
    return "; ".join(parts)


def _turns(report: Report, page: _Page) -> None:
    turns = report.turns
    page.heading("TURNS")
    table = _table("", "p50", "p90", "p95", "p99", "max", "a second", "failed")
    table.add_row(
        "duration",
        *(
            figure(value, "s")
            for value in (turns.p50_s, turns.p90_s, turns.p95_s, turns.p99_s, turns.max_s)
        ),
        figure(turns.per_second, ""),
        figure(turns.error_rate, "share"),
    )
    if turns.ttfb_p50_s is not None:
        first, slow = figure(turns.ttfb_p50_s, "s"), figure(turns.ttfb_p95_s, "s")
        table.add_row("to first byte", first, "", slow)
    page.block(table)


def _calls(report: Report, page: _Page) -> None:
    llm = report.llm
    page.heading("MODEL CALLS")
    table = _table("", "calls", "a turn", "attempts", "hidden retries", "refused", "back-off")
    table.add_row(
        "all",
        figure(llm.calls, ""),
        figure(llm.calls_per_turn, ""),
        figure(llm.attempts, ""),
        figure(llm.retries_hidden, ""),
        figure(llm.rate_limited, ""),
        figure(llm.backoff_s, "s"),
    )
    page.block(table)
    if llm.by_model:
        table = _table("model", "calls", "retries", "refused", "back-off", "p50", "p95")
        for row in llm.by_model:
            table.add_row(
                _model(row),
                figure(row["calls"], ""),
                figure(row["retries"], ""),
                figure(row["rate_limited"], ""),
                figure(row["backoff_s"], "s"),
                figure(row["p50_s"], "s"),
                figure(row["p95_s"], "s"),
            )
        page.block(table)
        table = _table("", "first token", "p95", "tokens/s", "tokens in", "cached", "out", "cost")
        for row in llm.by_model:
            table.add_row(
                _model(row),
                figure(row["ttft_p50_s"], "s"),
                figure(row["ttft_p95_s"], "s"),
                figure(row["tokens_per_s"], ""),
                figure(row["input_tokens"], ""),
                figure(row["cache_read_tokens"], ""),
                figure(row["output_tokens"], ""),
                dollars(row["cost_usd"]),
            )
        page.block(table)
        page.block(Text(clean(_cost(llm)), style="dim"))


def _model(row: dict[str, Any]) -> str:
    return clean(" ".join(part for part in (row["provider"], row["model"]) if part) or "–")


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
        name = (
            " ".join(part for part in (one.provider, one.model) if part) or "calls without a model"
        )
        parts.append(f"{name} not in it: {one.reason}")
    if len(prices.unpriced) > MAX_UNPRICED:
        parts.append(f"{len(prices.unpriced) - MAX_UNPRICED} more without a price")
    missing = llm.tokens["calls_without_usage"]
    if missing:
        parts.append(f"{amount(missing, 'answered call')} without token usage")
    return "; ".join(parts)


def _validity(checks: list[Check], page: _Page) -> None:
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
            grid.add_row(Text(check.status, style), Text(check.check), Text(clean(check.detail)))
    if grid.row_count:
        page.block(grid)
    passed = _unique(
        check.check for check in checks if check.status == "ok" and check.check not in NOTED
    )
    if passed:
        page.block(Text(f"ok: {', '.join(passed)}"))


def _table(*columns: str) -> Table:
    """A plain table: the first column reads from the left, figures stand at the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for i, column in enumerate(columns):
        left = i == 0 or not column or column in {"low – high", "reached"}
        table.add_column(
            column, justify="left" if left else "right", overflow="fold", no_wrap=i > 0
        )
    return table


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
