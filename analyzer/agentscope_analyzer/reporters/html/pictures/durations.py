"""How the durations of turns are spread."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Html
from agentscope_analyzer.reporters.html.picture import Picture, absent, column, legend, rows_of
from agentscope_analyzer.reporters.html.pictures.axes import ticks_for
from agentscope_analyzer.reporters.html.scales import Linear, Log, headroom
from agentscope_analyzer.reporters.html.svg import Canvas, swatch, width_of
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.wording import figure, number, seconds

KEY: Final = "durations"
TITLE: Final = "How long turns take"
_MARKS: Final = ("p50", "p90", "p95", "p99")


def durations(report: Report) -> Html:
    """The picture, or why there is none."""
    rows = rows_of(report, "timeline/durations")
    if not rows:
        return absent(KEY, TITLE, "No picture: the run has no turns.")
    turns = report.turns
    marks = {mark: getattr(turns, f"{mark}_s") for mark in _MARKS}
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=f"Half of all turns take {figure(turns.p50_s, 's')} or less, 95 % "
        f"{figure(turns.p95_s, 's')} or less; the longest took {figure(turns.max_s, 's')}."
        + _first_bytes(report),
        description="A histogram of turn durations on a logarithmic axis: "
        + ", ".join(f"{mark} {figure(value, 's')}" for mark, value in marks.items()),
        draw=lambda width: _draw(width, rows, marks),
        legend=legend([(swatch("served"), "turns"), (swatch("failed"), "of these, failed")]),
        tables=(_quantiles(report), _table(rows)),
    )
    return picture.shown()


def _first_bytes(report: Report) -> str:
    p50_s, p95_s = report.turns.ttfb_p50_s, report.turns.ttfb_p95_s
    if p50_s is None or p95_s is None:
        return ""
    return f" The first byte comes after {seconds(p50_s)} (median) and {seconds(p95_s)} (p95)."


def _draw(width: float, rows: Rows, marks: dict[str, float | None]) -> Canvas:
    wide = width > 500
    tall, top = (190.0, 76.0) if wide else (160.0, 76.0)
    canvas = Canvas(width, top + tall + 26)
    y = Linear(0.0, headroom(max(column(rows, "turns"))), top + tall, top)
    low, high = rows[0]["from_s"], rows[-1]["to_s"]
    x = Log(low / 1.06, high * 1.06, 44.0, width - 10)
    for value in y.ticks(ticks_for(tall)):
        canvas.line(x.start, y.at(value), x.end, y.at(value), "grid" if value else "axis")
        canvas.text(x.start - 5, y.at(value) + 4, number(value), "t", "end")
    canvas.text(0, 12, "turns", "t strong")
    for row in rows:
        a, b = x.at(row["from_s"]), x.at(row["to_s"])
        words = f"{seconds(row['from_s'])} to {seconds(row['to_s'])}: {number(row['turns'])} turns"
        canvas.rect(
            a + 0.5, y.at(row["turns"]), b - a - 1, y.start - y.at(row["turns"]), "bar", title=words
        )
        canvas.rect(
            a + 0.5, y.at(row["failed"]), b - a - 1, y.start - y.at(row["failed"]), "failed"
        )
    for value in x.ticks(9 if wide else 5):
        canvas.line(x.at(value), y.start, x.at(value), y.start + 4, "axis")
        canvas.text(x.at(value), y.start + 18, seconds(value), "t", "middle")
    _mark(canvas, x, y, marks)
    return canvas


def _mark(canvas: Canvas, x: Log, y: Linear, marks: dict[str, float | None]) -> None:
    """Quantiles as lines; their names stand on as many rows as they need not to touch."""
    ends = [0.0] * len(marks)
    for mark, value in marks.items():
        if value is None:
            continue
        place, words = x.at(value), f"{mark} {seconds(value)}"
        half = width_of(words) / 2
        centre = min(max(place, half), canvas.width - half)
        row = next((i for i, end in enumerate(ends) if centre - half > end))
        ends[row] = centre + half + 6
        canvas.line(place, 18 + 15 * row, place, y.start, "mark-line")
        canvas.text(centre, 13 + 15 * row, words, "t strong halo", "middle")


def _quantiles(report: Report) -> Html:
    turns = report.turns
    return table(
        "Durations of turns",
        [("", TEXT), *((mark, FIGURE) for mark in (*_MARKS, "longest"))],
        [
            (
                "duration",
                *(figure(getattr(turns, f"{mark}_s"), "s") for mark in _MARKS),
                figure(turns.max_s, "s"),
            ),
            (
                "to the first byte",
                figure(turns.ttfb_p50_s, "s"),
                "–",
                figure(turns.ttfb_p95_s, "s"),
                "–",
                "–",
            ),
        ],
    )


def _table(rows: Rows) -> Html:
    return table(
        "Turns by duration",
        [("from", FIGURE), ("to", FIGURE), ("turns", FIGURE), ("failed", FIGURE)],
        [
            (
                seconds(row["from_s"]),
                seconds(row["to_s"]),
                number(row["turns"]),
                number(row["failed"]),
            )
            for row in rows
        ],
    )
