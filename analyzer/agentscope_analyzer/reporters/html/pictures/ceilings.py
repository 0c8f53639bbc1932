"""The ceilings on one axis of sessions, from the lowest to those far away."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.document import Ceiling, Margin, Report
from agentscope_analyzer.reporters.html.markup import Html, join, name, tag
from agentscope_analyzer.reporters.html.picture import Picture, absent, legend, rows_of, sentence
from agentscope_analyzer.reporters.html.scales import Log
from agentscope_analyzer.reporters.html.svg import Canvas, fitted, swatch, width_of
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.reporters.text import clipped
from agentscope_analyzer.wording import amount, count, figure, interval, limited, number, size

KEY: Final = "ceilings"
TITLE: Final = "How many live sessions each limit carries"
MAX_SHOWN: Final = 12
ROW: Final = 40.0


def ceilings(report: Report) -> Html:
    """The picture, or why there is none."""
    shown = [one for one in report.ceilings if one.sessions is not None and one.sessions > 0]
    if not report.ceilings:
        why = f"No picture: {report.margin.statement}."
        return join(absent(KEY, TITLE, why), _untold(report.margin))
    if not shown:
        why = "No picture: limits are known, but not what a session asks of them."
        return join(absent(KEY, TITLE, why), _table(report.ceilings), _untold(report.margin))
    seen = live_sessions(report)
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=_says(report, len(shown), seen),
        description="Limits on a logarithmic axis of live sessions: "
        + "; ".join(f"{one.resource} at {_at(one)}" for one in shown[:MAX_SHOWN]),
        draw=lambda width: _draw(width, shown[:MAX_SHOWN], seen),
        legend=join(
            legend(
                [
                    (swatch("first-mark"), "the limit that is reached first"),
                    (swatch("ceiling-mark"), "other limits; the bar is the 95 % interval"),
                    (swatch("seen-mark"), "most sessions seen alive at once in this run"),
                ]
            ),
            _untold(report.margin),
        ),
        tables=(_table(report.ceilings),),
    )
    return picture.shown()


def live_sessions(report: Report) -> int | None:
    """Most sessions alive at one moment of the run; None where no turn names its session."""
    rows = rows_of(report, "timeline/live")
    most = rows[0]["most_sessions"] if rows else None
    return None if most is None else int(most)


def _says(report: Report, shown: int, seen: int | None) -> str:
    said = [sentence(report.margin.statement)]
    if seen is not None:
        said.append(f"{amount(seen, 'live session')} were seen at once.")
    if len(report.ceilings) > min(shown, MAX_SHOWN):
        said.append(f"{len(report.ceilings) - min(shown, MAX_SHOWN)} more stand in the table only.")
    return " ".join(said)


def _untold(margin: Margin) -> Html:
    """Resources of which something was recorded, and yet no ceiling can be told."""
    if not margin.untold:
        return join()
    listed = [tag("li", clipped(why, 300)) for why in margin.untold[:MAX_SHOWN]]
    return tag("div", tag("p", "No ceiling can be told of:"), tag("ul", *listed), class_="note")


def _at(ceiling: Ceiling) -> str:
    return f"{_sessions(ceiling)} {interval(ceiling.low, ceiling.high)}".rstrip()


def _sessions(ceiling: Ceiling) -> str:
    """An upper bound where refusals hid some of the demand."""
    if ceiling.sessions is None:
        return "–"
    return ("≤ " if ceiling.censored else "") + count(ceiling.sessions)


def _draw(width: float, shown: list[Ceiling], seen: int | None) -> Canvas:
    wide = width > 500
    row = ROW if wide else ROW + 14
    canvas = Canvas(width, 26 + len(shown) * row + 24)
    values = [
        value
        for one in shown
        for value in (one.sessions, one.low, one.high)
        if value is not None and value > 0
    ]
    values += [float(seen)] if seen else []
    low = min([1.0, *values])
    high = max([10 * low, *(1.4 * value for value in values)])
    scale = Log(low, high, 210.0 if wide else 8.0, width - (70 if wide else 16))
    bottom = canvas.height - 22
    for value in scale.ticks(8 if wide else 5):
        x = scale.at(value)
        canvas.line(x, 22, x, bottom, "grid")
        canvas.text(x, bottom + 16, number(value), "t", "middle")
    canvas.line(scale.start, bottom, scale.end, bottom, "axis")
    if seen:
        _seen(canvas, scale.at(seen), seen, bottom)
    for i, one in enumerate(shown):
        _ceiling(canvas, one, scale, 26 + i * row, row, wide=wide)
    return canvas


def _seen(canvas: Canvas, x: float, seen: int, bottom: float) -> None:
    words = f"{number(seen)} sessions seen"
    canvas.line(x, 18, x, bottom, "seen-line")
    half = width_of(words) / 2
    x = min(max(x, half), canvas.width - half)
    canvas.text(x, 13, words, "t strong halo", "middle")


def _ceiling(canvas: Canvas, one: Ceiling, scale: Log, y: float, row: float, *, wide: bool) -> None:
    assert one.sessions is not None
    mark = "first-mark" if one.binding else "ceiling-mark"
    limit = limited(one.limit, one.unit)
    if wide:
        canvas.text(0, y + 17, fitted(one.resource, 200), "t strong")
        canvas.text(0, y + 32, fitted(limit, 200, bold=False), "t")
        middle = y + row / 2
    else:
        canvas.text(0, y + 14, fitted(one.resource, 160), "t strong halo")
        canvas.text(canvas.width, y + 14, fitted(limit, 160, bold=False), "t halo", "end")
        middle = y + row - 18
    x = scale.at(one.sessions)
    end = x
    if one.low is not None and one.high is not None:
        begin, end = scale.at(max(one.low, scale.low)), scale.at(max(one.high, scale.low))
        canvas.rect(begin, middle - 4, max(1.0, end - begin), 8, f"{mark} range", radius=4)
    canvas.circle(x, middle, 7 if one.binding else 6, mark, title=f"{one.resource}: {_at(one)}")
    words = _sessions(one) + (" (first)" if one.binding and wide else "")
    end = max(x + 7, end)
    fits = end + 6 + width_of(words) <= canvas.width
    canvas.text(end + 6 if fits else x, middle + (4 if fits else -11), words, "t strong halo",
                "start" if fits else "middle")  # fmt: skip


def _demand(ceiling: Ceiling) -> str:
    demand = ceiling.demand_per_session
    if demand is not None and ceiling.unit == "bytes":
        return size(demand)
    return ("≥ " if ceiling.censored else "") + figure(demand, "")


def _table(found: list[Ceiling]) -> Html:
    return table(
        "Ceilings",
        [
            ("resource", TEXT),
            ("limit", FIGURE),
            ("one session asks", FIGURE),
            ("live sessions", FIGURE),
            ("95 % interval", FIGURE),
            ("reached", TEXT),
            ("what would move it", TEXT),
            ("what it rests on", TEXT),
        ],
        [
            (
                name(one.resource),
                limited(one.limit, one.unit),
                _demand(one),
                _sessions(one),
                interval(one.low, one.high) or "–",
                ("yes" if one.reached else "no") + (", first" if one.binding else ""),
                one.relief or "–",
                one.basis,
            )
            for one in found
        ],
    )
