"""The event loop over the run's course: how late it ran, and which functions held it up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Html, join, name, tag
from agentscope_analyzer.reporters.html.picture import Picture, absent, legend, rows_of
from agentscope_analyzer.reporters.html.pictures.axes import Course, Panel
from agentscope_analyzer.reporters.html.svg import Canvas, between, swatch
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.signs.event_loop import STOOD_STILL
from agentscope_analyzer.wording import number, percent, seconds

KEY: Final = "loop"
TITLE: Final = "Was the event loop free?"
MAX_NAMED: Final = 5
NOT_KNOWN: Final = "function not known"


@dataclass(frozen=True)
class Culprit:
    """A function that the longest blocks of some stretches are laid to, numbered by length."""

    number: int
    function: str
    place: str
    longest_s: float


def loop(report: Report) -> Html:
    """The picture, or why there is none."""
    course, rows = Course.of(report), rows_of(report, "timeline/loop")
    measured = any(row["delay_s"] is not None for row in rows)
    blocked = any(row["blocks"] for row in rows)
    if course is None or not (measured or blocked):
        why = "No picture: the run did not record how late its event loop ran."
        return absent(KEY, TITLE, why)
    culprits = _culprits(rows)
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=_says(report, rows),
        description="The largest delay of the event loop in each stretch of the run, and the "
        "longest stops with the functions that caused them",
        draw=lambda width: _draw(width, course, rows, culprits),
        legend=join(
            legend(
                [
                    (swatch("delay"), "largest delay of a timer"),
                    (swatch("block-mark"), "longest recorded stop that ended then"),
                ]
            ),
            _names(culprits),
        ),
        tables=(_table(course, rows), *_functions(rows_of(report, "runtime/blocks"))),
    )
    return picture.shown()


def _culprits(rows: Rows) -> list[Culprit]:
    longest: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["longest_s"] is not None:
            key = (row["code_function"] or "", _place(row))
            longest[key] = max(longest.get(key, 0.0), row["longest_s"])
    ranked = sorted(longest.items(), key=lambda item: -item[1])[:MAX_NAMED]
    return [Culprit(i + 1, *key, longest_s) for i, (key, longest_s) in enumerate(ranked)]


def _place(row: dict[str, object]) -> str:
    file = PurePath(str(row["code_file"])).name if row["code_file"] else ""
    return f"{file}:{row['code_line']}" if file and row["code_line"] is not None else file


def _says(report: Report, rows: Rows) -> str:
    worst = max((row["delay_s"] for row in rows if row["delay_s"] is not None), default=None)
    blocks = sum(row["blocks"] for row in rows)
    blocked_s = sum(row["blocked_s"] for row in rows)
    parts = [] if worst is None else [f"The largest delay is {seconds(worst)}."]
    if blocks:
        told = f"{number(blocks)} stops of 5 ms or more were recorded, {seconds(blocked_s)} in all"
        share = _share(report)
        parts.append(f"{told}: {percent(share)} of the run." if share is not None else f"{told}.")
    else:
        parts.append("No stop of 5 ms or more was recorded.")
    return " ".join(parts)


def _share(report: Report) -> float | None:
    """The share of the run as the finding has it: workers that follow one another lived for less."""
    figures = [one for finding in report.findings for one in finding.evidence]
    return next(
        (one.value for one in figures if one.name == STOOD_STILL and isinstance(one.value, float)),
        None,
    )


def _draw(width: float, course: Course, rows: Rows, culprits: list[Culprit]) -> Canvas:
    tall = 180.0 if width > 500 else 150.0
    canvas = Canvas(width, 30 + tall + 24)
    late = [max(row["delay_s"] or 0.0, row["longest_s"] or 0.0) for row in rows]
    panel = Panel.over_time(canvas, course, max(late), 30, tall)
    panel.grid("delay", seconds)
    edges = panel.edges(course)
    delays = [row["delay_s"] or 0.0 for row in rows]
    floor = panel.heights([0.0] * len(rows))
    canvas.path(between(edges, panel.heights(delays), floor), "delay")
    numbers = {(one.function, one.place): one.number for one in culprits}
    unnamed = {one.number: one.longest_s for one in culprits}
    for i, row in enumerate(rows):
        if row["longest_s"] is None:
            continue
        x, y = (edges[i] + edges[i + 1]) / 2, panel.y.at(row["longest_s"])
        who = row["code_function"] or NOT_KNOWN
        canvas.line(x, panel.y.start, x, y, "block-line")
        says = f"{course.named(i)}: {seconds(row['longest_s'])} {who}"
        canvas.circle(x, y, 2.5, "block-mark", title=says)
        which = numbers.get((row["code_function"] or "", _place(row)))
        if which is not None and unnamed.get(which) == row["longest_s"]:
            del unnamed[which]
            canvas.circle(x, max(9.0, y - 11), 8, "badge")
            canvas.text(x, max(9.0, y - 11) + 4, str(which), "badge-text", "middle")
    panel.clock(course)
    return canvas


def _names(culprits: list[Culprit]) -> Html | None:
    if not culprits:
        return None
    return tag(
        "ol",
        *(
            tag(
                "li",
                tag("code", name(one.function)) if one.function else NOT_KNOWN,
                f" {one.place}".rstrip() + f": up to {seconds(one.longest_s)}",
            )
            for one in culprits
        ),
        class_="culprits",
    )


def _table(course: Course, rows: Rows) -> Html:
    return table(
        "The event loop in each stretch of the run",
        [
            ("stretch", TEXT),
            ("largest delay", FIGURE),
            ("stops", FIGURE),
            ("in all", FIGURE),
            ("longest", FIGURE),
            ("in", TEXT),
        ],
        [
            (
                course.named(i),
                "–" if row["delay_s"] is None else seconds(row["delay_s"]),
                number(row["blocks"]),
                seconds(row["blocked_s"]),
                "–" if row["longest_s"] is None else seconds(row["longest_s"]),
                name(row["code_function"] or ""),
            )
            for i, row in enumerate(rows)
        ],
    )


def _functions(rows: Rows) -> list[Html]:
    if not rows:
        return []
    return [
        table(
            "What stopped the event loop or the interpreter, by line",
            [
                ("function", TEXT),
                ("event", TEXT),
                ("times", FIGURE),
                ("in all", FIGURE),
                ("longest", FIGURE),
                ("calling", TEXT),
            ],
            [
                (
                    join(name(row["code_function"]), " ", name(_place(row))),
                    row["event"],
                    number(row["blocks"]),
                    seconds(row["wall_s"]),
                    seconds(row["longest_s"]),
                    name(row["callee"]),
                )
                for row in rows
            ],
        )
    ]
