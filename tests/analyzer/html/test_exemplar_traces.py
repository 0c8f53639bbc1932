"""The turn that the report carries along: whole where it is small, its longest spans where not."""

from agentscope_analyzer.timeline import MAX_SPANS, shortened
from agentscope_analyzer.traced import Section, Trace, TracedEvent, TracedSpan


def span(number: int, parent: str, took_ns: int) -> TracedSpan:
    return TracedSpan(
        span_id=f"s{number}",
        parent_id=parent,
        name=f"span {number}",
        kind="INTERNAL",
        cause=None,
        depth=number,
        start_ns=0,
        end_ns=took_ns,
        status="UNSET",
        instance="i",
        critical=False,
    )


def trace(spans: list[TracedSpan], sections: int = 1, events: int = 0) -> Trace:
    return Trace(
        trace_id="t",
        turn_id="s0",
        name="POST /",
        session=None,
        start_ns=0,
        end_ns=10_000,
        duration_s=1e-5,
        critical_path=[
            Section("s0", "POST /", "db.query", i, i + 1 + i % 2) for i in range(sections)
        ],
        causes={"db.query": 1e-5},
        spans=spans,
        events=[TracedEvent("gc.pause", i, i + 1 + i, None) for i in range(events)],
    )


def test_a_small_turn_is_carried_whole() -> None:
    """Nothing is cut, nothing is moved."""
    small = trace([span(0, "", 10_000), span(1, "s0", 10), span(2, "s1", 5)], 3, 2)
    assert shortened(small) == small


def test_of_a_large_turn_the_longest_spans_stay_with_all_that_lies_above_them() -> None:
    """A thousand short children, and one long span below three short ones: its parents stay."""
    deep = [span(1, "s0", 1), span(2, "s1", 1), span(3, "s2", 1), span(4, "s3", 5_000)]
    many = [span(100 + i, "s0", 10 + i) for i in range(1_000)]
    cut = shortened(trace([span(0, "", 10_000), *deep, *many]))
    kept = [one.span_id for one in cut.spans]
    assert kept[:5] == ["s0", "s1", "s2", "s3", "s4"]
    assert kept[5:] == [f"s{100 + i}" for i in range(1_000 - (MAX_SPANS - 5), 1_000)]


def test_parents_told_in_a_circle_end() -> None:
    """Broken parents stop nobody."""
    circle = [span(i, f"s{(i + 1) % 500}", 10) for i in range(500)]
    assert len(shortened(trace(circle)).spans) <= MAX_SPANS


def test_sections_and_events_are_bounded_and_stay_in_order() -> None:
    """The longest ones, by time."""
    cut = shortened(trace([span(0, "", 10_000)], sections=5_000, events=1_000))
    assert len(cut.critical_path) == 2_000
    assert {one.end_ns - one.start_ns for one in cut.critical_path} == {2}
    assert [one.start_ns for one in cut.events] == list(range(800, 1_000))
