"""Choosing a turn, and attributing it without the rest of its run."""

import random

import pytest

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.excerpt import Turns
from agentscope_analyzer.traced import trace_of

EVENTS = ("loop_blocked", "gc_pause", "cpu_throttled")
PARTS = (
    {"tool": "t"},
    {"db_system": "x"},
    {"http_method": "GET"},
    {"wait_kind": "rate_limit"},
    {"operation": "chat", "model": "m", "kind": "CLIENT"},
    {},
)


def busy_run(span, seed):
    """Forty turns of three processes at once, with stops of their loops in between."""
    chance = random.Random(seed)
    spans = []
    for i in range(1, 41):
        at, instance = chance.uniform(0, 3_000), f"p{chance.randrange(3)}"
        length = chance.uniform(50, 800)
        marked = {"is_turn": True} if i % 5 else {"kind": "SERVER"}
        spans.append(span(f"t{i}", "", at, at + length, trace=i, instance=instance, **marked))
        spans[-1]["name"] = "POST /turn"
        for k in range(chance.randrange(6)):
            start = at + chance.uniform(0, length)
            columns = {"instance": instance, **chance.choice(PARTS)}
            spans.append(
                span(
                    f"s{i}.{k}", f"t{i}", start, start + chance.uniform(1, 200), trace=i, **columns
                )
            )
    for k in range(60):
        start = chance.uniform(0, 3_500)
        columns = {"runtime_event": chance.choice(EVENTS), "instance": f"p{chance.randrange(3)}"}
        spans.append(span(f"e{k}", "", start, start + chance.uniform(5, 80), trace=99, **columns))
    return spans


def test_a_turn_alone_is_what_it_is_in_its_run(tell, span):
    """All that bears on a turn goes with it: the same path, causes, bounds and events."""
    engine = tell(*busy_run(span, seed=1), raw=True)
    turns = Turns(engine)
    some = [f"{i:032x}" for i in range(1, 41, 4)]
    alone = [turns.trace(trace_id) for trace_id in some]
    attribute(engine)
    assert alone == [trace_of(engine, trace_id) for trace_id in some]


def test_turns_that_compete_for_the_interpreter_are_attributed_together(tell, span):
    """Where a turn's causes depend on the others, they are not guessed from it alone."""
    spans = [
        span(f"t{i}", "", 10 * i, 10 * i + 9_000, trace=i, is_turn=True) for i in range(1, 5)
    ] + [
        span(f"s{i}", f"t{i}", 10 * i + 500, 10 * i + 8_500, trace=i, tool="t") for i in range(1, 5)
    ]
    engine = tell(*spans, raw=True)
    points = range(11)
    start_ns = spans[0]["start_ns"]
    for name, value in (
        ("agentscope.interpreter.lock_wait", 0.02),
        ("agentscope.threadpool.borrowed", 3.0),
        ("process.cpu.time", 1.0),
    ):
        engine.insert(
            "metrics",
            {
                "name": [name] * len(points),
                "instance": ["p1"] * len(points),
                "time_ns": [start_ns + i * 10**9 for i in points],
                "value": [value * (i if name == "process.cpu.time" else 1) for i in points],
            },
        )
    alone = [Turns(engine).trace(f"{i:032x}") for i in range(1, 5)]
    attribute(engine)
    assert alone == [trace_of(engine, f"{i:032x}") for i in range(1, 5)]
    assert alone[0].causes["runtime.cpu"] > 0
    engine.execute("DELETE FROM metrics")


def test_turns_are_chosen_by_duration_and_by_cause(tell, span):
    """The slowest, the one at the p95, the one in the middle, the one with most of a cause."""
    turns = [span(f"t{i}", "", 0, 10 * i, trace=i, is_turn=True) for i in range(1, 22)]
    waits = [span(f"w{i}", f"t{i}", 0, i, trace=i, wait_kind="db.pool") for i in (3, 5)]
    chosen = Turns(tell(*turns, *waits, raw=True))
    assert [int(chosen.at(place).trace_id, 16) for place in ("slowest", "p95", "median")] == [
        21,
        20,
        11,
    ]
    assert int(chosen.by_cause("db.pool").trace_id, 16) == 5
    with pytest.raises(
        LookupError, match=r"no turn spent time on db.query; give one of db.pool, un"
    ):
        chosen.by_cause("db.query")
    with pytest.raises(
        LookupError, match=r"there is no cause 'quota'; give one of llm.first_token"
    ):
        chosen.by_cause("quota")


def test_candidates_name_each_turn_once(tell, span):
    """A turn that is slow and failed is listed for the first of these."""
    turns = [span(f"t{i}", "", 0, 10 * i, trace=i, is_turn=True) for i in range(1, 22)]
    turns[20]["status"] = turns[7]["status"] = "ERROR"
    found = Turns(tell(*turns, raw=True)).candidates()
    assert [(one.why, int(one.trace_id, 16), one.error) for one in found] == [
        ("slowest", 21, True),
        ("p95", 20, False),
        ("median", 11, False),
        ("slow", 19, False),
        ("slow", 18, False),
        ("failed", 8, True),
    ]


@pytest.mark.parametrize(
    "spans",
    [
        [("turn", "", 0, 90, {"is_turn": True}), ("inner", "turn", 10, 80, {"is_turn": True})],
        [("top", "", 0, 90, {"kind": "SERVER"}), ("chat", "top", 10, 80, {"operation": "chat"})],
    ],
    ids=["a turn within a turn", "no turn is marked"],
)
def test_where_trees_decide_what_a_turn_is_they_are_asked(tell, span, spans):
    """The list has the turns that attribution finds, no more and no less."""
    engine = tell(*(span(a, b, s, e, **columns) for a, b, s, e, columns in spans), raw=True)
    (found,) = Turns(engine).candidates()
    assert (found.turn_id, found.duration_s) == (spans[0][0], 0.09)


def test_a_trace_is_found_by_the_beginning_of_its_id(tell, span):
    """As a shell's user types it; runtime events are no traces to look at."""
    turns = Turns(
        tell(
            span("turn", "", 0, 10, trace=0xA1 << 120, is_turn=True),
            span("turn", "", 0, 10, trace=0xA2 << 120, is_turn=True),
            span("block", "", 0, 10, trace=0xB1 << 120, runtime_event="loop_blocked"),
            raw=True,
        )
    )
    assert turns.whole_id("A2") == f"{0xA2 << 120:032x}"
    for beginning, complaint in (
        ("a", r"2 traces begin with a; give more digits: a10+, a20+$"),
        ("b1", r"no trace begins with b1; agentscope trace RUN lists some"),
        ("%", r"'%' is no trace id: give 32 hex digits, or the first of them"),
        ("", r"'' is no trace id"),
    ):
        with pytest.raises(LookupError, match=complaint):
            turns.whole_id(beginning)


def test_a_run_without_turns_says_so(tell, span):
    """Nothing to look at is an answer."""
    turns = Turns(tell(span("work", "", 0, 10), raw=True))
    with pytest.raises(LookupError, match="this run holds no turns; agentscope analyze RUN says"):
        turns.at("slowest")


def test_a_trace_that_is_no_turn_of_a_marked_run_is_refused(tell, span):
    """A health check beside marked turns is not taken for one, alone as little as in the run."""
    spans = [span("turn", "", 0, 10, is_turn=True), span("health", "", 0, 1, trace=2)]
    with pytest.raises(LookupError, match="holds no turn"):
        Turns(tell(*spans, raw=True)).trace(f"{2:032x}")
