"""When a loop that goes round and round came to what was ready: times are milliseconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope_analyzer.attribution.rounds import Rounds

MS = 1_000_000
FOUR = [(0, 100), (100, 180), (180, 300), (300, 350)]
"""Rounds that touch."""


def rounds(*blocks):
    return Rounds([(a * MS, b * MS) for a, b in blocks])


def taught(found, *awaits):
    start, end = np.array(awaits, dtype=np.int64).T * MS
    found.learn(start, end)
    return found


def window(found, start, end, *, ours=False):
    told = found.window(start * MS, end * MS, ours=ours)
    return told and tuple(ns / MS for ns in told)


def test_what_is_resumed_in_a_round_was_ready_before_the_one_before() -> None:
    """No await began in the round at 180 and ended in the next, so news take two rounds: what ends at
    320 was taken in from 180 on, and came between 100 and then."""
    found = taught(rounds(*FOUR), *[(110, 310)] * 20)
    assert window(found, 0, 320) == (100, 180, 320)


def test_where_awaits_begin_in_one_round_and_end_in_the_next_there_was_a_poll() -> None:
    """As always on uvloop: what ends at 320 became ready in the round at 180."""
    found = taught(rounds(*FOUR), *[(190, 310)] * 20)
    assert window(found, 0, 320) == (180, 300, 320)


def test_one_such_await_tells_of_its_own_round_alone() -> None:
    """Between the rounds at 100 and 180 there was a short one, between those at 180 and 300 none."""
    found = taught(rounds(*FOUR), (120, 190), *[(110, 310)] * 60)
    assert window(found, 0, 200) == (100, 180, 200)
    assert window(found, 0, 320) == (100, 180, 320)


@pytest.mark.parametrize("awaits", [[], [(110, 310)] * 19])
def test_with_few_awaits_both_are_possible(awaits) -> None:
    """Ready as early as in the round at 100, or as late as in the one at 180."""
    found = rounds(*FOUR)
    if awaits:
        taught(found, *awaits)
    assert window(found, 0, 320) == (100, 300, 320)


def test_our_own_code_wakes_who_waits_for_it_in_the_next_round() -> None:
    """A lock that was had at 320 was given back in the round before; one had at 352, in the last."""
    found = taught(rounds(*FOUR), *[(110, 310)] * 20)
    assert window(found, 0, 320, ours=True) == (180, 300, 320)
    assert window(found, 0, 352, ours=True) == (300, 350, 350)


def test_a_round_that_is_long_over_delayed_nothing() -> None:
    """From 5 ms on; nor did one before the await began."""
    found = rounds(*FOUR)
    assert window(found, 0, 354) == (180, 350, 350)
    assert window(found, 0, 355) is None
    assert window(found, 351, 354) is None


@given(
    gaps=st.lists(
        st.tuples(st.sampled_from([0, 0, 4, 9]), st.integers(5, 60)), min_size=1, max_size=6
    ),
    awaits=st.lists(
        st.tuples(st.integers(0, 150), st.integers(1, 200), st.booleans()), min_size=1, max_size=9
    ),
    times=st.integers(0, 30),
)
def test_many_at_a_time_are_told_what_each_is(gaps, awaits, times) -> None:
    """The two ways to ask agree, whatever was learnt."""
    blocks, at = [], 0
    for gap, length in gaps:
        blocks.append((at + gap, at + gap + length))
        at = blocks[-1][1]
    found = rounds(*blocks)
    start = np.array([a for a, _, _ in awaits]) * MS
    end = start + np.array([b for _, b, _ in awaits]) * MS
    found.learn(np.tile(start, times), np.tile(end, times))
    ours = np.array([one for _, _, one in awaits])
    told = found.windows(start, end, ours)
    for i in range(len(awaits)):
        alone = found.window(int(start[i]), int(end[i]), ours=bool(ours[i]))
        together = (int(told.since_ns[i]), int(told.sure_ns[i]), int(told.until_ns[i]))
        assert alone == (together if told.late[i] else None)
        assert found.hold(int(start[i]), int(end[i])) == bool(found.synchronous(start, end)[i])
