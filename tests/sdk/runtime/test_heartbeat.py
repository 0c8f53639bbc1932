"""The arithmetic of blocks, on invented times in milliseconds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentscope.runtime.heartbeat import SLOT_NS, Block, Heartbeat, Iterations, Slots

MS = 1_000_000
MIN = 5 * MS


def test_a_timer_in_time_proves_no_block() -> None:
    """A beat less than 5 ms late is a delay and not a block."""
    heartbeat = Heartbeat(MIN, now_ns=1000 * MS)
    assert heartbeat.beat(1010 * MS, 1014 * MS) is None


def test_without_an_idle_clock_the_start_is_the_middle_of_what_is_possible() -> None:
    """Free at 1000, due at 1010, run at 1060: begun at 1005 give or take 5."""
    heartbeat = Heartbeat(MIN, now_ns=1000 * MS)
    assert heartbeat.beat(1010 * MS, 1060 * MS) == Block(1005 * MS, 1060 * MS, 5 * MS)


def test_the_idle_clock_gives_the_start_exactly() -> None:
    """Seven idle milliseconds after the last beat the loop stopped being idle: there it began."""
    idle_ns = iter([0, 7 * MS])
    heartbeat = Heartbeat(MIN, 1000 * MS, lambda: next(idle_ns))
    assert heartbeat.beat(1010 * MS, 1060 * MS) == Block(1007 * MS, 1060 * MS, 0)


def test_a_busy_loop_worked_beside_its_idle_time() -> None:
    """Half idle until the block: 4 ms idle mean 8 ms gone, and the start is that uncertain."""
    idle_ns = iter([*range(0, 101 * 5 * MS, 5 * MS), 504 * MS])
    heartbeat = Heartbeat(MIN, 0, lambda: next(idle_ns))
    for beat in range(1, 101):
        assert heartbeat.beat(10 * beat * MS, 10 * beat * MS) is None
    block = heartbeat.beat(1010 * MS, 1060 * MS)
    assert block is not None
    assert (round(block.start_ns / MS, 3), block.end_ns / MS) == (1008, 1060)
    assert round(block.uncertainty_ns / MS, 3) == 4


def test_a_block_begins_no_later_than_the_timer_it_delayed() -> None:
    """Whatever the clocks say, from the moment the timer was due the loop was not free."""
    idle_ns = iter([0, 60 * MS])
    heartbeat = Heartbeat(MIN, 1000 * MS, lambda: next(idle_ns))
    assert heartbeat.beat(1010 * MS, 1060 * MS) == Block(1010 * MS, 1060 * MS, 0)


def test_a_running_block_is_cut_at_the_time_of_asking() -> None:
    """Due at 1010 and not yet run at 1500: a block so far, although it has not ended."""
    heartbeat = Heartbeat(MIN, now_ns=1000 * MS)
    heartbeat.expect(1010 * MS)
    assert heartbeat.overdue(1500 * MS) == 1010 * MS
    assert heartbeat.running_block(1500 * MS) == Block(1005 * MS, 1500 * MS, 5 * MS)


def test_time_in_which_the_loop_was_not_run_is_no_block() -> None:
    """Between two ``run_until_complete`` a loop is not blocked, it is not there."""
    heartbeat, iterations = Heartbeat(MIN, 1000 * MS), Iterations(MIN, 1000 * MS)
    for evidence in (heartbeat, iterations):
        evidence.absent(3000 * MS)
    assert heartbeat.beat(1010 * MS, 3002 * MS) is None
    assert iterations.beat(1010 * MS, 3002 * MS) is None
    assert iterations.polls(3003 * MS) is None


def test_who_looked_away_long_before_the_loop_is_run_again_does_not_matter() -> None:
    """Seen absent at 2000, run again at 5000, with a timer due since 1010: no block until 5003."""
    heartbeat, iterations = Heartbeat(MIN, 1000 * MS), Iterations(MIN, 1000 * MS)
    heartbeat.expect(1010 * MS)
    for evidence in (heartbeat, iterations):
        evidence.absent(2000 * MS)
        assert evidence.overdue(4000 * MS) == 0
        assert evidence.running_block(4000 * MS) is None
    assert heartbeat.beat(1010 * MS, 5001 * MS) is None
    assert heartbeat.beat(5011 * MS, 5061 * MS) is not None
    assert iterations.polls(5000 * MS) is None
    iterations.since_ns = 5000 * MS
    assert iterations.beat(1010 * MS, 5001 * MS) is None
    assert iterations.polls(5003 * MS) is None
    iterations.since_ns = 5010 * MS
    assert iterations.polls(5060 * MS) == Block(5010 * MS, 5060 * MS)


def test_a_long_round_is_a_block_from_poll_to_poll() -> None:
    """Both ends of a round are seen."""
    iterations = Iterations(MIN, now_ns=1000 * MS)
    assert iterations.polls(1001 * MS) is None
    iterations.since_ns = 1003 * MS
    assert iterations.overdue(1010 * MS) == 1003 * MS
    assert iterations.polls(1023 * MS) == Block(1003 * MS, 1023 * MS)
    assert iterations.overdue(1024 * MS) == 0


def test_short_rounds_that_back_up_are_one_block_from_when_the_timer_was_due() -> None:
    """Rounds of 4 ms each: the timer due in the first runs at the end of the second."""
    iterations = Iterations(MIN, now_ns=1000 * MS)
    assert iterations.polls(1004 * MS) is None
    iterations.since_ns = 1004 * MS
    assert iterations.beat(1001 * MS, 1007 * MS) is None
    assert iterations.polls(1008 * MS) == Block(1001 * MS, 1008 * MS)


def test_what_one_round_has_told_its_late_timer_does_not_tell_again() -> None:
    """The timer that a block delayed runs right after it, in a round of its own."""
    iterations = Iterations(MIN, now_ns=1000 * MS)
    assert iterations.polls(1050 * MS) == Block(1000 * MS, 1050 * MS)
    iterations.since_ns = 1050 * MS
    assert iterations.beat(1010 * MS, 1051 * MS) is None
    assert iterations.polls(1052 * MS) is None


def test_a_loop_that_waits_for_the_processor_is_blocked_since_its_timer_was_due() -> None:
    """The poll ended late although nothing of the loop's own ran."""
    iterations = Iterations(MIN, now_ns=1000 * MS)
    assert iterations.polls(1001 * MS) is None
    iterations.since_ns = 1030 * MS
    iterations.beat(1010 * MS, 1030 * MS)
    assert iterations.polls(1031 * MS) == Block(1010 * MS, 1031 * MS)


