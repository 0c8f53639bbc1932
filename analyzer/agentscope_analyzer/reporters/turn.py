"""One turn on a terminal: its waterfall, and below it where its time went.

Told by letters first, by colour only besides: it reads the same in a pipe and with NO_COLOR set.
Whatever comes from the run is escaped.
"""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from agentscope_analyzer.excerpt import Candidate
from agentscope_analyzer.reporters.html.palette import colour, ink
from agentscope_analyzer.reporters.text import clean
from agentscope_analyzer.reporters.waterfall import (
    AFTER,
    BELOW,
    LETTERS,
    MORE,
    OFF_PATH,
    STOOD_STILL,
    Line,
    waterfall,
)
from agentscope_analyzer.traced import Trace
from agentscope_analyzer.wording import amount, moment, percent, seconds

__all__ = ["render", "render_candidates"]

MIN_WIDTH: Final = 60
MAX_WIDTH: Final = 160
LABEL_PART: Final = 0.4
FIGURE_WIDTH: Final = 9
MAX_INDENT: Final = 12

_CAUSE_OF: Final = {letter: cause for cause, letter in LETTERS.items()}


def render(trace: Trace, console: Console, *, most_spans: int = 40) -> None:
    """Print the turn."""
    width = min(max(console.width, MIN_WIDTH), MAX_WIDTH)
    label_width = round(width * LABEL_PART)
    cells = width - label_width - FIGURE_WIDTH - 2
    page = _Page(console, width, label_width)
    in_ms = trace.duration_s < 1
    page.say(f"{trace.name}: {seconds(trace.duration_s)} from {moment(trace.start_ns)}")
    page.say(f"trace {trace.trace_id}, {amount(len(trace.spans), 'span')}")
    if trace.session:
        page.say(f"session {trace.session}")
    page.say()
    page.row("", "ms" if in_ms else "seconds", Text(_ruler(trace.duration_s, cells)))
    lines = waterfall(trace, cells=cells, most_spans=most_spans)
    for line in lines:
        page.row(_label(line), _figure(line.ns, in_ms=in_ms), _coloured(line.bar), line.failed)
    page.say()
    marks = "".join(line.bar for line in lines)
    summed_up = any(line.label.startswith(MORE) for line in lines)
    page.say("letters: own time on the critical path, by cause")
    page.say("; ".join(said for mark, said in _MARKS.items() if mark in marks))
    if summed_up:
        page.say(f"{MORE} many in one line, with their seconds on the path; --spans N draws more")
    page.say()
    _causes(trace, page, in_ms=in_ms)


def render_candidates(found: list[Candidate], console: Console) -> None:
    """Print a list of turns to choose from."""
    for one in found:
        failed = ", failed" if one.error else ""
        text = f"{one.trace_id}  {one.why:<8} {seconds(one.duration_s):>8}  {one.name}{failed}"
        console.print(Text(clean(text)), highlight=False, soft_wrap=True)


_MARKS: Final = {
    BELOW: f"{BELOW} the path runs below it",
    OFF_PATH: f"{OFF_PATH} nobody waited for it",
    STOOD_STILL: f"{STOOD_STILL} stood still, or was held",
    AFTER: f"{AFTER} after the turn",
}


class _Page:
    """The console and the columns that the picture has on it."""

    def __init__(self, console: Console, width: int, label_width: int) -> None:
        self._console = console
        self._width = width
        self._label_width = label_width

    def say(self, text: str | Text = "") -> None:
        said = Text(clean(text)) if isinstance(text, str) else text
        said.rstrip()
        self._console.print(said, width=self._width, highlight=False)

    def row(self, label: str, figure: str, bar: Text, failed: bool = False) -> None:
        name = Text(_fit(clean(label), self._label_width), "red" if failed else "")
        line = Text.assemble(name, " ", f"{figure:>{FIGURE_WIDTH}}", " ", bar)
        line.rstrip()
        self._console.print(line, highlight=False, no_wrap=True, crop=False, overflow="ignore")


def _causes(trace: Trace, page: _Page, *, in_ms: bool) -> None:
    """The causes, of which the printed figures add up to the printed duration."""
    printed = _adding_up(trace.causes, 1e-6 if in_ms else 1e-3)
    unit = "ms" if in_ms else "s"
    for cause, thousandths in sorted(printed.items(), key=lambda item: -trace.causes[item[0]]):
        letter = LETTERS[cause]
        share = trace.causes[cause] / trace.duration_s
        low_s, high_s = trace.bounds.get(cause, (0.0, 0.0))
        within = f"between {seconds(low_s)} and {seconds(high_s)}" if low_s < high_s else ""
        page.say(
            Text.assemble(
                "  ",
                _coloured(letter),
                f"  {cause:<20}{thousandths / 1000:>12.3f} {unit}{percent(share):>8}  {within}",
            )
        )
    page.say(f"     {'in all':<20}{sum(printed.values()) / 1000:>12.3f} {unit}")


def _adding_up(causes: dict[str, float], unit_s: float) -> dict[str, int]:
    """Seconds in whole units that add up: the largest remainders are rounded up."""
    exact = {cause: taken_s / unit_s for cause, taken_s in causes.items()}
    found = {cause: int(units) for cause, units in exact.items()}
    left = round(sum(exact.values())) - sum(found.values())
    by_remainder = sorted(exact, key=lambda cause: found[cause] - exact[cause])
    for cause in by_remainder[: max(0, left)]:
        found[cause] += 1
    return found


def _label(line: Line) -> str:
    return " " * min(line.depth, MAX_INDENT) + line.label


def _figure(ns: int, *, in_ms: bool) -> str:
    return f"{ns / 1e6:.3f}" if in_ms else f"{ns / 1e9:.3f}"


def _ruler(duration_s: float, cells: int) -> str:
    """``0      4.46 s      8.93 s      17.9 s``: the ends of the axis, and what fits between."""
    end, middle = seconds(duration_s), seconds(duration_s / 2)
    text = "0".ljust(cells - len(end)) + end
    at = cells // 2 - len(middle) // 2
    return text[:at] + middle + text[at + len(middle) :] if cells >= 30 else text


def _fit(text: str, width: int) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def _coloured(bar: str) -> Text:
    text = Text()
    for mark in bar:
        cause = _CAUSE_OF.get(mark)
        text.append(mark, f"{ink(cause)} on {colour(cause)}" if cause else "dim")
    return text
