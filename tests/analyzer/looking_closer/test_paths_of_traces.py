"""The critical path against its definition, and clocks that disagree."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.attribution.critical_path import critical_path
from agentscope_analyzer.traced import trace_of

T0 = 1_790_000_000_000_000_000
MS = 1_000_000
TRACE = f"{1:032x}"


def by_definition(start, end, parent, allow):
    """The walk, told as plainly as it can be: backwards from the end, recursive, quadratic."""
    kids_of = {row: [k for k, up in enumerate(parent) if up == row] for row in range(len(start))}

    def walk(span, low, high):
        kids = [k for k in kids_of[span] if min(end[k], high) > max(start[k], low)]
        kids.sort(key=lambda k: (-min(end[k], high), start[k], k))
        at, following, path = high, None, []
        for kid in kids:
            a, b = max(start[kid], low), min(end[kid], high)
            if b > at:
                edges = [edge for k in kids_of[span] for edge in (start[k], end[k])]
                breath = (
                    following is not None
                    and a < at
                    and b - at < allow * (high - low)
                    and start[kid] < start[following]
                    and end[kid] < end[following]
                    and sum(at <= edge <= b for edge in edges) == 2
                )
                if not breath:
                    continue
                b = at
            if at > b:
                path.append((b, at, span))
            path += walk(kid, a, b)
            at, following = a, kid
        if at > low:
            path.append((low, at, span))
        return path

    return sorted(walk(0, start[0], end[0]))


@given(
    windows=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9)), max_size=9
    ),
    allow=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_the_walk_is_what_its_definition_says(windows, allow):
    """Near-linear code against the rule itself, on any tree."""
    start, end, parent, children = [0], [40], [-1], {}
    for a, b, up in windows:
        above = up % len(start)
        a, b = max(min(a, b), start[above]), min(max(a, b), end[above])
        if a <= b:
            children.setdefault(above, []).append(len(start))
            start.append(a)
            end.append(b)
            parent.append(above)
    for kids in children.values():
        kids.sort(key=start.__getitem__)
    found = critical_path(0, children, start, end, allow)
    assert time_of(found) == time_of(by_definition(start, end, parent, allow))


def time_of(path):
    """Who has how much: siblings that are equal in every edge may stand for each other."""
    taken = Counter()
    for a, b, _ in path:
        for at in range(a, b):
            taken[at] += 1
    return taken, sorted((a, b) for a, b, _ in path)


def test_parallel_work_is_not_taken_for_a_clocks_breath(tell, span):
    """An overlap of 1 % of the parent or more, or one with others' edges in it, is parallel work."""
    for ends, causes in (
        ((50, 50.9), {"db.query", "tool.execution", "unattributed"}),
        ((50, 51.0), {"tool.execution", "unattributed"}),
    ):
        engine = tell(
            span("turn", "", 0, 100, is_turn=True),
            span("first", "turn", 10, ends[1], db_system="x"),
            span("second", "turn", ends[0], 90, tool="t"),
        )
        whole = trace_of(engine, TRACE)
        assert set(whole.causes) == causes
        assert sum(s.end_ns - s.start_ns for s in whole.critical_path) == 100 * MS


def test_a_wrong_clock_is_inherited_below_and_a_third_hosts_is_corrected_against_it(tell, span):
    """Each host is placed by the call that reached it, from the turn downwards."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 10, 90, http_method="GET"),
        span("served", "call", 7010, 7070, kind="SERVER", instance="p2"),
        span("work", "served", 7020, 7060, tool="t", instance="p2"),
        span("call2", "work", 7025, 7055, http_method="GET", instance="p2"),
        span("served2", "call2", -4000, -3980, kind="SERVER", instance="p3"),
        span("select", "served2", -3995, -3985, db_system="x", instance="p3"),
    )
    whole = trace_of(engine, TRACE)
    placed = {s.name: ((s.start_ns - T0) / MS, (s.end_ns - T0) / MS) for s in whole.spans}
    assert placed == {
        "turn": (0, 100),
        "call": (10, 90),
        "served": (20, 80),
        "work": (30, 70),
        "call2": (35, 65),
        "served2": (40, 60),
        "select": (45, 55),
    }
    assert [s.name for s in whole.critical_path] == [
        "turn", "call", "served", "work", "call2", "served2", "select",
        "served2", "call2", "work", "served", "call", "turn",
    ]  # fmt: skip


def test_a_caller_that_gave_up_proves_no_clock_wrong(tell, span):
    """A server that works on after its caller's time-out outlives the call: its clock is right."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 10, 50, http_method="GET", error_type="ReadTimeout", status="ERROR"),
        span("served", "call", 30, 65, kind="SERVER", instance="p2"),
        span("select", "served", 35, 45, db_system="x", instance="p2"),
    )
    whole = trace_of(engine, TRACE)
    assert [((s.start_ns - T0) / MS, (s.end_ns - T0) / MS) for s in whole.spans[2:]] == [
        (30, 65),
        (35, 45),
    ]
    assert attribute(engine).anomalies == {"clamped": 1}


def test_a_call_that_was_answered_with_an_error_still_proves_it(tell, span):
    """The answer came within the call, so its server had ended by then."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 10, 50, http_method="GET", http_status=503, status="ERROR"),
        span("served", "call", 30, 65, kind="SERVER", instance="p2", http_status=503),
    )
    assert [s.start_ns for s in trace_of(engine, TRACE).spans] == [
        T0, T0 + 10 * MS, T0 + int(12.5 * MS),
    ]  # fmt: skip
    assert attribute(engine).anomalies == {"clocks_corrected": 1}


def test_a_producers_other_children_are_waited_for(tell, span):
    """Only the consumer works on its own: what the producer does itself is the turn's time."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("put", "turn", 10, 60, kind="PRODUCER"),
        span("wait", "put", 20, 50, wait_kind="lock"),
        span("work", "put", 15, 500, kind="CONSUMER", tool="t"),
    )
    whole = trace_of(engine, TRACE)
    assert whole.causes == {"wait.lock": 0.03, "unattributed": 0.07}
    assert [(s.name, s.critical) for s in whole.spans] == [
        ("turn", True),
        ("put", True),
        ("work", False),
        ("wait", True),
    ]


def test_background_work_is_no_part_of_the_turn(tell, span):
    """A task that outlives the turn, and one that begins after it: told apart, never in its time."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("task", "turn", 90, 300, tool="t"),
        span("later", "turn", 150, 400, tool="t"),
    )
    whole = trace_of(engine, TRACE)
    assert whole.causes == {"tool.execution": 0.01, "unattributed": 0.09}
    assert attribute(engine).background_s == 0.3
