"""The latency model: draws match the profile that they are drawn from."""

from __future__ import annotations

import math
from statistics import median, quantiles, stdev

import pytest

from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs
from agentscope.lab.mock_llm.latency import (
    MAX_OUTPUT_TOKENS,
    PROFILES,
    Timing,
    draw_output_tokens,
    draw_timing,
)

WAITING = [name for name in PROFILES if name != "instant"]


@pytest.mark.parametrize("name", WAITING)
def test_medians_and_spreads_match_the_profile(name: str) -> None:
    """4 000 draws: medians within 3 %, the token time's sigma within 5 %."""
    profile = PROFILES[name]
    drawn = [draw_timing(profile, Draws(name, number), 0) for number in range(4_000)]
    lengths = [draw_output_tokens(profile, Draws(name, number)) for number in range(4_000)]

    assert median(t.first_s for t in drawn) == pytest.approx(profile.first_token_s.median, rel=0.03)
    assert median(t.token_s for t in drawn) == pytest.approx(profile.token_s.median, rel=0.03)
    assert median(lengths) == pytest.approx(profile.output_tokens.median, rel=0.03)
    spread = stdev(math.log(t.token_s) for t in drawn)
    assert spread == pytest.approx(profile.token_s.sigma, rel=0.05)


def test_the_first_token_has_the_tail_that_one_lognormal_lacks() -> None:
    """small-fast: p99 is several times what its lognormal says, as public measurements show."""
    profile = PROFILES["small-fast"]
    drawn = [draw_timing(profile, Draws(number), 0).first_s for number in range(20_000)]
    p99_s = quantiles(drawn, n=100)[98]

    lognormal_p99_s = profile.first_token_s.at(2.326)
    assert 2.5 < p99_s / lognormal_p99_s < 4.5


def test_answers_are_as_long_as_public_chat() -> None:
    """p50 129 and p99 601 tokens, within 5 %."""
    profile = PROFILES["frontier"]
    lengths = [draw_output_tokens(profile, Draws(number)) for number in range(20_000)]

    assert median(lengths) == pytest.approx(129, rel=0.05)
    assert quantiles(lengths, n=100)[98] == pytest.approx(601, rel=0.05)


def test_prompt_and_silent_tokens_delay_the_first_one() -> None:
    """Each uncached prompt token and each thought token adds its time; cached ones add none."""
    profile = PROFILES["large"]
    plain = draw_timing(profile, Draws("x"), uncached_tokens=0)
    prompted = draw_timing(profile, Draws("x"), uncached_tokens=10_000)
    thoughtful = draw_timing(profile, Draws("x"), uncached_tokens=0, silent_tokens=100)

    assert prompted.first_s - plain.first_s == pytest.approx(1.0)
    assert thoughtful.first_s - plain.first_s == pytest.approx(100 * plain.token_s)
    assert plain.token_s == prompted.token_s == thoughtful.token_s


@pytest.mark.parametrize(
    ("elapsed_s", "tokens"), [(0.99, 0), (1.0, 1), (1.25, 3), (10_000, MAX_OUTPUT_TOKENS)]
)
def test_tokens_are_due_one_after_another(elapsed_s: float, tokens: int) -> None:
    """The first after a second, the others 0.1 s apart, never more than an answer may have."""
    assert Timing(1.0, 0.1).due_tokens(elapsed_s) == tokens
    assert Timing(1.0, 0.0).due_tokens(elapsed_s) == (MAX_OUTPUT_TOKENS if tokens else 0)


def test_instant_is_instant() -> None:
    """No waiting at all."""
    assert draw_timing(PROFILES["instant"], Draws(1), uncached_tokens=9_999) == Timing(0, 0)


def test_knobs_without_a_sigma_are_exact() -> None:
    """``ttft=640`` is 640 ms for every request: no spread, no slow share, no prompt term."""
    latency = apply_knobs("profile=large;ttft=640;itl=0.02s;out=50", Behaviour()).latency

    for number in range(200):
        assert draw_timing(latency, Draws(number), uncached_tokens=5_000) == Timing(0.64, 0.02)
        assert draw_output_tokens(latency, Draws(number)) == 50


def test_knobs_with_a_sigma_spread() -> None:
    """``ttft=640/0.35``: median 640 ms, sigma 0.35, within 3 and 5 %."""
    latency = apply_knobs("ttft=640/0.35", Behaviour()).latency
    drawn = [draw_timing(latency, Draws(number), 0).first_s for number in range(4_000)]

    assert median(drawn) == pytest.approx(0.64, rel=0.03)
    assert stdev(map(math.log, drawn)) == pytest.approx(0.35, rel=0.05)


def test_draws_depend_on_their_key_and_name_alone() -> None:
    """Same parts, same value; other parts, or parts cut elsewhere, another one."""
    assert Draws("ab", "c").uniform("x") == Draws("ab", "c").uniform("x")
    others = {
        Draws("ab", "c").uniform("x"),
        Draws("a", "bc").uniform("x"),
        Draws("ab", "c").uniform("y"),
        Draws("ab", "c").below(1).uniform("x"),
    }
    assert len(others) == 4
