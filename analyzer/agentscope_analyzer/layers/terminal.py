"""A comparison of layers on a terminal: what each added first, then whether that can be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentscope_analyzer.layers.document import (
    Difference,
    LayerFigures,
    LayersReport,
    LoadCheck,
    Sameness,
    Step,
)
from agentscope_analyzer.reporters.text import clean
from agentscope_analyzer.wording import amount, number, seconds

__all__ = ["render"]

MAX_WIDTH: Final = 100
NAME_WIDTH: Final = 18
_MARKS: Final[dict[Sameness, str]] = {
    "same": "ok",
    "adjusted": "mended",
    "noted": "note",
    "differs": "DIFFERS",
    "unknown": "unknown",
}


def render(report: LayersReport, console: Console) -> None:
    """Print the comparison."""
    page = _Page(console)
    page.line(" → ".join(layer.name for layer in report.layers))
    if report.withheld is not None:
        page.heading("NOT COMPARED", "bold red")
        page.block(Text(clean(report.withheld)))
    for step in report.steps:
        _step(step, page)
    _layers(report.layers, page)
    _load(report.load, page)


class _Page:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, MAX_WIDTH)

    def line(self, text: str) -> None:
        self._console.print(Text(clean(text)), width=self._width, highlight=False)

    def heading(self, title: str, style: str = "bold") -> None:
        self._console.print()
        self._console.print(Text(clean(title), style=style), width=self._width, highlight=False)

    def block(self, content: RenderableType) -> None:
        self._console.print(Padding(content, (0, 0, 0, 2)), width=self._width, highlight=False)


def _step(step: Step, page: _Page) -> None:
    page.heading(f"{step.before} → {step.after}")
    page.block(Text(clean(step.statement), style="bold"))
    table = _table(["", "before", "after", "adds", "95 % interval"])
    if step.ratio is not None:
        table.add_row(*_ratio_cells(step.ratio))
    for name, row in (("mean turn", step.mean_s), ("p50", step.p50_s), ("p95", step.p95_s)):
        table.add_row(*_cells(name, row))
    shown = [cause for cause in step.causes if cause.change in ("added", "saved", "not_judged")]
    for cause in shown:
        name = cause.cause if cause.recorded_before and cause.recorded_after else f"{cause.cause} *"
        table.add_row(*_cells(name, cause))
    page.block(table)
    if any(not (cause.recorded_before and cause.recorded_after) for cause in shown):
        page.block(Text("* nothing of it was recorded in one of the runs", style="dim"))
    unchanged = [cause.cause for cause in step.causes if cause.change == "unchanged"]
    if unchanged:
        margin = seconds(step.mean_s.margin)
        page.block(Text(f"did not change, to within {margin} a turn: {', '.join(unchanged)}"))
    for cause in step.causes:
        if cause.change == "inconclusive":
            page.block(Text(f"inconclusive: {cause.cause} {_open(cause)}"))


def _open(difference: Difference) -> str:
    told = f"{_signed(difference.difference)} [{_ends(difference)}]"
    if difference.detectable is not None:
        told += f"; found from {seconds(difference.detectable)} on"
    if difference.sessions_needed is not None:
        told += f", {amount(difference.sessions_needed, 'session')} would show {seconds(difference.margin)}"
    return told


def _cells(name: str, row: Difference) -> list[Text]:
    cells = [name, seconds(row.before), seconds(row.after), _signed(row.difference), _ends(row)]
    return [Text(clean(cell)) for cell in cells]


def _ratio_cells(row: Difference) -> list[Text]:
    ends = (
        "" if row.low is None or row.high is None else f"× {number(row.low)} to {number(row.high)}"
    )
    cells = [
        "session's turn",
        seconds(row.before),
        seconds(row.after),
        f"× {number(row.difference)}",
        ends,
    ]
    return [Text(cell) for cell in cells]


def _ends(row: Difference) -> str:
    return (
        "" if row.low is None or row.high is None else f"{_signed(row.low)} to {_signed(row.high)}"
    )


def _signed(value: float) -> str:
    return seconds(value) if value == 0 else f"{'+' if value > 0 else '-'}{seconds(abs(value))}"


def _layers(layers: Sequence[LayerFigures], page: _Page) -> None:
    page.heading("RUNS")
    table = _table(["", "turns", "sessions", "a second", "mean", "p50", "p95"])
    for layer in layers:
        times = (layer.mean_s, layer.p50_s, layer.p95_s)
        cells = [
            layer.name,
            number(layer.turns),
            _or_dash(layer.sessions),
            _or_dash(layer.turns_per_s),
            *("–" if one is None else seconds(one) for one in times),
        ]
        table.add_row(*(Text(clean(cell)) for cell in cells))
    page.block(table)
    for layer in layers:
        page.block(_row(layer.name, f"{layer.verdict} (confidence: {layer.confidence})"))


def _load(checks: Sequence[LoadCheck], page: _Page) -> None:
    page.heading("THE SAME LOAD?")
    for check in checks:
        page.block(_row(f"{_MARKS[check.sameness]:8}{check.check}", check.detail, 4 + NAME_WIDTH))


def _table(names: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=NAME_WIDTH, no_wrap=True)
    for _ in names[1:]:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(name, style="dim") for name in names))
    return table


def _row(first: str, said: str, width: int = NAME_WIDTH) -> Table:
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(width=width, no_wrap=True)
    row.add_column(ratio=1)
    row.add_row(Text(clean(first)), Text(clean(said)))
    return row


def _or_dash(value: float | None) -> str:
    return "–" if value is None else number(value)
