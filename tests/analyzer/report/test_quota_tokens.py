"""Quotas of tokens: which tokens count, what refusals hide, what a limit typed by hand may say."""

import random
from typing import Any

import pytest

from agentscope_analyzer.ceilings.charged import Charged, charged_by_steps
from agentscope_analyzer.ceilings.quotas import Quota, quota_given
from agentscope_analyzer.reporters import terminal

HEADER = "http.response.header.x-ratelimit-remaining-tokens"
QUOTA = Quota("p", "m", "tokens", 200_000.0, 60.0, "headers", remaining_header=HEADER)


def answers(cached_weight: float, *, count: int = 200, blur: float = 0.0) -> list[Any]:
    """A bucket that refills and that others drain, too: what was left of it after each answer."""
    draw = random.Random(7)
    left, at_s, rows = 100_000.0, 0.0, []
    for _ in range(count):
        waited_s = draw.uniform(0.5, 1.5)
        at_s += waited_s
        read, written = draw.randint(500, 4000), draw.randint(50, 300)
        cached = draw.choice([0, read // 2, read - 100])
        charged = read - (1 - cached_weight) * cached + written
        left += waited_s * QUOTA.limit / QUOTA.window_s - charged
        rows.append(
            {
                "start_ns": round(at_s * 1e9),
                "remaining": f'["{left + draw.uniform(-blur, blur):.0f}"]',
                "input_tokens": read,
                "cached_tokens": cached,
                "output_tokens": written,
            }
        )
        if not 20_000 < left < 180_000:
            left = 100_000.0
    return rows


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (1.0, "counted like the rest, as differences of what is left show"),
        (0.0, "not counted, as differences of what is left show"),
    ],
)
def test_what_is_left_tells_whether_cached_tokens_count(weight: float, says: str) -> None:
    """From answer to answer the quota falls by what was charged and rises by what was refilled."""
    assert charged_by_steps(answers(weight), QUOTA) == Charged(weight, says)


def test_too_few_answers_or_too_much_noise_leave_it_open() -> None:
    """Then they count, which is the careful side, and the report says that nobody confirms it."""
    unknown = Charged(1.0, "counted like the rest, which nothing recorded confirms")
    assert charged_by_steps(answers(0.0, count=20), QUOTA) == unknown
    assert charged_by_steps(answers(0.0, blur=60_000), QUOTA) == unknown


@pytest.mark.parametrize("alike", [True, False])
def test_a_remainder_that_never_moves_says_nothing_of_caches(alike: bool) -> None:
    """A gateway that always answers the same: that cached tokens were free would be a guess."""
    rows = [row | {"remaining": '["150000"]'} for row in answers(1.0)]
    if alike:
        rows = [row | {"input_tokens": 20_000, "cached_tokens": 18_000} for row in rows]
    assert charged_by_steps(rows, QUOTA).says.endswith("which nothing recorded confirms")


def asking(story: Any, *statuses: int, cached: int = 0) -> None:
    """Six sessions, a call of 100 + 20 tokens every ten seconds, for five minutes."""
    for session in range(6):
        for i in range(30):
            at_s = i * 10.0 + session * 0.1
            parts = [("llm.rate_limit", 2.0)] if 429 in statuses else []
            trace = story.turn(f"s{session}", at_s, *parts, ("llm.first_token", 1.0))
            story.call(trace, at_s, *statuses)
            if cached:
                call = next(s for s in reversed(story.spans) if s.get("operation") == "chat")
                call["cache_read_tokens"] = cached
        story.turn(f"s{session}", 299.0, ("db.query", 1.0))


@pytest.mark.parametrize(
    ("limit", "demand", "sessions"),
    [
        ("llm.tokens=3600/min", 720.0, 4.0),
        ("llm.input_tokens=3600/min", 600.0, 5.0),
        ("llm.output_tokens=3600/min", 120.0, 29.0),
        ("llm.tokens=216000/h", 43_200.0, 4.0),
    ],
)
def test_every_dimension_has_its_own_demand(
    story: Any, limit: str, demand: float, sessions: float
) -> None:
    """Input and output apart or together, in the window that the user names."""
    asking(story, 200)
    given = quota_given(limit)
    (ceiling,) = [
        one for one in story.report(limits=[given]).ceilings if one.resource == given.resource
    ]
    assert ceiling.demand_per_session == pytest.approx(demand, rel=0.01)
    assert ceiling.sessions == sessions


@pytest.mark.parametrize(
    ("text", "window_s"),
    [
        ("llm.requests=5/s", 1.0),
        ("llm.requests=5/second", 1.0),
        ("llm.tokens=200000", 60.0),
        ("llm.tokens=200000/m", 60.0),
        ("llm.tokens=200000/minute", 60.0),
        ("llm.input_tokens=9/h", 3600.0),
        ("llm.output_tokens=9/hour", 3600.0),
        ("llm.requests=9 / day", 86_400.0),
    ],
)
def test_a_limit_by_hand_names_its_window(text: str, window_s: float) -> None:
    """A second, a minute (also where nothing is said), an hour, a day."""
    assert quota_given(text).window_s == window_s


def test_refusals_make_demand_a_lower_bound(story: Any) -> None:
    """Whoever slept after a 429 would have asked for more: sessions are at most what is said."""
    asking(story, 429, 200)
    report = story.report()
    (ceiling,) = report.ceilings
    assert ceiling.censored is True
    # A call every ten seconds, of which two were slept: 7.5 a minute of those free to ask.
    assert ceiling.demand_per_session == pytest.approx(7.5, rel=0.02)
    assert "demand is at least this, sessions at most" in ceiling.basis
    assert report.margin.statement == (
        "first limit: llm.requests at 7 live sessions [7, 9] or fewer; more pods will not help: "
        "the quota is the account's"
    )
    line = terminal._ceiling(ceiling)
    assert line[2:4] == ("≥ 7.51", "≤ 7 [7, 9]")


def test_a_call_that_failed_asked_for_as_much_as_the_others(story: Any) -> None:
    """What was attempted counts, not what succeeded: a refused call says no usage."""
    asking(story, 200)
    for span in story.spans:
        if span.get("operation") == "chat" and int(span["trace_id"], 16) % 5 == 0:
            span.update(input_tokens=None, output_tokens=None, status="ERROR")
    (ceiling,) = [
        one
        for one in story.report(limits=[quota_given("llm.tokens=3600/min")]).ceilings
        if one.resource == "llm.tokens"
    ]
    assert ceiling.demand_per_session == pytest.approx(720, rel=0.01)
    assert "36 calls that failed taken to be like the others" in ceiling.basis


def test_cached_input_is_named(story: Any) -> None:
    """Some providers do not charge it: the report says how it was counted."""
    asking(story, 200, cached=80)
    (ceiling,) = [
        one
        for one in story.report(limits=[quota_given("llm.tokens=3600/min")]).ceilings
        if one.resource == "llm.tokens"
    ]
    assert ceiling.basis.endswith(
        "80 % of input is cached: counted like the rest, which nothing recorded confirms"
    )
