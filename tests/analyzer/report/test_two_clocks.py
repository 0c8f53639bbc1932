"""The load generator on another host, with another clock; and its lines in two files."""

from typing import Any

import pytest

T0_S = 1_790_000_000.0
TURNS = 40


def checks(report: Any, name: str) -> list[tuple[str, str]]:
    return [(c.status, c.detail) for c in report.validity if c.check == name]


def told(story: Any, ahead_s: float) -> dict[str, Any]:
    """Forty turns 2 s apart; the service's clock is ahead of the generator's."""
    for i in range(TURNS):
        trace = story.turn(f"s{i % 4}", i * 2.0, ("llm.first_token", 1.0))
        story.call(trace, i * 2.0, 200)
        sent_s = T0_S + i * 2.0 - ahead_s - 0.01
        story.load.append(
            {"t_start": sent_s, "duration_s": 1.02, "trace_id": trace, "turn": i, "session": "s"}
        )
    ends = [round((T0_S + at_s - ahead_s) * 1e9) for at_s in (0, 20, 80)]
    stages = [
        {"name": "ramp", "start_ns": ends[0], "end_ns": ends[1], "users": 4},
        {"name": "steady", "start_ns": ends[1], "end_ns": ends[2], "users": 4},
    ]
    return {"manifest": {"complete": True, "load": {"stages": stages}}}


def test_stages_are_moved_to_the_clock_of_the_service(story: Any) -> None:
    """Half a minute ahead: the steady part is where it was, and the check says by how much."""
    report = story.report(**told(story, ahead_s=30.0))
    assert checks(report, "clocks") == [
        (
            "warn",
            (
                "the service's clock is 30 s ahead of the load generator's, to 10 ms; load stages were "
                "moved by it"
            ),
        )
    ]
    assert checks(report, "ramp") == [("ok", "full load began after 25 % of the run")]


@pytest.mark.parametrize("ahead_s", [0.0, 0.05, -0.05])
def test_clocks_that_agree_are_left_alone(story: Any, ahead_s: float) -> None:
    """What the network may explain moves nothing."""
    report = story.report(**told(story, ahead_s=ahead_s))
    assert [status for status, _ in checks(report, "clocks")] == ["ok"]


def test_a_line_in_two_files_is_one_request(story: Any) -> None:
    """A copy of the load file beside it doubles nothing."""
    given = told(story, ahead_s=0.0)
    story.load = [{**line, "file": file} for file in ("a", "b") for line in story.load]
    assert checks(story.report(**given), "load_joined") == [
        ("ok", "turns: 40 sent by the load generator, 40 recorded, 40 joined by trace id")
    ]