def test_a_stop_counts_in_every_slot_it_covers() -> None:
    """A timer due at any of the slots of a long stop would have waited until its end."""
    slots = Slots(now_ns=0)
    assert list(slots.delays_s(0, 0)) == [0.0]
    assert list(slots.delays_s(50 * MS, 210 * MS)) == [0.16, 0.11, 0.06, 0.01]


@given(st.lists(st.integers(min_value=1, max_value=3_000), min_size=1, max_size=40))
def test_there_is_one_observation_a_slot_whatever_the_rhythm(gaps_ms: list[int]) -> None:
    """So the histogram weighs time: ten healthy beats weigh no more than the time they took."""
    slots, now_ns, seen = Slots(now_ns=0), 0, 0
    for gap_ms in gaps_ms:
        expected_ns = now_ns + min(gap_ms, 25) * MS
        now_ns += gap_ms * MS
        delays_s = list(slots.delays_s(expected_ns, now_ns))
        seen += len(delays_s)
        assert all(0 <= delay_s <= (now_ns - expected_ns) / 1e9 for delay_s in delays_s)
    assert seen == now_ns // SLOT_NS + 1


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)), min_size=1))
def test_blocks_never_overlap_and_are_never_short(rounds: list[tuple[int, int, int]]) -> None:
    """Whatever rounds and late timers come, no instant is told twice and none is invented."""
    iterations, now_ms = Iterations(MIN, 0), 0
    told: list[Block] = []
    for poll_ms, round_ms, due_ago_ms in rounds:
        block = iterations.polls(now_ms * MS)
        told += [block] if block else []
        now_ms += poll_ms
        iterations.since_ns = max(now_ms, 1) * MS
        now_ms += round_ms
        iterations.beat((now_ms - due_ago_ms) * MS, now_ms * MS)
    assert all(block.end_ns - block.start_ns >= MIN for block in told)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(told))
