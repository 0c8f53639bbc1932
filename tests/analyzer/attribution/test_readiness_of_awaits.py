"""When a delayed await was ready, told from awaits of the same kind that nothing delayed."""

from __future__ import annotations

import numpy as np
import pytest

from agentscope_analyzer.attribution.readiness import Readiness

MS = 1e6
BLOCK = {"runtime_event": "loop_blocked"}
QUERY = {"db_system": "postgresql", "name": "SELECT messages"}


def undelayed(span, ms, count):
    """Turns of one query each that took so long while the process ran."""
    spans = []
    for i in range(count):
        at, trace = 1000 + 100 * i, {"trace_id": f"{100 + i:032x}"}
        spans += [
            span(f"turn{i}", "", at, at + ms + 10, is_turn=True, **trace),
            span(f"select{i}", f"turn{i}", at, at + ms, **QUERY, **trace),
        ]
    return spans


def delayed(tell, span, *others):
    """Sections of a query from 0 to 150 at the end of a block that began at 50."""
    story = tell(
        span("turn", "", 0, 160, is_turn=True),
        span("select", "turn", 0, 150, **QUERY),
        span("block", "", 50, 150, trace_id=f"{2:032x}", **BLOCK),
        *others,
    )
    return [section for section in story.sections if section[3] <= 150]


def test_an_await_is_ready_when_its_kind_is(tell, span):
    """Queries take 60 ms when nothing delays them, so this one was ready at 60: late by 90 ms."""
    (query, late) = delayed(tell, span, *undelayed(span, 60, 12))
    assert query[:3] == ("select", "db.query", 0)
    assert query[3] == pytest.approx(60, abs=3)
    assert late[1:] == ("runtime.event_loop", query[3], 150)


def test_a_kind_that_takes_less_tells_nothing_of_one_that_took_longer(tell, span):
    """Queries take 5 ms, this one at least 50: all moments of the block stay as likely."""
    (query, late) = delayed(tell, span, *undelayed(span, 5, 12))
    assert (query[3], late[1]) == (pytest.approx(100, abs=3), "runtime.event_loop")


def test_with_few_of_a_kind_all_moments_are_as_likely(tell, span):
    """With eight others they are nine, too few to tell: half of the block is lateness."""
    assert delayed(tell, span, *undelayed(span, 60, 8)) == [
        ("select", "db.query", 0, 100),
        ("select", "runtime.event_loop", 100, 150),
    ]


def test_bounds_do_not_depend_on_the_estimate(tell, span):
    """Nothing to all of the block, whatever the others took."""
    story = tell(
        span("turn", "", 0, 160, is_turn=True),
        span("select", "turn", 0, 150, **QUERY),
        span("block", "", 50, 150, trace_id=f"{2:032x}", **BLOCK),
        *undelayed(span, 60, 12),
    )
    assert story.bounds == [
        ("turn", "db.query", 50, 150),
        ("turn", "runtime.event_loop", 0, 100),
    ]


def test_a_distribution_is_found_again_though_most_of_it_was_hidden() -> None:
    """Of 4 000 durations around 300 ms three in four are known only to lie within 200 ms."""
    draw = np.random.default_rng(7)
    true = draw.lognormal(np.log(300 * MS), 0.3, 4000)
    start = draw.uniform(0, 200 * MS, 4000)
    hidden = draw.random(4000) < 0.75
    low = np.where(hidden, np.maximum(true - start, 0), true)
    high = np.where(hidden, true - start + 200 * MS, true)
    found = Readiness()
    found.learn(1, low, high)
    for a, b in ((100, 250), (250, 350), (200, 500)):
        inside = true[(true >= a * MS) & (true <= b * MS)]
        assert found.expected_ns(1, round(a * MS), round(b * MS)) == pytest.approx(
            inside.mean(), rel=0.04
        )


def test_what_is_not_known_is_in_the_middle() -> None:
    """A kind that was never seen, and a stretch in which none of its kind ever ended."""
    found = Readiness()
    found.learn(1, np.full(20, 5 * MS), np.full(20, 5 * MS))
    assert found.expected_ns(2, 100, 300) == 200
    assert found.expected_ns(1, round(50 * MS), round(150 * MS)) == 100 * MS
