"""Durations that are a limit's and not the work's."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from agentscope_analyzer.audit.piles import Pile, piles_of
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000


def calls(story: Any, n: int, took_s: Callable[[Random], tuple[float, str | None]]) -> None:
    """Calls to another service, each a turn: how long one took, and its error."""
    random = Random(3)
    for i in range(n):
        duration_s, error = took_s(random)
        trace = story.turn("s", 700.0 * i, ("http.upstream", duration_s), outcome="ok")
        at_ns = T0_NS + round(700.0 * i * 1e9)
        times = {"start_ns": at_ns, "end_ns": at_ns + round(duration_s * 1e9)}
        story.span(trace, kind="CLIENT", http_method="GET", error_type=error, **times)


def timed_out(random: Random) -> tuple[float, str | None]:
    """One in ten is given up after 30 s and a little."""
    if random.random() < 0.1:
        return 30.0 + random.uniform(0.0, 0.1), "httpx.ReadTimeout"
    return random.lognormvariate(0.0, 0.8), None


def test_a_time_out_is_told_from_the_work(story: Any) -> None:
    """The pile, how many, after how long; the turns around the calls are theirs."""
    calls(story, 200, timed_out)
    report = story.report()
    ((status, detail),) = [(c.status, c.detail) for c in report.validity if c.check == "timeouts"]
    assert status == "warn"
    assert detail == (
        "19 HTTP calls of 200 were cut short after 30 s to 30.1 s: a time-out, not the work's own "
        "length; find who gives up, or let it wait longer in a test"
    )


def test_requests_that_users_gave_up_bound_the_quantiles(story: Any) -> None:
    """A fifth of the requests got no answer in 5 s: from p80 on, figures are the time-out's."""
    for i in range(100):
        trace = story.turn("s", 10.0 * i, ("llm.first_token", 1.0 + 0.01 * i))
        cut = {"duration_s": 5.0, "error": "timed out"} if i % 5 == 0 else {"duration_s": 1.0}
        story.load.append({"t_start": 10.0 * i, "trace_id": trace, "turn": i, **cut})
    (detail,) = [c.detail for c in story.report().validity if c.check == "timeouts"]
    assert detail.startswith(
        "20 requests of 100 that the load generator sent were cut short after 5 s: a time-out, not the "
        "work's own length, so quantiles from p80 on are lower bounds; "
    )


def cancelled_anywhere(random: Random) -> tuple[float, str | None]:
    """Users leave when they like."""
    return random.lognormvariate(1.5, 0.8), "CancelledError" if random.random() < 0.3 else None


def always_ten(random: Random) -> tuple[float, str | None]:
    """The work itself takes ten seconds."""
    return 10.0 + random.uniform(0.0, 0.1), None


def long_tail(random: Random) -> tuple[float, str | None]:
    """Model calls as they are: a wide tail over every round figure."""
    return random.lognormvariate(1.0, 1.0), None


@pytest.mark.parametrize("took_s", [cancelled_anywhere, always_ten, long_tail])
def test_other_durations_are_no_time_out(
    story: Any, took_s: Callable[[Random], tuple[float, str | None]]
) -> None:
    """Neither sameness alone nor being cut short alone is one."""
    calls(story, 300, took_s)
    assert piles_of(Asker(story.told())) == ()


def saved(random: Random) -> tuple[float, str | None]:
    """Every tenth call hangs, is given up after 60 s out of sight, and answered by the retry."""
    quick_s = random.lognormvariate(0.0, 0.3)
    return (60.0 + 0.4 * quick_s if random.random() < 0.1 else quick_s), None


def test_a_time_out_behind_a_retry_is_a_shelf(story: Any) -> None:
    """All calls were answered; a shelf begins where SDKs give up, with nothing right before it."""
    calls(story, 300, saved)
    (pile,) = [pile for pile in piles_of(Asker(story.told())) if pile.sort == "http"]
    assert pile == Pile("http", pile.n, 300, 60.0, 61.2, cut=False)
    assert 20 <= pile.n <= 45


def test_two_time_outs_are_two_piles(story: Any) -> None:
    """Connecting is given up after 5 s, reading after 30 s."""
    calls(
        story,
        200,
        lambda random: (
            (random.choice([5.0, 30.0]), "TimeoutError")
            if random.random() < 0.2
            else (random.lognormvariate(0.0, 0.5), None)
        ),
    )
    piles = [pile for pile in piles_of(Asker(story.told())) if pile.cut]
    assert sorted(round(pile.least_s) for pile in piles) == [5, 30]
