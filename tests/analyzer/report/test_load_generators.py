"""Could the load generator keep up, and did it send what users would have sent?"""

from random import Random
from typing import Any

import numpy as np
import pytest

from agentscope_analyzer.audit.sending import ByMoment, by_moment_of, compare
from agentscope_analyzer.sql import Asker

T0_S = 1_790_000_000.0


def checks(report: Any, name: str) -> list[tuple[str, str]]:
    return [(c.status, c.detail) for c in report.validity if c.check == name]


def one_second(at_s: float, random: Random) -> float:
    return random.lognormvariate(0.0, 0.3)


def test_a_generator_that_cannot_keep_up_fails(story: Any) -> None:
    """Half a second late at every request: the verdict says that this was not the load meant."""
    story.crowd(10, 90.0, one_second, late_s=0.6)
    report = story.report()
    ((status, detail),) = checks(report, "generator_late")
    assert status == "fail"
    assert detail.startswith(
        "the load generator sent 95 % of requests within 600 ms of due: more than 100 ms, so it was "
        "overloaded itself; the load was 15 % below what was meant: give it more processes"
    )
    assert report.verdict.statement.endswith(
        "; mind of this run: its load generator could not keep up"
    )
    assert report.verdict.confidence == "low"  # and no attempt of a model call is known


def test_a_generator_on_time_passes(story: Any) -> None:
    """The healthy twin: the same users, sent when due."""
    story.crowd(10, 90.0, one_second)
    report = story.report()
    assert checks(report, "generator_late") == [
        ("ok", "the load generator sent 95 % of requests within 0 s of due")
    ]
    assert [
        c.check for c in report.validity if c.status == "warn" and c.check != "not_measured"
    ] == ["attempts"]


def test_what_an_answer_held_up_is_not_the_generators(story: Any) -> None:
    """A request is due each second and each answer takes two: an open schedule, a slow service."""
    for i in range(60):
        trace = story.turn("s", 2.0 * i, ("llm.first_token", 2.0))
        line = {"t_intended": T0_S + i, "t_start": T0_S + 2.0 * i, "duration_s": 2.0, "turn": i}
        story.load.append({**line, "trace_id": trace, "session": "s", "user": "u"})
    report = story.report()
    assert [status for status, _ in checks(report, "generator_late")] == ["ok"]
    assert checks(report, "coordinated_omission") == [
        (
            "warn",
            (
                "users' p95 is 2 s from when requests were sent, 58 s from when they were due: requests "
                "were sent late, so quote 58 s, or let sessions arrive at a rate of their own"
            ),
        )
    ]


def freeze(at_s: float, random: Random) -> float:
    """A service that stands still from 40 s on, for 8 s."""
    took_s = random.uniform(0.3, 0.5)
    return took_s + 48.0 - at_s if 40.0 <= at_s < 48.0 else took_s


def heavy(at_s: float, random: Random) -> float:
    """One turn in ten takes 30 s, whatever else there is."""
    return 30.0 if random.random() < 0.1 else random.uniform(0.3, 0.5)


def moments(story: Any) -> ByMoment:
    last_s = max(line["t_intended"] for line in story.load)
    found = by_moment_of(Asker(story.told()), from_s=T0_S, to_s=last_s, requests=len(story.load))
    assert found is not None
    return found


def test_a_stall_that_few_requests_saw_is_seen_by_every_moment(story: Any) -> None:
    """Users who wait send nothing into a stall: few of the requests saw a tenth of the time."""
    story.crowd(20, 90.0, freeze, think_s=(0.2, 1.0))
    report = story.report()
    ((status, detail),) = checks(report, "coordinated_omission")
    assert status == "warn"
    assert detail.startswith("closed loop (users wait for each answer): users' p95 is ")
    assert ": slow moments were sent fewer of them, so quote " in detail


def test_long_turns_are_no_stall(story: Any) -> None:
    """One turn in ten takes half a minute, whatever else there is: nobody waits for it but its user."""
    story.crowd(20, 90.0, heavy, think_s=(0.2, 1.0))
    found = moments(story)
    assert (found.stalled, found.low < 1.1) == (0, True)


def test_moments_without_a_request_count_for_the_one_before_them() -> None:
    """Four windows of ten quick requests, then one slow one and three windows of silence."""
    counts = np.array([[0, 0], [10, 0], [10, 0], [10, 0], [10, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    found = compare(counts.astype(np.float64), np.array([0.1, 4.0]))
    assert (found.sent_p95_s, found.moment_p95_s, found.stalled) == (0.1, 4.0, 3)


@pytest.mark.parametrize("seed", range(8))
def test_chance_is_no_stall(story: Any, seed: int) -> None:
    """Busy and idle moments come and go; only what makes turns slow is omitted."""
    story.crowd(12, 90.0, one_second, seed=seed)
    found = moments(story)
    assert (found.stalled, found.low < 1.1) == (0, True)


def test_due_times_of_another_world_are_left_out(story: Any) -> None:
    """A generator's mistake in one field stops nothing."""
    story.crowd(12, 90.0, one_second)
    for i, line in enumerate(story.load[::20]):
        line["t_intended"] = (1e300, -1e300, 0.0)[i % 3]
    asker = Asker(story.told())
    found = by_moment_of(asker, from_s=T0_S, to_s=T0_S + 90.0, requests=len(story.load))
    assert found is not None
    row = asker.ask("load/sending")[0]
    assert (row["requests"], row["late_p95_s"]) == (len(story.load) - len(story.load[::20]), 0.0)


def test_users_who_never_think_are_told(story: Any) -> None:
    """The next turn a millisecond after the last: ceilings in sessions are lower bounds."""
    story.crowd(6, 90.0, one_second, think_s=(0.001, 0.001))
    for turn in story.turns[:200]:
        story.call(turn["trace_id"], turn["start_ns"] / 1e9 - T0_S, 200)
    report = story.report()
    ((status, detail),) = checks(report, "think_time")
    assert (status, detail.split(";")[0]) == (
        "warn",
        (
            "users hardly think: the next turn of a session begins 1 ms after the last one's end, median, "
            "so ceilings in sessions are lower bounds"
        ),
    )
    assert ", a lower bound, for users hardly think" in report.verdict.statement


def test_users_who_think_pass(story: Any) -> None:
    """The healthy twin, with the time they take."""
    story.crowd(6, 90.0, one_second, think_s=(2.0, 2.0))
    assert checks(story.report(), "think_time") == [
        ("ok", "users think 2 s between two turns of a session, median")
    ]


def test_one_session_for_all_users_is_told(story: Any) -> None:
    """Turns of one session overlap: demand per session would be that of all users at once."""
    story.crowd(6, 60.0, one_second, think_s=(1.0, 1.0))
    for turn in story.turns:
        turn["session"] = "everyone"
    report = story.report()
    ((status, detail),) = checks(report, "sessions")
    assert (status, "several users share a session id" in detail) == ("warn", True)
    assert not checks(report, "think_time")


def test_another_runs_turns_are_told(story: Any) -> None:
    """Turns of an hour before the load lie in the same directory."""
    story.crowd(6, 60.0, one_second)
    for i in range(10):
        story.turn("old", i - 3600.0, ("llm.first_token", 0.5))
    ((status, detail),) = checks(story.report(), "load_period")
    assert (status, "10 turns before it began and 0 after it ended" in detail) == ("warn", True)
