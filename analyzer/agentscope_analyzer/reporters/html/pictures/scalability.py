"""How throughput grows with live sessions, and the curve that explains it, where one does."""

from __future__ import annotations

from typing import Final

import numpy as np

from agentscope_analyzer.ceilings.laws import Fit
from agentscope_analyzer.document import Report, Scalability
from agentscope_analyzer.reporters.html.markup import Html
from agentscope_analyzer.reporters.html.picture import Picture, absent, legend, sentence
from agentscope_analyzer.reporters.html.pictures.axes import LEFT, ticks_for
from agentscope_analyzer.reporters.html.scales import Linear, headroom
from agentscope_analyzer.reporters.html.svg import Canvas, polyline, swatch
from agentscope_analyzer.reporters.html.tables import FIGURE, table
from agentscope_analyzer.wording import figure, number

KEY: Final = "scalability"
TITLE: Final = "How throughput grows with sessions"
MIN_LOADS: Final = 2


def scalability(report: Report) -> Html:
    """The picture, or why there is none."""
    found = report.scalability
    if len(found.loads) < MIN_LOADS:
        return absent(KEY, TITLE, f"No picture: {found.statement}.")
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=sentence(found.statement),
        description="Turns served a second against live sessions, a dot for each level of load: "
        + "; ".join(
            f"{number(one.sessions)} sessions {number(one.turns_per_s)} turns/s"
            for one in found.loads
        ),
        draw=lambda width: _draw(width, found),
        legend=legend(
            [
                (swatch("memory-mark"), "a level of load; the larger, the longer it was seen"),
                *(
                    [(swatch("fit-mark"), f"{found.model}: as far as it holds")]
                    if found.model
                    else []
                ),
            ]
        ),
        tables=(_table(found),),
    )
    return picture.shown()


def _draw(width: float, found: Scalability) -> Canvas:
    tall = 210.0 if width > 500 else 180.0
    canvas = Canvas(width, 30 + tall + 44)
    farthest = found.valid_to_sessions or 0.0
    last = farthest if found.model else max(one.sessions for one in found.loads)
    curve = _curve(found, last)
    most = max([one.turns_per_s for one in found.loads] + [rate for _, rate in curve])
    x = Linear(0.0, headroom(last), LEFT, width - 10)
    y = Linear(0.0, headroom(most), 30 + tall, 30)
    for value in y.ticks(ticks_for(tall)):
        canvas.line(x.start, y.at(value), x.end, y.at(value), "grid" if value else "axis")
        canvas.text(x.start - 6, y.at(value) + 4, number(value), "t", "end")
    for value in x.ticks(8 if width > 500 else 4):
        canvas.text(x.at(value), y.start + 16, number(value), "t", "middle")
    canvas.text(0, 16, "turns served a second", "t strong")
    canvas.text(x.end, y.start + 36, "live sessions", "t strong", "end")
    if curve:
        canvas.path(polyline([(x.at(n), y.at(rate)) for n, rate in curve]), "fit-line")
    for sessions, name in ((found.knee_sessions, "knee"), (found.peak_sessions, "peak")):
        if sessions is not None and sessions <= last:
            canvas.line(x.at(sessions), 30, x.at(sessions), y.start, "mark-line")
            canvas.text(x.at(sessions), 26, f"{name} {number(sessions)}", "t strong halo", "middle")
    longest = max(one.windows for one in found.loads)
    for one in found.loads:
        radius = 3 + 4 * (one.windows / longest) ** 0.5
        says = f"{number(one.sessions)} sessions: {number(one.turns_per_s)} turns a second"
        canvas.circle(x.at(one.sessions), y.at(one.turns_per_s), radius, "memory-mark", title=says)
    return canvas


def _curve(found: Scalability, last: float) -> list[tuple[float, float]]:
    """The model's throughput, up to where it holds."""
    if found.model is None or found.gamma is None or last <= 0:
        return []
    most = found.peak_turns_per_s if found.model == "asymptotes" else None
    fit = Fit(
        found.model,
        found.gamma,
        found.alpha or 0.0,
        found.beta or 0.0,
        float("inf") if most is None else most,
    )
    sessions = np.linspace(0.0, last, 81)
    return list(zip(sessions.tolist(), np.maximum(0.0, fit.at(sessions)).tolist(), strict=True))


def _table(found: Scalability) -> Html:
    return table(
        "Levels of load",
        [("sessions", FIGURE), ("turns a second", FIGURE), ("a turn", FIGURE), ("windows", FIGURE)],
        [
            (
                number(one.sessions),
                number(one.turns_per_s),
                figure(one.turn_s, "s"),
                number(one.windows),
            )
            for one in found.loads
        ],
    )
