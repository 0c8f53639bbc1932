"""One slow turn, span by span: where its critical path runs, and what it waits for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters.html.markup import MAX_NAME, Html, join, name, tag
from agentscope_analyzer.reporters.html.palette import class_of
from agentscope_analyzer.reporters.html.picture import Picture, absent, cause_legend, rows_of
from agentscope_analyzer.reporters.html.scales import Linear
from agentscope_analyzer.reporters.html.svg import Canvas, fitted, width_of
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.reporters.text import clipped
from agentscope_analyzer.traced import Section, Trace, TracedEvent, TracedSpan
from agentscope_analyzer.wording import amount, percent, seconds

KEY: Final = "waterfall"
TITLE: Final = "One slow turn, span by span"
MAX_ROWS: Final = 48
MAX_EVENTS: Final = 24
MAX_INDENT: Final = 8
MIN_HINT: Final = 3.0
"""Pixels that a block must be wide for a hint: no pointer rests on a narrower one."""
NS = 1e9


def waterfall(report: Report) -> Html:
    """The picture, or why there is none."""
    trace = report.exemplar
    if trace is None or trace.end_ns <= trace.start_ns:
        return absent(KEY, TITLE, "No picture: the run has no turn to look at.")
    shown = _longest(trace)
    events = [event for event in trace.events if event.end_ns > event.start_ns][:MAX_EVENTS]
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=_says(report, trace),
        description="The spans of one turn over time, parents above what they called; coloured "
        "where the turn's critical path runs, by cause: "
        + "; ".join(f"{cause} {seconds(took)}" for cause, took in _by_time(trace)),
        draw=lambda width: _draw(width, trace, shown, events),
        legend=join(
            cause_legend(cause for cause in CAUSES if cause in trace.causes),
            tag("p", *_notes(report, trace, shown, events), class_="note"),
        ),
        tables=(_causes_table(trace), _spans_table(trace, shown), *_events_table(trace, events)),
    )
    return picture.shown()


def _longest(trace: Trace) -> list[TracedSpan]:
    """The spans to show: the turn, then the longest of its critical path, then the others."""
    order = sorted(
        trace.spans, key=lambda one: (one.depth > 0, not one.critical, one.start_ns - one.end_ns)
    )
    kept = {span.span_id for span in order[:MAX_ROWS]}
    return [span for span in trace.spans if span.span_id in kept]


def _by_time(trace: Trace) -> list[tuple[str, float]]:
    return sorted(trace.causes.items(), key=lambda item: -item[1])


def _says(report: Report, trace: Trace) -> str:
    cause, took_s = _by_time(trace)[0]
    slow = f" (p95 of all turns: {seconds(report.turns.p95_s)})" if report.turns.p95_s else ""
    return (
        f"{seconds(trace.duration_s)}{slow}, {percent(took_s / trace.duration_s)} of it {cause}. "
        "Colour marks the critical path, which every instant of the turn is on once; what is grey "
        "went on beside it."
    )


def _notes(
    report: Report, trace: Trace, shown: Sequence[TracedSpan], events: Sequence[TracedEvent]
) -> list[Html]:
    rows = rows_of(report, "timeline/exemplar")
    spans = max(len(trace.spans), rows[0]["spans"] if rows else 0)
    parts = [join("Trace ", tag("code", trace.trace_id), ". ")]
    if trace.session:
        parts.append(join("Session ", name(trace.session), ". "))
    if spans > len(shown):
        parts.append(join(f"Shown are {len(shown)} of its {amount(spans, 'span')}. "))
    if events:
        parts.append(join("Below its causes: when the event loop or the process stood still. "))
    parts.append(join("All of it: ", tag("code", f"agentscope trace RUN {trace.trace_id}")))
    return parts


def _draw(
    width: float, trace: Trace, shown: Sequence[TracedSpan], events: Sequence[TracedEvent]
) -> Canvas:
    wide = width > 500
    row = 20.0 if wide else 30.0
    left = 250.0 if wide else 0.0
    top = 72.0 if events else 58.0
    canvas = Canvas(width, top + len(shown) * row + 8)
    scale = Linear(0.0, trace.duration_s, left, width - (52 if wide else 4))
    for at_s in scale.ticks(7 if wide else 4):
        x = scale.at(at_s)
        canvas.line(x, 16, x, canvas.height, "grid")
        near_end = x + 20 > canvas.width
        canvas.text(
            x, 11, seconds(at_s), "t", "end" if near_end else "middle" if x > 20 else "start"
        )
    for event in events:
        x, end = (scale.at(_at(trace, moment)) for moment in (event.start_ns, event.end_ns))
        where = clipped(event.where or "", MAX_NAME)
        says = f"{event.name} {seconds((event.end_ns - event.start_ns) / NS)} {where}"
        canvas.rect(x, 50, max(1.0, end - x), 7, "stopped", title=says)
    if wide:
        canvas.text(0, 39, "the turn, cause by cause", "t strong")
        if events:
            canvas.text(0, 58, "what stood still meanwhile", "t")
    for start, stop, cause in _blocks(trace, trace.critical_path, scale):
        took_s = (stop - start) / (scale.end - scale.start) * trace.duration_s
        hint = f"{cause} {seconds(took_s)}" if stop - start >= MIN_HINT else None
        canvas.rect(start, 24, stop - start, 22, f"{class_of(cause)} part", title=hint)
        words = fitted(cause, stop - start - 10)
        if len(words) > 6:
            canvas.text(start + 5, 39, words, f"l-{class_of(cause)} label")
    own = _own(trace)
    for i, span in enumerate(shown):
        _span(canvas, trace, span, own.get(span.span_id, []), scale, top + i * row, wide=wide)
    return canvas


def _span(
    canvas: Canvas,
    trace: Trace,
    span: TracedSpan,
    own: Sequence[Section],
    scale: Linear,
    y: float,
    *,
    wide: bool,
) -> None:
    x, end = (scale.at(_at(trace, moment)) for moment in (span.start_ns, span.end_ns))
    took = seconds((span.end_ns - span.start_ns) / NS)
    words = clipped(f"{span.name} {span.detail}".rstrip(), MAX_NAME)
    indent = min(span.depth, MAX_INDENT) * (10 if wide else 6)
    middle = y + (10 if wide else 21)
    canvas.rect(x, middle - 3, max(1.0, end - x), 6, "span", title=f"{words}, {took}", radius=2)
    for start, stop, cause in _blocks(trace, own, scale):
        canvas.rect(start, middle - 6, stop - start, 12, class_of(cause), radius=2)
    if wide:
        canvas.text(
            indent,
            middle + 4,
            fitted(words, 240 - indent, bold=not span.depth),
            "t" if span.depth else "t strong",
        )
        if end + 5 + width_of(took, bold=False) <= canvas.width:
            canvas.text(end + 5, middle + 4, took, "t halo")
        else:
            canvas.text(x - 5, middle + 4, took, "t halo", "end")
    else:
        room = canvas.width - indent - width_of(took, bold=False) - 8
        canvas.text(indent, y + 11, fitted(words, room, bold=False), "t halo")
        canvas.text(canvas.width, y + 11, took, "t halo", "end")


def _own(trace: Trace) -> dict[str, list[Section]]:
    found: dict[str, list[Section]] = {}
    for section in trace.critical_path:
        found.setdefault(section.span_id, []).append(section)
    return found


def _blocks(
    trace: Trace, sections: Sequence[Section], scale: Linear
) -> list[tuple[float, float, str]]:
    """Sections as a picture can show them: from where, to where, and the cause.

    Each column of a pixel is the cause's that has most of it, and equal neighbours are one block: a
    turn of thousands of sections makes no more shapes than the picture is wide.
    """
    columns: dict[int, dict[str, float]] = {}
    for section in sections:
        start = scale.at(_at(trace, section.start_ns))
        end = scale.at(_at(trace, section.end_ns))
        for column in range(int(start), max(int(start) + 1, math.ceil(end))):
            part = min(end, column + 1) - max(start, column)
            held = columns.setdefault(column, {})
            held[section.cause] = held.get(section.cause, 0.0) + max(part, 1e-9)
    found: list[tuple[float, float, str]] = []
    for column in sorted(columns):
        cause = max(columns[column].items(), key=itemgetter(1))[0]
        if found and found[-1][1] == column and found[-1][2] == cause:
            found[-1] = (found[-1][0], column + 1.0, cause)
        else:
            found.append((float(column), column + 1.0, cause))
    return found


def _at(trace: Trace, at_ns: int) -> float:
    return (at_ns - trace.start_ns) / NS


def _causes_table(trace: Trace) -> Html:
    return table(
        "The turn by cause",
        [("cause", TEXT), ("seconds", FIGURE), ("share", FIGURE)],
        [
            (cause, seconds(took_s), percent(took_s / trace.duration_s))
            for cause, took_s in _by_time(trace)
        ],
    )


def _spans_table(trace: Trace, shown: Sequence[TracedSpan]) -> Html:
    return table(
        "Its spans",
        [
            ("span", TEXT),
            ("starts at", FIGURE),
            ("takes", FIGURE),
            ("on the critical path", TEXT),
            ("result", TEXT),
        ],
        [
            (
                join("· " * min(span.depth, MAX_INDENT), name(span.name)),
                seconds(_at(trace, span.start_ns)),
                seconds((span.end_ns - span.start_ns) / NS),
                span.cause or "no",
                name(span.detail),
            )
            for span in shown
        ],
    )


def _events_table(trace: Trace, events: Sequence[TracedEvent]) -> list[Html]:
    if not events:
        return []
    rows = [
        (
            event.name,
            seconds(_at(trace, event.start_ns)),
            seconds((event.end_ns - event.start_ns) / NS),
            name(event.where or ""),
        )
        for event in events
    ]
    return [
        table(
            "What stood still meanwhile",
            [("event", TEXT), ("starts at", FIGURE), ("lasts", FIGURE), ("where", TEXT)],
            rows,
        )
    ]
