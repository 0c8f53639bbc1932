"""The questions behind the pictures: whole tables of runs that can be checked by hand."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import Asker, ask

T0_NS = 1_790_000_000_000_000_000


def asked(story: Any, question: str, *columns: str, **params: Any) -> list[tuple[Any, ...]]:
    rows = ask(story.told(), f"timeline/{question}", **params)
    return [tuple(row[name] for name in columns) for row in rows]


def test_a_short_run_is_cut_into_seconds(story: Any) -> None:
    """A bucket is never shorter than a second; the last one ends with the last turn."""
    story.turn("s", 0.0, ("db.query", 2.5))
    rows = asked(story, "turns", "bucket", "start_ns", "end_ns")
    assert [(i, start - T0_NS, end - T0_NS) for i, start, end in rows] == [
        (0, 0, 1_000_000_000),
        (1, 1_000_000_000, 2_000_000_000),
        (2, 2_000_000_000, 2_500_000_000),
    ]


def test_a_long_run_has_48_buckets(story: Any) -> None:
    """However long it is."""
    story.turn("s", 0.0, ("db.query", 1.0))
    story.turn("s", 99_999.5, ("db.query", 0.75))
    assert len(asked(story, "turns", "bucket")) == 48


def test_a_section_counts_in_each_bucket_for_its_part_of_it(story: Any) -> None:
    """Two turns at once; one section lies over three buckets, another within one."""
    story.turn("s", 0.5, ("llm.first_token", 2.0), ("db.query", 0.25))
    story.turn("t", 0.0, ("db.query", 0.25), ("llm.first_token", 1.0))
    assert asked(story, "causes", "bucket", "cause", "wall_s") == [
        (0, "db.query", 0.25),
        (0, "llm.first_token", 1.25),
        (1, "llm.first_token", 1.25),
        (2, "db.query", 0.25),
        (2, "llm.first_token", 0.5),
    ]


moments = st.integers(0, 200_000_000_000)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(moments, st.integers(1, 90_000_000_000)), min_size=1, max_size=12))
def test_no_time_is_lost_between_buckets(turns: list[tuple[int, int]]) -> None:
    """Whatever the turns: a cause's seconds in all buckets are its seconds in all turns."""
    with Engine.in_memory(threads=1) as engine:
        create_tables(engine)
        for i, (at_ns, took_ns) in enumerate(turns):
            times = {"start_ns": [T0_NS + at_ns], "end_ns": [T0_NS + at_ns + took_ns]}
            named = {"turn_id": [f"{i:016x}"], "trace_id": [f"{i:032x}"], **times}
            engine.insert("turns", {**named, "duration_s": [took_ns / 1e9]})
            engine.insert("sections", {**named, "cause": ["db.query"]})
        rows = ask(engine, "timeline/causes")
    assert sum(row["wall_s"] for row in rows) == pytest.approx(
        sum(took_ns for _, took_ns in turns) / 1e9, rel=1e-12
    )
    assert all(
        row["wall_s"] * 1e9 <= len(turns) * (row["end_ns"] - row["start_ns"]) + 1 for row in rows
    )


def test_turns_count_where_they_end(story: Any) -> None:
    """A session lives from its first turn to its last, also while it thinks."""
    story.turn("s", 0.0, ("db.query", 0.5), error=True)
    story.turn("s", 2.0, ("db.query", 1.0))
    story.turn("t", 1.5, ("db.query", 1.0))
    columns = ("bucket", "turns", "failed", "p50_s", "p95_s", "sessions")
    assert asked(story, "turns", *columns) == [
        (0, 1, 1, 0.5, 0.5, 1.0),
        (1, 0, 0, None, None, 1.5),
        (2, 2, 0, 1.0, 1.0, 1.5),
    ]


def test_sessions_without_a_name_are_not_counted(story: Any) -> None:
    """Unknown is NULL, not 0."""
    story.turn("s", 0.0, ("db.query", 0.5))
    story.turns[0]["session"] = None
    assert asked(story, "turns", "turns", "sessions") == [(1, None)]
    assert asked(story, "live", "sessions", "most_sessions") == [(0, None)]


def test_sessions_that_meet_live_at_once(story: Any) -> None:
    """Three sessions; the third begins in the instant in which the first ends."""
    story.turn("a", 0.0, ("db.query", 1.0))
    story.turn("b", 0.5, ("db.query", 2.0))
    story.turn("c", 1.0, ("db.query", 1.0))
    assert asked(story, "live", "sessions", "most_sessions") == [(3, 3)]


def test_a_block_counts_where_it_ends_and_the_longest_is_named(story: Any) -> None:
    """Two processes' delays: the larger; blocks before the first turn are not the run's."""
    story.turn("s", 0.0, ("db.query", 2.0))
    for at_s, took_s, name in ((0.1, 0.2, "short"), (0.4, 0.3, "long"), (-1.0, 0.5, "start-up")):
        start_ns = T0_NS + round(at_s * 1e9)
        times = {"start_ns": start_ns, "end_ns": start_ns + round(took_s * 1e9)}
        story.span("f" * 32, runtime_event="loop_blocked", code_function=name, **times)
    story.gauge("agentscope.event_loop.delay.max", 0.3, 0.01)
    story.gauge("agentscope.event_loop.delay.max", 0.2, 0.05)
    columns = ("bucket", "delay_s", "blocks", "longest_s", "code_function")
    assert asked(story, "loop", *columns) == [
        (0, 0.3, 2, 0.3, "long"),
        (1, 0.05, 0, None, None),
    ]


