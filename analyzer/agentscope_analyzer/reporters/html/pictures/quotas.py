"""Quotas over the run's course: how much of each was left, and which attempts were refused."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import MAX_NAME, Html
from agentscope_analyzer.reporters.html.picture import Picture, absent, column, legend, rows_of
from agentscope_analyzer.reporters.html.pictures.axes import Course, Panel
from agentscope_analyzer.reporters.html.svg import Canvas, between, fitted, steps, swatch
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.reporters.text import clipped
from agentscope_analyzer.wording import figure, number, percent

KEY: Final = "quotas"
TITLE: Final = "How much of the quota was left"
MAX_SHOWN: Final = 4


def quotas(report: Report) -> Html:
    """The picture, or why there is none."""
    course = Course.of(report)
    left, attempts = _by_place(rows_of(report, "timeline/quotas")), _attempts(report)
    if course is None or not (left or attempts):
        why = "No picture: no answer told of a quota, and no attempt of a model call was recorded."
        return absent(KEY, TITLE, why)
    picture = Picture(
        key=KEY,
        title=TITLE if left else "Attempts of model calls",
        says=_says(left, attempts),
        description="What was left of each quota over the run's course, as a part of it, and the "
        "attempts of model calls, refused ones apart",
        draw=lambda width: _draw(width, course, left[:MAX_SHOWN], attempts),
        legend=legend(
            [
                *([(swatch("left"), "least that was left of the quota")] if left else []),
                (swatch("served"), "attempts answered"),
                (swatch("failed"), "attempts refused with 429 or 529"),
            ]
        ),
        tables=(*_quotas_table(course, left), _attempts_table(course, attempts)),
    )
    return picture.shown()


def _by_place(rows: Rows) -> list[Rows]:
    found: dict[int, Rows] = {}
    for row in rows:
        found.setdefault(row["place"], []).append(row)
    return [found[place] for place in sorted(found)]


def _attempts(report: Report) -> Rows:
    return rows_of(report, "timeline/attempts")


def _title(rows: Rows) -> str:
    first = rows[0]
    names = [first["provider"], first["model"], first["dimension"].replace("_", " ")]
    return " ".join(part for part in names if part)


def _says(left: list[Rows], attempts: Rows) -> str:
    parts = []
    if left:
        least = min(row["remaining"] / row["quota"] for row in left[0])
        quota = max(column(left[0], "quota"))
        parts.append(
            f"Of {number(quota)} {left[0][0]['dimension'].replace('_', ' ')} "
            + (
                f"never less than {percent(least)} was left."
                if least
                else "nothing was left at times."
            )
        )
        if len(left) > MAX_SHOWN:
            parts.append(f"{len(left) - MAX_SHOWN} more quotas stand in the tables only.")
    else:
        parts.append("No answer told how much of a quota was left.")
    sent, refused = sum(column(attempts, "attempts")), sum(column(attempts, "rate_limited"))
    if sent:
        parts.append(f"{number(refused)} of {number(sent)} attempts were refused with 429 or 529.")
    return " ".join(parts)


def _draw(width: float, course: Course, left: list[Rows], attempts: Rows) -> Canvas:
    low = 84.0 if width > 500 else 70.0
    panels = len(left) + bool(attempts)
    canvas = Canvas(width, panels * (low + 40) + 10)
    top = 26.0
    for i, rows in enumerate(left):
        panel = Panel.over_time(canvas, course, 1.0, top, low)
        words = f"left of {number(max(column(rows, 'quota')))} {_title(rows)}"
        panel.grid(fitted(words, width - 4), percent)
        edges = panel.edges(course)
        for row in rows:
            a, b = edges[row["bucket"]], edges[row["bucket"] + 1]
            y = panel.y.at(row["remaining"] / row["quota"])
            canvas.rect(a, y, b - a, panel.y.start - y, "left")
            canvas.line(a, y, b, y, "left-line")
        panel.clock(course, named=i == panels - 1)
        top += low + 40
    if attempts:
        _sent(canvas, course, attempts, top, low)
    return canvas


def _sent(canvas: Canvas, course: Course, attempts: Rows, top: float, height: float) -> None:
    sent, refused = ([0.0] * (len(course.edges_s) - 1) for _ in range(2))
    for row in attempts:
        width_s = course.width_s(row["bucket"])
        sent[row["bucket"]] = row["attempts"] / width_s
        refused[row["bucket"]] = row["rate_limited"] / width_s
    panel = Panel.over_time(canvas, course, max(sent), top, height)
    panel.grid("attempts a second")
    edges, floor = panel.edges(course), panel.heights([0.0] * len(sent))
    canvas.path(between(edges, panel.heights(sent), floor), "served")
    canvas.path(steps(edges, panel.heights(sent)), "served-line")
    if any(refused):
        canvas.path(between(edges, panel.heights(refused), floor), "failed")
    panel.clock(course)


def _quotas_table(course: Course, left: list[Rows]) -> list[Html]:
    """The least that was left of every quota, stretch by stretch."""
    if not left:
        return []
    told = [{row["bucket"]: row for row in rows} for rows in left]
    heads = [f"{_title(rows)}, of {number(max(column(rows, 'quota')))}" for rows in left]
    return [
        table(
            "The least that was left of each quota in each stretch of the run",
            [("stretch", TEXT), *((clipped(head, MAX_NAME), FIGURE) for head in heads)],
            [
                (
                    course.named(bucket),
                    *(figure(rows.get(bucket, {}).get("remaining"), "") for rows in told),
                )
                for bucket in sorted({bucket for rows in told for bucket in rows})
            ],
        )
    ]


def _attempts_table(course: Course, rows: Rows) -> Html:
    return table(
        "Attempts of model calls that ended in each stretch of the run",
        [("stretch", TEXT), ("attempts", FIGURE), ("429 or 529", FIGURE), ("failed", FIGURE)],
        [
            (
                course.named(row["bucket"]),
                number(row["attempts"]),
                number(row["rate_limited"]),
                number(row["failed"]),
            )
            for row in rows
        ],
    )
