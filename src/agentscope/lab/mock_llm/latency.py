"""How long a model takes: to its first token, and from token to token.

Time to first token is lognormal, with a share of slow requests beside it, because a lognormal
alone, fitted to p50 and p95, says a p99 that is 1.0 to 4.4 times too small; plus a term for
each prompt token that no cache holds. The time between tokens is drawn once for a request.

Where the figures come from. Time to first token: public measurements of modelstats.ai, one US
site, 24 hours (p50 / p95 / p99 in ms: GPT-4o mini 536 / 844 / 4461, GPT-4o 639 / 1144 / 4517,
Sonnet 4.6 941 / 2939 / 4787, Opus 4.6 1626 / 2420 / 3797). Lengths of answers: public production
chat, p50 129 and p99 601 tokens, a lognormal through both. The times between tokens are typical
published speeds; the terms for prompt tokens are assumptions of ours (10 000 to 50 000 tokens
a second), since nobody publishes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agentscope.lab.mock_llm.draws import Draws

MAX_OUTPUT_TOKENS = 16_384
"""No answer is longer, whatever is drawn."""


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A lognormal distribution by its median; with sigma 0 it is always the median."""

    median: float
    sigma: float = 0.0

    def at(self, normal: float) -> float:
        """The value that belongs to a draw of the standard normal distribution."""
        return self.median * math.exp(self.sigma * normal)


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """How a class of models answers."""

    doc: str
    first_token_s: Lognormal
    token_s: Lognormal
    output_tokens: Lognormal
    tail_share: float = 0.0
    """Share of requests whose first token is slow."""
    tail_factor: float = 1.0
    """How many times slower those are."""
    prompt_token_s: float = 0.0
    """Added to the first token for each prompt token that no cache holds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the tokens of one answer are due."""

    first_s: float
    token_s: float

    def due_s(self, token: int) -> float:
        """Seconds after the request at which a token is due, the first being number 0."""
        return self.first_s + token * self.token_s

    def due_tokens(self, elapsed_s: float) -> int:
        """How many tokens have been due, so long after the request."""
        if elapsed_s < self.first_s:
            return 0
        if self.token_s <= 0:
            return MAX_OUTPUT_TOKENS
        return min(MAX_OUTPUT_TOKENS, int((elapsed_s - self.first_s) / self.token_s) + 1)


_CHAT_LENGTH = Lognormal(129, 0.66)

PROFILES: dict[str, LatencyProfile] = {
    "small-fast": LatencyProfile(
        "small hosted models: first token 0.5 s, 10 ms a token",
        Lognormal(0.5, 0.28), Lognormal(0.010, 0.12), _CHAT_LENGTH,
        tail_share=0.02, tail_factor=7, prompt_token_s=0.00002,
    ),
    "frontier": LatencyProfile(
        "frontier models: first token 0.8 s, 16 ms a token",
        Lognormal(0.8, 0.35), Lognormal(0.016, 0.12), _CHAT_LENGTH,
        tail_share=0.02, tail_factor=5, prompt_token_s=0.00005,
    ),
    "large": LatencyProfile(
        "the largest models: first token 1.6 s, 25 ms a token",
        Lognormal(1.6, 0.24), Lognormal(0.025, 0.12), _CHAT_LENGTH,
        tail_share=0.02, tail_factor=2.3, prompt_token_s=0.0001,
    ),
    "long-synthesis": LatencyProfile(
        "as frontier, with answers of 2 000 to 4 000 tokens",
        Lognormal(0.8, 0.35), Lognormal(0.016, 0.12), Lognormal(2_800, 0.2),
        tail_share=0.02, tail_factor=5, prompt_token_s=0.00005,
    ),
    "instant": LatencyProfile(
        "no waiting at all, for tests of logic",
        Lognormal(0), Lognormal(0), _CHAT_LENGTH,
    ),
}  # fmt: skip
"""The profiles, by the name that ``--profile`` and the knob ``profile=`` take."""


def draw_timing(
    profile: LatencyProfile, draws: Draws, uncached_tokens: int, silent_tokens: int = 0
) -> Timing:
    """When an answer's tokens are due; ``silent_tokens`` are thought before the first is seen."""
    first_s = profile.first_token_s.at(draws.normal("first_token"))
    if draws.uniform("tail") < profile.tail_share:
        first_s *= profile.tail_factor
    token_s = profile.token_s.at(draws.normal("token"))
    first_s += uncached_tokens * profile.prompt_token_s + silent_tokens * token_s
    return Timing(first_s, token_s)


def draw_output_tokens(profile: LatencyProfile, draws: Draws) -> int:
    """How long an answer in text would be if nothing limited it."""
    drawn = round(profile.output_tokens.at(draws.normal("output_tokens")))
    return min(max(drawn, 1), MAX_OUTPUT_TOKENS)
