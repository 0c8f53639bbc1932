"""The run's course: what held its turns, how many it served and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Html, join
from agentscope_analyzer.reporters.html.palette import class_of
from agentscope_analyzer.reporters.html.picture import (
    Picture,
    absent,
    cause_legend,
    column,
    legend,
    rows_of,
)
from agentscope_analyzer.reporters.html.pictures.axes import Course, Panel
from agentscope_analyzer.reporters.html.svg import (
    FONT,
    Canvas,
    between,
    polyline,
    steps,
    swatch,
    width_of,
)
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.wording import amount, number, seconds

KEY: Final = "course"
TITLE: Final = "Over the course of the run"

Stack = dict[str, list[float]]
"""Turns that each cause held on average, stretch by stretch."""


def course_of_run(report: Report) -> Html:
    """The picture, or why there is none."""
    course = Course.of(report)
    turns = rows_of(report, "timeline/turns")
    if course is None:
        return absent(KEY, TITLE, "No picture: the run has no turns.")
    stack = _stack(rows_of(report, "timeline/causes"), course)
    in_flight = [sum(values) for values in zip(*stack.values(), strict=True)]
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=_says(report, in_flight, turns),
        description="Turns in flight over the run's course by the cause that held them; below it "
        "the turns served a second and the median and 95th percentile of their duration",
        draw=lambda width: _draw(width, course, stack, turns),
        legend=join(
            cause_legend(stack),
            legend(
                [
                    (swatch("served"), "turns served"),
                    (swatch("failed"), "of these, failed"),
                    (swatch("median-mark"), "median duration"),
                    (swatch("slow-mark"), "95th percentile of it"),
                ]
            ),
        ),
        tables=(_stack_table(course, stack, in_flight), _turns_table(course, turns)),
    )
    return picture.shown()


def _stack(rows: Rows, course: Course) -> Stack:
    buckets = len(course.edges_s) - 1
    found: Stack = {}
    for row in rows:
        held = found.setdefault(row["cause"], [0.0] * buckets)
        held[row["bucket"]] = row["wall_s"] / course.width_s(row["bucket"])
    return {cause: found[cause] for cause in CAUSES if cause in found}


def _says(report: Report, in_flight: Sequence[float], turns: Rows) -> str:
    served = report.turns.per_second
    parts = [
        f"Up to {number(max(in_flight, default=0.0))} turns were in flight (mean of a stretch)"
    ]
    if served is not None:
        parts.append(f"{number(served)} were served a second on average")
    failed = sum(column(turns, "failed"))
    parts.append(f"{amount(failed, 'turn')} failed" if failed else "none failed")
    return ", ".join(parts) + "."


def _draw(width: float, course: Course, stack: Stack, turns: Rows) -> Canvas:
    wide = width > 500
    tall, low = (250.0, 76.0) if wide else (190.0, 66.0)
    canvas = Canvas(width, 24 + tall + 40 + low + 40 + low + 24)
    _held(canvas, course, stack, 24, tall)
    _served(canvas, course, turns, 24 + tall + 40, low)
    _took(canvas, course, turns, 24 + tall + 40 + low + 40, low)
    return canvas


def _held(canvas: Canvas, course: Course, stack: Stack, top: float, height: float) -> None:
    totals = [sum(values) for values in zip(*stack.values(), strict=True)]
    panel = Panel.over_time(canvas, course, max(totals, default=0.0), top, height)
    panel.grid("turns in flight, by what held them")
    edges = panel.edges(course)
    below = [0.0] * (len(edges) - 1)
    labels = []
    for cause, held in stack.items():
        above = [a + b for a, b in zip(below, held, strict=True)]
        upper, lower = panel.heights(above), panel.heights(below)
        canvas.path(between(edges, upper, lower), f"{class_of(cause)} area", title=cause)
        place = _roomiest(edges, upper, lower, width_of(cause) + 8)
        if place is not None:
            labels.append((cause, place))
        below = above
    for cause, (x, y) in labels:
        canvas.text(x, y + 4, cause, f"l-{class_of(cause)} label", "middle")
    panel.clock(course, named=False)


def _roomiest(
    edges: Sequence[float], upper: Sequence[float], lower: Sequence[float], width: float
) -> tuple[float, float] | None:
    """Where in an area there is most room for words of this width; None where there is not."""
    best, found = FONT + 4, None
    for first in range(len(upper)):
        last = first
        while last < len(upper) and edges[last + 1] - edges[first] < width:
            last += 1
        if last == len(upper):
            break
        top, bottom = max(upper[first : last + 1]), min(lower[first : last + 1])
        if bottom - top > best:
            best = bottom - top
            found = ((edges[first] + edges[last + 1]) / 2, (top + bottom) / 2)
    return found


def _served(canvas: Canvas, course: Course, turns: Rows, top: float, height: float) -> None:
    rate, failed = (
        [row[name] / course.width_s(i) for i, row in enumerate(turns)]
        for name in ("turns", "failed")
    )
    panel = Panel.over_time(canvas, course, max(rate), top, height)
    panel.grid("turns served a second")
    edges, floor = panel.edges(course), panel.heights([0.0] * len(rate))
    canvas.path(between(edges, panel.heights(rate), floor), "served")
    canvas.path(steps(edges, panel.heights(rate)), "served-line")
    if any(failed):
        canvas.path(between(edges, panel.heights(failed), floor), "failed")
    panel.clock(course, named=False)


def _took(canvas: Canvas, course: Course, turns: Rows, top: float, height: float) -> None:
    slowest = max((row["p95_s"] for row in turns if row["p95_s"] is not None), default=0.0)
    panel = Panel.over_time(canvas, course, slowest, top, height)
    panel.grid("duration of turns that ended then", lambda value: f"{number(value)} s")
    middles = [(a + b) / 2 for a, b in zip(course.edges_s, course.edges_s[1:], strict=False)]
    for name, class_ in (("p95_s", "slow-line"), ("p50_s", "median-line")):
        points = [
            (panel.x.at(at_s), panel.y.at(row[name]))
            for at_s, row in zip(middles, turns, strict=True)
            if row[name] is not None
        ]
        canvas.path(polyline(points), class_)
    panel.clock(course)


def _stack_table(course: Course, stack: Stack, in_flight: Sequence[float]) -> Html:
    return table(
        "Turns in flight by the cause that held them, on average over each stretch of the run",
        [("stretch", TEXT), *((cause, FIGURE) for cause in stack), ("together", FIGURE)],
        [
            (
                course.named(i),
                *(number(round(held[i], 3)) for held in stack.values()),
                number(round(total, 3)),
            )
            for i, total in enumerate(in_flight)
        ],
    )


def _turns_table(course: Course, turns: Rows) -> Html:
    names = ("stretch", "turns", "failed", "p50", "p95", "live sessions")
    return table(
        "Turns that ended in each stretch of the run",
        [(name, FIGURE if i else TEXT) for i, name in enumerate(names)],
        [
            (
                course.named(i),
                number(row["turns"]),
                number(row["failed"]),
                "–" if row["p50_s"] is None else seconds(row["p50_s"]),
                "–" if row["p95_s"] is None else seconds(row["p95_s"]),
                "–" if row["sessions"] is None else number(row["sessions"]),
            )
            for i, row in enumerate(turns)
        ],
    )
