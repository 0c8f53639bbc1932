"""What holds for every trace, however odd: sums are exact, and the analysis ends."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.attribution.critical_path import critical_path
from agentscope_analyzer.attribution.sweep import equal_shares
from agentscope_analyzer.engine import Engine

MS = 1_000_000
KINDS = st.sampled_from(["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"])
SORTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"is_turn": True},
        {"operation": "chat"},
        {"operation": "chat", "streamed": True, "first_chunk_s": 0.02},
        {"operation": "chat", "error_type": "RateLimitError"},
        {"operation": "chat", "model": "m"},
        {"operation": "chat", "model": "m", "error_type": "RateLimitError"},
        {"operation": "chat", "model": "m", "error_type": "APITimeoutError"},
        {"http_method": "POST", "http_status": 200, "kind": "CLIENT"},
        {"http_method": "POST", "http_status": 429, "kind": "CLIENT"},
        {"operation": "chat", "billing_code": "insufficient_quota"},
        {"http_method": "POST", "http_status": 429, "kind": "CLIENT", "billing_code": "x"},
        {"http_method": "POST", "error_type": "CancelledError", "kind": "CLIENT"},
        {"phase": "llm_call"},
        {"phase": "context_load"},
        {"tool": "t"},
        {"db_system": "postgresql"},
        {"wait_kind": "http.pool"},
        {"wait_kind": "rate_limit"},
        {"wait_kind": "unheard of"},
        {"operation": "invoke_agent"},
    ]
)
TIMES = st.integers(0, 100)


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any spans with any parents: loops, orphans, copies, overflow on both sides."""
    spans = []
    for i in range(draw(st.integers(1, 14))):
        start, length = draw(TIMES), draw(TIMES)
        spans.append(
            {
                "trace_id": f"{draw(st.integers(1, 2)):032x}",
                "span_id": f"s{draw(st.integers(0, i))}",
                "parent_id": draw(st.sampled_from(["", "s0", "s1", "s2", "s3", "s7", "gone"])),
                "name": "n",
                "kind": draw(KINDS),
                "instance": draw(st.sampled_from(["p1", "p2"])),
                "start_ns": start * MS,
                "end_ns": (start + length) * MS,
                **draw(SORTS),
            }
        )
    for i in range(draw(st.integers(0, 4))):
        start = draw(TIMES)
        event = draw(st.sampled_from(["loop_blocked", "gc_pause", "cpu_throttled"]))
        doubt_s = draw(st.sampled_from(["0", "0.01", "nan", "?"]))
        spans.append(
            {
                "trace_id": f"{9:032x}",
                "span_id": f"e{i}",
                "parent_id": "",
                "name": "event",
                "kind": "INTERNAL",
                "instance": draw(st.sampled_from(["p1", "p2"])),
                "start_ns": start * MS,
                "end_ns": (start + draw(st.integers(1, 60))) * MS,
                "runtime_event": event,
                "attrs": {"agentscope.runtime.start_uncertainty": doubt_s},
            }
        )
    for span in spans:
        if span.get("is_turn") and draw(st.booleans()):
            span |= {"first_byte_s": draw(TIMES) / 1e3, "send_wait_s": draw(TIMES) / 1e3}
    return spans


@pytest.fixture(scope="module")
def engine():
    """An engine in which the threads of p2 compete for its interpreter all the time."""
    with Engine.in_memory(threads=1) as engine:
        for name, value in (("interpreter.lock_wait", 0.009), ("threadpool.borrowed", 1.0)):
            points = [(f"agentscope.{name}", "p2", at * 40 * MS, value, "gauge") for at in range(6)]
            columns = zip(*points, strict=True)
            names = ("name", "instance", "time_ns", "value", "kind")
            engine.insert("metrics", dict(zip(names, map(list, columns), strict=True)))
        yield engine


def fill(engine: Engine, spans: list[dict[str, Any]]) -> None:
    engine.execute("DELETE FROM spans")
    columns = sorted({name for span in spans for name in span} | {"status"})
    rows = [{"status": "UNSET", "service": "a", **span} for span in spans]
    engine.insert("spans", {name: [row.get(name) for row in rows] for name in columns})


@pytest.mark.parametrize("columnar", [True, False])
@given(spans=graphs())
@settings(max_examples=75, deadline=None)
def test_every_instant_of_every_turn_has_exactly_one_cause(engine, spans, columnar):
    """Sections follow one another without gap or overlap from a turn's start to its end."""
    fill(engine, spans)
    summary = attribute(engine, columnar=columnar)
    turns = engine.rows("SELECT trace_id, turn_id, start_ns, end_ns FROM turns")
    assert summary.turns == len(turns) == len({turn[:2] for turn in turns})
    for trace_id, turn_id, start_ns, end_ns in turns:
        at_ns = start_ns
        for a, b in engine.rows(
            "SELECT start_ns, end_ns FROM sections "
            "WHERE trace_id = $trace_id AND turn_id = $turn_id ORDER BY start_ns",
            trace_id=trace_id,
            turn_id=turn_id,
        ):
            assert a == at_ns < b
            at_ns = b
        assert at_ns == end_ns
    total_s = sum(end_ns - start_ns for _, _, start_ns, end_ns in turns) / 1e9
    if not columnar:  # plain turns have no need of the question
        assert sum(equal_shares(engine).values()) == pytest.approx(total_s, abs=1e-9)
    assert 0 <= summary.sweep_disagreement <= 1
    assert summary.background_s >= 0


