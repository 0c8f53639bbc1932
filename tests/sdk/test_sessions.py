"""Sessions: active ones, their turns, and memory that no client can fill."""

from __future__ import annotations

import subprocess
import sys

import agentscope
from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.instruments import Instruments
from agentscope.runtime.sessions import SessionTable
from agentscope.runtime.turns import TurnSampler
from agentscope.testing import ManualClock, Recorded


def table(max_sessions: int = 100) -> tuple[SessionTable, ManualClock]:
    """A table with a time-out of a minute and a clock moved by hand."""
    clock = ManualClock()
    sessions = SessionTable()
    sessions.configure(60, clock, max_sessions)
    return sessions, clock


def sampled(sessions: SessionTable) -> dict[str, tuple[float, int]]:
    """Value and count of every metric of the table, by name."""
    instruments = Instruments()
    sessions.sample(instruments)
    return {
        metric.name: (point.value, point.count)
        for metric, points in instruments.snapshot()
        for point in points
    }


def test_a_session_is_over_when_it_was_idle_for_so_long() -> None:
    """Its turns are one observation then, and not before."""
    sessions, clock = table()
    for session in ("a", "b", "a", "a"):
        sessions.touch(session)
    clock.advance(59)
    sessions.touch("b")
    assert sampled(sessions) == {"agentscope.sessions.active": (2, 0)}
    clock.advance(2)
    assert sampled(sessions) == {
        "agentscope.sessions.active": (1, 0),
        "agentscope.session.turns": (3, 1),
    }


def test_one_that_comes_back_after_the_time_out_is_another_session() -> None:
    """Also where nobody looked in between."""
    sessions, clock = table()
    sessions.touch("a")
    clock.advance(61)
    sessions.touch("a")
    sessions.touch("a")
    clock.advance(61)
    assert sampled(sessions) == {
        "agentscope.sessions.active": (0, 0),
        "agentscope.session.turns": (3, 2),
    }


def test_a_session_whose_turn_runs_on_stays_active(recorded: Recorded) -> None:
    """A turn of ten minutes is no idle session, and one turn however often it is looked at."""
    recorder, sessions = recorded.recorder, lifecycle.sessions
    recorder.samplers += [TurnSampler(recorder, sessions).sample, sessions.sample]
    with agentscope.turn("long", session="s1"):
        for _ in range(10):
            recorded.clock.advance(60)
            assert recorded.value(c.SESSIONS_ACTIVE) == 1
    recorded.clock.advance(301)
    assert recorded.value(c.SESSIONS_ACTIVE) == 0
    assert recorded.value(c.SESSION_TURNS) == 1


def test_beyond_the_bound_the_one_idle_longest_is_forgotten_and_counted() -> None:
    """The gauge cannot grow further, and says so."""
    sessions, _ = table(max_sessions=3)
    for session in ("a", "b", "c", "a", "d", "e"):
        sessions.touch(session)
    assert sampled(sessions) == {
        "agentscope.sessions.active": (3, 0),
        "agentscope.sessions.forgotten": (2, 0),
    }


MILLION = """
import psutil
import agentscope
from agentscope import lifecycle

agentscope.configure(max_sessions=1000)
lifecycle.sessions.touch("warm-up")
before = psutil.Process().memory_info().rss
for number in range(1_000_000):
    lifecycle.sessions.touch(f"session-{number}")
print(lifecycle.sessions.active(), psutil.Process().memory_info().rss - before)
"""


def test_a_million_session_ids_take_the_memory_of_a_thousand() -> None:
    """The bound is a setting; the ids themselves, which clients choose, are not kept."""
    said = subprocess.run(
        [sys.executable, "-c", MILLION], capture_output=True, text=True, check=True, timeout=60
    )
    active, grown_bytes = map(int, said.stdout.split())
    assert active == 1000
    assert grown_bytes < 1 << 20
