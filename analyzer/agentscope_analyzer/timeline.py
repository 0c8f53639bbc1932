"""The run as pictures show it: series over its course, and one turn to look at closely.

Nothing is judged by these figures. They are asked for once, kept in the report under
``timeline/…`` and drawn by the reporters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Rows
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import Queryable, ask
from agentscope_analyzer.traced import Trace, trace_of

if TYPE_CHECKING:
    from agentscope_analyzer.gathering import Reader

BUCKETS: Final = 48
"""Stretches that the run is cut into at most, as ``timeline/_buckets`` does."""
MAX_QUOTAS: Final = 8
"""Quotas that ``timeline/quotas`` tells of."""
MAX_SPANS: Final = 400
"""Spans of the exemplar that a report carries: the longest, and those above them."""
MAX_SECTIONS: Final = 2_000
MAX_EVENTS: Final = 200

QUESTIONS: Final[dict[str, int]] = {
    "timeline/bands": 3 * len(CAUSES),
    "timeline/causes": BUCKETS * len(CAUSES),
    "timeline/live": 1,
    "timeline/turns": BUCKETS,
    "timeline/loop": BUCKETS,
    "timeline/memory": BUCKETS,
    "timeline/quotas": MAX_QUOTAS * BUCKETS,
    "timeline/attempts": BUCKETS,
    "timeline/durations": 40,
}
"""Each question with the most rows that it can have."""


def read_timeline(reader: Reader) -> None:
    """Ask what the pictures need; the answers are kept for the report, all of their rows."""
    reader.prepare("timeline/_buckets")
    for question_id, most in QUESTIONS.items():
        reader.read(question_id, most=most)


def exemplar_of(engine: Queryable, cause: str | None, kept: dict[str, Rows]) -> Trace | None:
    """A slow turn that shows the cause, cut to what a page can show; which one is kept, too.

    None where there is no turn, or where the engine cannot tell one span by span.
    """
    found = ask(engine, "timeline/exemplar", cause=cause or "none")
    kept["timeline/exemplar"] = found
    if not found or not isinstance(engine, Engine):
        return None
    return shortened(trace_of(engine, found[0]["trace_id"], turn_id=found[0]["turn_id"]))


def shortened(trace: Trace) -> Trace:
    """The trace with its longest spans only, each with all that lie above it.

    The turn's causes stay what they are; sections that are left out are the shortest ones.
    """
    if len(trace.spans) > MAX_SPANS:
        parents = {span.span_id: span.parent_id for span in trace.spans}
        kept: set[str] = set()
        for span in sorted(trace.spans, key=lambda one: one.start_ns - one.end_ns):
            trail = []
            span_id = span.span_id
            while span_id in parents and span_id not in kept and span_id not in trail:
                trail.append(span_id)
                span_id = parents[span_id]
            if len(kept) + len(trail) > MAX_SPANS:
                break
            kept.update(trail)
        trace = replace(trace, spans=[one for one in trace.spans if one.span_id in kept])
    longest = sorted(trace.critical_path, key=lambda one: one.start_ns - one.end_ns)[:MAX_SECTIONS]
    events = sorted(trace.events, key=lambda one: one.start_ns - one.end_ns)[:MAX_EVENTS]
    return replace(
        trace,
        critical_path=sorted(longest, key=lambda one: one.start_ns),
        events=sorted(events, key=lambda one: one.start_ns),
    )