@given(spans=graphs())
@settings(max_examples=50, deadline=None)
def test_estimates_lie_within_their_bounds(engine, spans):
    """What the runtime and the caller are given is at least what is certain, at most possible."""
    fill(engine, spans)
    attribute(engine)
    outside = engine.rows(
        "SELECT * FROM (SELECT b.turn_id, b.cause, low_s, high_s, "
        "COALESCE(SUM(s.end_ns - s.start_ns) / 1e9, 0) AS seconds "
        "FROM bounds b LEFT JOIN sections s ON s.turn_id = b.turn_id AND s.cause = b.cause "
        "AND s.trace_id = (SELECT min(trace_id) FROM turns t WHERE t.turn_id = b.turn_id) "
        "WHERE (SELECT count(*) FROM turns t WHERE t.turn_id = b.turn_id) = 1 "
        "GROUP BY ALL) WHERE seconds < low_s - 1e-9 OR seconds > high_s + 1e-9"
    )
    assert outside == []


@given(spans=graphs(), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_order_of_arrival_does_not_matter(engine, spans, seed):
    """Spans come from several processes in any order; the answer is the same."""
    spans = list({(s["trace_id"], s["span_id"]): s for s in spans}.values())
    answers = []
    for _ in range(2):
        fill(engine, spans)
        attribute(engine)
        answers.append(engine.rows("SELECT * FROM sections ORDER BY ALL"))
        random.Random(seed).shuffle(spans)
    assert answers[0] == answers[1]


@given(spans=graphs())
@settings(max_examples=30, deadline=None)
def test_billing_moves_time_from_rate_to_retry_and_nowhere_else(engine, spans):
    """Were every call refused for billing, the same seconds would be retries; no others change."""
    fill(engine, spans)
    attribute(engine)
    before = seconds_by_cause(engine)
    fill(engine, [s | {"billing_code": "x"} if is_refused(s) else s for s in spans])
    attribute(engine)
    after = seconds_by_cause(engine)
    moved = {"llm.rate_limit", "llm.retry"}
    for cause in (before.keys() | after.keys()) - moved:
        assert after.get(cause, 0) == before.get(cause, 0)
    assert sum(after.get(c, 0) for c in moved) == sum(before.get(c, 0) for c in moved)
    assert after.get("llm.retry", 0) >= before.get("llm.retry", 0)


def is_refused(span: dict[str, Any]) -> bool:
    return span.get("http_status") == 429 or span.get("error_type") == "RateLimitError"


def seconds_by_cause(engine: Engine) -> dict[str, int]:
    return dict(engine.rows("SELECT cause, SUM(end_ns - start_ns) FROM sections GROUP BY cause"))


@given(
    windows=st.lists(st.tuples(TIMES, TIMES, st.integers(0, 30)), max_size=30),
    allow=st.sampled_from([0.0, 0.01, 0.3]),
)
def test_the_path_is_a_partition_of_the_roots_window(windows, allow):
    """Whatever overlaps whatever: the sections cover the window once."""
    start, end, children = [0], [100], {}
    for a, b, up in windows:
        parent = up % len(start)
        a, b = max(min(a, b), start[parent]), min(max(a, b), end[parent])
        if a <= b:
            children.setdefault(parent, []).append(len(start))
            start.append(a)
            end.append(b)
    for kids in children.values():
        kids.sort(key=start.__getitem__)
    sections = critical_path(0, children, start, end, allow)
    assert [a for a, _, _ in sections] == [0, *(b for _, b, _ in sections[:-1])]
    assert sections[-1][1] == 100
    assert all(start[row] <= a < b <= end[row] for a, b, row in sections)


def chain(depth: int) -> list[dict[str, Any]]:
    return [(f"s{i}", f"s{i - 1}" if i else "", i, 2 * depth - i) for i in range(depth)]


def brood(count: int) -> list[dict[str, Any]]:
    # Every child overlaps the next one by a breath, so the overlap rule looks at each of them.
    kids = [(f"s{i}", "s0", 1000 * i, 1000 * i + 1001) for i in range(1, count)]
    return [("s0", "", 0, 1000 * count + 2000), *kids]


@pytest.mark.parametrize("tree", [chain(3_000), brood(5_000)], ids=["3000 deep", "5000 children"])
def test_deep_and_broad_traces_take_seconds_at_most(engine, tree):
    """No recursion and nothing quadratic, also where every span could be a turn."""
    fill(
        engine,
        [
            {
                "trace_id": f"{1:032x}",
                "span_id": span_id,
                "parent_id": parent_id,
                "kind": "INTERNAL",
                "instance": "p",
                "start_ns": start,
                "end_ns": end,
                "is_turn": True,
            }
            for span_id, parent_id, start, end in tree
        ],
    )
    started_s = time.process_time()
    summary = attribute(engine)
    assert time.process_time() - started_s < 5
    assert (summary.turns, summary.spans_used) == (1, len(tree))
    ((sections,),) = engine.rows("SELECT count(DISTINCT span_id) FROM sections")
    assert sections == len(tree)