def test_memory_is_averaged_by_process_then_added_up(story: Any) -> None:
    """Two processes, of which one falls silent: the row says how many reported."""
    story.turn("s", 0.0, ("db.query", 2.0))
    story.gauge("process.memory.usage", 100.0, 120.0)
    story.gauge("process.memory.usage", 50.0)
    for metric, instance in zip(story.metrics, ("a", "a", "b"), strict=True):
        metric["instance"] = instance
    assert asked(story, "memory", "bucket", "processes", "resident_bytes") == [
        (0, 2, 150.0),
        (1, 1, 120.0),
    ]


def test_of_quotas_those_with_least_left_are_told(story: Any) -> None:
    """Nine quotas: the fullest one is left out; the least of a bucket is what counts."""
    story.turn("s", 0.0, ("db.query", 2.0))
    for i in range(9):
        labels = {"provider": "p", "model": f"m{i}", "dimension": "requests"}
        story.gauge("agentscope.llm.ratelimit.limit", 100.0, 100.0, **labels)
        story.gauge("agentscope.llm.ratelimit.remaining", 90.0 - 10 * i, 95.0, **labels)
    rows = asked(story, "quotas", "place", "model", "bucket", "quota", "remaining")
    assert rows[:2] == [(1, "m8", 0, 100.0, 10.0), (1, "m8", 1, 100.0, 95.0)]
    assert [model for _, model, bucket, _, _ in rows if bucket == 0] == [
        f"m{i}" for i in (8, 7, 6, 5, 4, 3, 2, 1)
    ]


def test_attempts_count_where_they_end(story: Any) -> None:
    """Refused ones apart."""
    trace = story.turn("s", 0.0, ("llm.first_token", 3.0))
    story.call(trace, 0.0, 429, 200)
    story.call(trace, 2.0, 200)
    assert asked(story, "attempts", "bucket", "attempts", "rate_limited", "failed") == [
        (0, 2, 1, 1),
        (2, 1, 0, 0),
    ]


def test_durations_fall_into_bins_of_equal_ratio(story: Any) -> None:
    """Forty bins between the shortest and the longest; the longest is in the last one."""
    for i, took_s in enumerate((0.1, 0.1, 1.2, 10.0)):
        story.turn("s", i * 20.0, ("db.query", took_s), error=took_s == 10.0)
    rows = asked(story, "durations", "bin", "turns", "failed", "from_s", "to_s")
    assert [(i, turns, failed) for i, turns, failed, _, _ in rows] == [
        (0, 2, 0),
        (21, 1, 0),
        (39, 1, 1),
    ]
    assert [round(edge, 6) for *_, start, end in rows[::2] for edge in (start, end)] == [
        0.1,
        round(0.1 * 100 ** (1 / 40), 6),
        round(10 / 100 ** (1 / 40), 6),
        10.0,
    ]


def test_equal_turns_make_one_bin(story: Any) -> None:
    """No width of nothing, no division by it."""
    for i in range(3):
        story.turn("s", i * 2.0, ("db.query", 1.0))
    assert asked(story, "durations", "bin", "turns") == [(0, 3)]


def test_bands_are_of_turns_by_duration(story: Any) -> None:
    """Of eleven turns the middle fifth are three, and one is at or above the p95."""
    for i in range(11):
        story.turn("s", i * 20.0, ("db.query", 1.0), ("llm.first_token", float(i)))
    assert asked(story, "bands", "band", "cause", "turns", "wall_s_per_turn") == [
        ("all", "db.query", 11, 1.0),
        ("all", "llm.first_token", 11, 5.0),
        ("middle", "db.query", 3, 1.0),
        ("middle", "llm.first_token", 3, 5.0),
        ("slow", "db.query", 1, 1.0),
        ("slow", "llm.first_token", 1, 10.0),
    ]


def test_the_example_is_slow_and_shows_the_cause(story: Any) -> None:
    """Of 101 turns those from the 95th on: the one with most of the cause, or else the first."""
    for i in range(101):
        waits_s = 0.5 if i == 97 else 0.25
        story.turn("s", i * 20.0, ("llm.rate_limit", waits_s), ("db.query", 1 + i - waits_s))
    engine = story.told()
    (shown,) = ask(engine, "timeline/exemplar", cause="llm.rate_limit")
    assert (shown["trace_id"], shown["duration_s"], shown["wall_s"]) == (f"{98:032x}", 98.0, 0.5)
    (first,) = ask(engine, "timeline/exemplar")
    assert (first["trace_id"], first["wall_s"], first["spans"]) == (f"{96:032x}", 0.0, 1)


def test_a_run_without_turns_has_no_course(story: Any) -> None:
    """No bucket, no row, no error."""
    engine = story.told()
    asker = Asker(engine)
    for name in ("causes", "turns", "loop", "memory", "quotas", "attempts", "durations", "bands"):
        assert asker.ask(f"timeline/{name}") == []
    assert asker.ask("timeline/exemplar") == []
