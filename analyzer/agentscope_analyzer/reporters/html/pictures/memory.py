"""Memory against live sessions: what the processes hold anyway, and what each session adds."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Html, join, tag
from agentscope_analyzer.reporters.html.picture import (
    Picture,
    absent,
    column,
    legend,
    rows_of,
    sentence,
)
from agentscope_analyzer.reporters.html.pictures.axes import Course, ticks_for
from agentscope_analyzer.reporters.html.scales import Linear, headroom
from agentscope_analyzer.reporters.html.svg import Canvas, polyline, swatch
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.wording import figure, number, size, size_interval, span

KEY: Final = "memory"
TITLE: Final = "Memory against live sessions"
MIN_POINTS: Final = 3
FIT: Final = "what the base and live sessions explain; ended ones may leave more behind"


def memory(report: Report) -> Html:
    """The picture, or why there is none."""
    course, rows = Course.of(report), rows_of(report, "timeline/memory")
    if course is None or not rows:
        return absent(KEY, TITLE, "No picture: the run did not record how much memory it held.")
    most = max(column(rows, "processes"))
    rows = [row for row in rows if row["processes"] == most]
    live = _live(report)
    points = [{**row, "sessions": live[row["bucket"]]} for row in rows if row["bucket"] in live]
    if len(points) < MIN_POINTS:
        why = "No picture: memory was recorded, but turns do not say for which sessions."
        return absent(KEY, TITLE, why)
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=_says(report, rows),
        description="Each dot is a stretch of the run: its live sessions to the right, resident "
        "memory upwards, joined in the order of time",
        draw=lambda width: _draw(width, course, points, report),
        legend=join(
            legend(
                [
                    (swatch("memory-mark"), "one stretch of the run; the line follows time"),
                    (swatch("first-point"), "its start"),
                    (swatch("last-point"), "its end"),
                    *([(swatch("fit-mark"), FIT)] if report.memory.base_bytes is not None else []),
                ]
            ),
            tag("p", sentence(report.memory.basis or ""), class_="note"),
        ),
        tables=(_table(course, rows, live),),
    )
    return picture.shown()


def _live(report: Report) -> dict[int, float]:
    """Live sessions by stretch, where turns name them."""
    rows = rows_of(report, "timeline/turns")
    return {row["bucket"]: row["sessions"] for row in rows if row["sessions"] is not None}


def _says(report: Report, rows: Rows) -> str:
    first, last = rows[0]["resident_bytes"], rows[-1]["resident_bytes"]
    processes = rows[0]["processes"]
    who = "The process" if processes == 1 else f"{number(processes)} processes together"
    said = [f"{who} held {size(first)} at the start and {size(last)} at the end."]
    figures = report.memory
    if figures.base_bytes is not None and figures.bytes_per_live_session is not None:
        within = size_interval(figures.live_low, figures.live_high)
        said.append(
            f"{size(figures.base_bytes)} are there without any session, and each live session adds "
            f"{size(figures.bytes_per_live_session)} {within}".rstrip()
            + "."
        )
    if figures.leak and figures.time_to_limit_s is not None:
        said.append(f"It leaks: at this rate memory is used up in {span(figures.time_to_limit_s)}.")
    return " ".join(said)


def _draw(width: float, course: Course, rows: Rows, report: Report) -> Canvas:
    wide = width > 500
    tall = 240.0 if wide else 200.0
    canvas = Canvas(width, 30 + tall + 44)
    held, sessions = column(rows, "resident_bytes"), column(rows, "sessions")
    unit, unit_bytes = ("GiB", 2.0**30) if max(held) >= 2.0**30 else ("MiB", 2.0**20)
    held = [value / unit_bytes for value in held]
    room = max(0.04 * max(held), 0.15 * (max(held) - min(held)))
    y = Linear(max(0.0, min(held) - room), max(held) + room, 30 + tall, 30)
    x = Linear(0.0, headroom(max(sessions)), 64.0, width - 10)
    for value in y.ticks(ticks_for(tall)):
        canvas.line(x.start, y.at(value), x.end, y.at(value), "grid")
        canvas.text(x.start - 6, y.at(value) + 4, f"{number(value)} {unit}", "t", "end")
    for value in x.ticks(8 if wide else 4):
        canvas.text(x.at(value), y.start + 16, number(value), "t", "middle")
    canvas.line(x.start, y.start, x.end, y.start, "axis")
    canvas.text(0, 16, "resident memory" + ("" if y.low == 0 else ", cut below"), "t strong")
    canvas.text(x.end, y.start + 36, "live sessions", "t strong", "end")
    _fit(canvas, report, x, y, unit_bytes)
    points = [(x.at(own), y.at(value)) for own, value in zip(sessions, held, strict=True)]
    canvas.path(polyline(points), "memory-line")
    for i, (place, row) in enumerate(zip(points, rows, strict=True)):
        class_ = "first-point" if i == 0 else "last-point" if i == len(rows) - 1 else "memory-mark"
        says = f"{course.named(row['bucket'])}: {size(row['resident_bytes'])}"
        canvas.circle(*place, 5 if i in (0, len(rows) - 1) else 3, class_, title=says)
    return canvas


def _fit(canvas: Canvas, report: Report, x: Linear, y: Linear, unit_bytes: float) -> None:
    figures = report.memory
    if figures.base_bytes is None or figures.bytes_per_live_session is None:
        return
    line = [
        (own, (figures.base_bytes + figures.bytes_per_live_session * own) / unit_bytes)
        for own in (x.low + (x.high - x.low) * i / 60 for i in range(61))
    ]
    inside = [(x.at(own), y.at(value)) for own, value in line if y.low <= value <= y.high]
    if len(inside) > 1:
        canvas.path(polyline(inside), "fit-line")


def _table(course: Course, rows: Rows, live: dict[int, float]) -> Html:
    return table(
        "Memory and live sessions in each stretch of the run",
        [("stretch", TEXT), ("live sessions", FIGURE), ("resident", FIGURE), ("processes", FIGURE)],
        [
            (
                course.named(row["bucket"]),
                figure(live.get(row["bucket"]), ""),
                size(row["resident_bytes"]),
                number(row["processes"]),
            )
            for row in rows
        ],
    )
