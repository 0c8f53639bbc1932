"""How often to beat and to look, on a clock moved by hand."""

from __future__ import annotations

import pytest

from agentscope.runtime.rhythm import (
    ALERT_BEAT_NS,
    ALERT_LOOK_NS,
    ALERT_NS,
    BEAT_NS,
    BLIND_BEAT_NS,
    BLIND_IDLE_BEAT_NS,
    IDLE_BEAT_NS,
    IDLE_LOOK_NS,
    LOOK_NS,
    QUIET_NS,
    UNCALLED_LOOK_NS,
    Rhythm,
)

START = 7_000_000_000


@pytest.mark.parametrize(
    ("rounds", "called", "idle"),
    [
        (True, True, (IDLE_BEAT_NS, IDLE_LOOK_NS)),
        (True, False, (IDLE_BEAT_NS, UNCALLED_LOOK_NS)),
        (False, True, (BLIND_IDLE_BEAT_NS, IDLE_LOOK_NS)),
        (False, False, (BLIND_IDLE_BEAT_NS, UNCALLED_LOOK_NS)),
    ],
)
def test_a_second_without_work_is_idle(rounds: bool, called: bool, idle: tuple[int, int]) -> None:
    """Then both come rarely, and the first work ends it."""
    rhythm = Rhythm(START, rounds=rounds, quiet=True, called=called)
    working = (BEAT_NS if rounds else BLIND_BEAT_NS, LOOK_NS)
    assert (rhythm.period_ns(START + QUIET_NS - 1), rhythm.look_ns) == working
    assert (rhythm.period_ns(START + QUIET_NS), rhythm.look_ns) == idle
    assert rhythm.idle
    rhythm.works()
    assert (rhythm.idle, rhythm.look_ns) == (False, LOOK_NS)
    assert (rhythm.period_ns(START + QUIET_NS + 1), rhythm.look_ns) == working
    assert (rhythm.period_ns(START + 2 * QUIET_NS + 1), rhythm.look_ns) == idle


@pytest.mark.parametrize(("rounds", "beat_ns"), [(True, BEAT_NS), (False, ALERT_BEAT_NS)])
def test_blocks_come_in_company(rounds: bool, beat_ns: int) -> None:
    """For five seconds after one there is no rest."""
    rhythm = Rhythm(START, rounds=rounds, quiet=True, called=True)
    rhythm.alert(START)
    assert (rhythm.period_ns(START + ALERT_NS - 1), rhythm.look_ns) == (beat_ns, ALERT_LOOK_NS)
    assert not rhythm.idle
    rhythm.period_ns(START + ALERT_NS)
    assert rhythm.idle


def test_a_loop_of_which_nothing_is_known_is_never_idle() -> None:
    """It may work between any two beats."""
    rhythm = Rhythm(START, rounds=False, quiet=False, called=True)
    assert rhythm.period_ns(START + 3600 * QUIET_NS) == BLIND_BEAT_NS
