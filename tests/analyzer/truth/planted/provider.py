"""A provider of a model: how long it takes, how often it fails, what its quotas refuse."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from planted.clockwork import Event, World

MINUTE_S = 60.0


@dataclass
class Model:
    """How a model answers."""

    name: str = "gpt-4o-mini"
    first_s: float = 0.4
    """Median time until its first token."""
    spread: float = 0.3
    """Of the logarithm of that time."""
    tokens_per_s: float = 100.0
    quotas: dict[str, float] = field(default_factory=dict)
    """Limits a minute, by dimension: requests, tokens, input_tokens, output_tokens."""
    by_the_minute: bool = False
    """Quotas are counted by the minute of the clock, not as buckets that refill all the time."""
    says_when: bool = True
    """Refusals come with a retry-after header."""
    starts_at: float = 1.0
    """How full its buckets are at first, as part of the limit: others may have used the quota."""
    fails: float = 0.0
    """Share of requests that are answered 503 after ``fails_after_s``."""
    fails_after_s: float = 1.0


class Bucket:
    """A quota as token bucket: a minute's worth at most, refilled continuously or once a minute."""

    def __init__(self, limit: float, full: float = 1.0, *, by_the_minute: bool = False) -> None:
        self.limit = limit
        self._level = limit * full
        self._at_s = 0.0
        self._by_the_minute = by_the_minute

    def level(self, at_s: float) -> float:
        """What is left at a moment."""
        if self._by_the_minute:
            if at_s // MINUTE_S > self._at_s // MINUTE_S:
                self._level = self.limit
            self._at_s = at_s
            return self._level
        self._level = min(self.limit, self._level + (at_s - self._at_s) * self.limit / MINUTE_S)
        self._at_s = at_s
        return self._level

    def enough_in(self, amount: float, at_s: float) -> float:
        """After how many seconds there will be enough, if nobody else asks; 0 or less if there is."""
        short = min(amount, self.limit) - self.level(at_s)
        if self._by_the_minute and short > 0:
            return MINUTE_S - at_s % MINUTE_S
        return short / self.limit * MINUTE_S

    def full_in(self, at_s: float) -> float:
        """After how many seconds it is full again."""
        return self.enough_in(self.limit, at_s)

    def take(self, amount: float) -> None:
        """Charge it; ``level`` was asked at the same moment."""
        self._level -= amount


class Asked(NamedTuple):
    """A request as it came: when, of which session, how many tokens it and its answer have."""

    at_s: float
    session: str
    input_tokens: int
    output_tokens: int

    def amount(self, dimension: str) -> float:
        """What it takes of a quota."""
        return {
            "requests": 1.0,
            "tokens": float(self.input_tokens + self.output_tokens),
            "input_tokens": float(self.input_tokens),
            "output_tokens": float(self.output_tokens),
        }[dimension]


@dataclass
class Answer:
    """What comes back: the status at once, the rest when its time has come."""

    status: int
    headers: dict[str, str]
    first: Event
    last: Event
    ends_s: float
    """When ``last`` will happen: the future is known in a simulation."""


class Provider:
    """All callers share its quotas."""

    def __init__(self, world: World, draw: random.Random, model: Model) -> None:
        self.model = model
        self._world = world
        self._draw = draw
        self.buckets = {
            name: Bucket(limit, model.starts_at, by_the_minute=model.by_the_minute)
            for name, limit in model.quotas.items()
        }
        self.asked: list[Asked] = []
        self.refused = 0
        self.in_flight = 0

    def ask(self, session: str, input_tokens: int, output_tokens: int, *, streamed: bool) -> Answer:
        """One HTTP request."""
        now_s, draw, model = self._world.now_s, self._draw, self.model
        asked = Asked(now_s, session, input_tokens, output_tokens)
        self.asked.append(asked)
        wait_s = 0.0
        for name, bucket in self.buckets.items():
            wait_s = max(wait_s, bucket.enough_in(asked.amount(name), now_s))
        network_s = draw.uniform(0.01, 0.04)
        if wait_s > 0:
            self.refused += 1
            return self._answered(429, network_s, network_s, wait_s, streamed=False)
        if draw.random() < model.fails:
            took_s = model.fails_after_s * draw.uniform(0.5, 1.5)
            return self._answered(503, took_s, took_s, 0.0, streamed=False)
        for name, bucket in self.buckets.items():
            bucket.take(min(asked.amount(name), bucket.limit))
        first_s = network_s + model.first_s * math.exp(draw.gauss(0, model.spread))
        last_s = first_s + output_tokens / (model.tokens_per_s * draw.uniform(0.8, 1.2))
        return self._answered(200, first_s, last_s, 0.0, streamed=streamed)

    def _answered(
        self, status: int, first_s: float, last_s: float, wait_s: float, *, streamed: bool
    ) -> Answer:
        headers: dict[str, str] = {}
        for name, bucket in self.buckets.items():
            left = max(0.0, bucket.level(self._world.now_s))
            says = {
                "limit": f"{bucket.limit:g}",
                "remaining": f"{int(left)}",
                "reset": f"{bucket.full_in(self._world.now_s):.3f}s",
            }
            kind = name.replace("_", "-")
            vendor = "x-ratelimit-{1}-{0}"
            if name not in ("requests", "tokens"):
                vendor = "anthropic-ratelimit-{0}-{1}"
            headers |= {vendor.format(kind, part): value for part, value in says.items()}
        if status == 429 and self.model.says_when:
            headers["retry-after"] = str(math.ceil(wait_s))
        if status == 200:
            worked_s = first_s if streamed else last_s
            headers["openai-processing-ms"] = str(round(worked_s * 980))
        self.in_flight += 1
        first = self._world.after(first_s)
        last = self._world.after(last_s)
        last.then(self._gone)
        return Answer(status, headers, first, last, self._world.now_s + last_s)

    def _gone(self) -> None:
        self.in_flight -= 1
