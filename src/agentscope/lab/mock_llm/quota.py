"""Requests-per-minute and tokens-per-minute quotas, as providers' limiters keep them.

A quota is a bucket that holds one minute's worth and is refilled continuously. Of 375 publicly
recorded responses of OpenAI 374 fit reset = used / limit · 60 s exactly, and its published 429
texts fit wait = (used + requested - limit) / limit · 60 s to the millisecond. Anthropic documents
the same kind of bucket for requests, input and output tokens, the latter two charged by estimate
and corrected once the figures are known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens"]
Charge = Mapping[Dimension, int]
"""What a request takes of each dimension, in the order in which they are asked."""

MINUTE_NS = 60_000_000_000
_MAX_QUOTAS = 10_000
"""Buckets of more keys and models are not kept: the one that was idle longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a bucket says of itself at one moment."""

    limit: int
    remaining: int
    reset_ns: int
    """Until the bucket is full again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not admitted."""

    dimension: Dimension
    limit: int
    used: int
    requested: int
    wait_ns: int
    """Until the bucket would admit the same request, if nobody else comes."""
    too_large: bool = False
    """No waiting helps: it asks for more than a full bucket holds."""


class Bucket:
    """A bucket of ``limit`` units that refills itself within ``window_ns``.

    Kept in whole numbers, as units times the window: nothing is rounded however often it is
    charged, and twenty requests never become twenty-one.
    """

    __slots__ = ("_at_ns", "_used", "_window_ns", "limit")

    def __init__(self, limit: int, now_ns: int, window_ns: int = MINUTE_NS) -> None:
        self.limit = limit
        self._window_ns = window_ns
        self._used = 0
        self._at_ns = now_ns

    def charge(self, amount: int, now_ns: int) -> None:
        """Take ``amount`` out, whether or not it is there: ask ``wait_ns`` before."""
        self._used = self._used_at(now_ns) + amount * self._window_ns
        self._at_ns = max(now_ns, self._at_ns)

    def correct(self, amount: int, now_ns: int) -> None:
        """Take ``amount`` more than was charged, or give back what is below 0.

        What is given back is there at once, and a bucket is never more than full.
        """
        self._used = max(0, self._used_at(now_ns) + amount * self._window_ns)
        self._at_ns = max(now_ns, self._at_ns)

    def wait_ns(self, amount: int, now_ns: int) -> int:
        """Nanoseconds until ``amount`` is there; 0 if it is."""
        missing = self._used_at(now_ns) + (amount - self.limit) * self._window_ns
        return max(0, -(-missing // self.limit))

    def used(self, now_ns: int) -> int:
        """Units in use, a part of one counted as one."""
        return -(-self._used_at(now_ns) // self._window_ns)

    def reading(self, now_ns: int) -> Reading:
        """Limit, what remains, and when it is full again."""
        reset_ns = -(-self._used_at(now_ns) // self.limit)
        return Reading(self.limit, max(0, self.limit - self.used(now_ns)), reset_ns)

    def _used_at(self, now_ns: int) -> int:
        return max(0, self._used - self.limit * max(0, now_ns - self._at_ns))


class Quota:
    """The quota of one API key for one model: a bucket for each dimension that has a limit."""

    __slots__ = ("_buckets",)

    def __init__(self, limits: Mapping[Dimension, int], now_ns: int) -> None:
        self._buckets = {name: Bucket(limit, now_ns) for name, limit in limits.items()}

    def admit(self, charge: Charge, now_ns: int) -> Refusal | None:
        """Charge one request, or charge nothing and say why not."""
        wanted = [(d, self._buckets[d], n) for d, n in charge.items() if d in self._buckets]
        for dimension, bucket, amount in wanted:
            wait_ns = bucket.wait_ns(amount, now_ns)
            if wait_ns > 0:
                used, large = bucket.used(now_ns), amount > bucket.limit
                return Refusal(dimension, bucket.limit, used, amount, wait_ns, large)
        for _, bucket, amount in wanted:
            bucket.charge(amount, now_ns)
        return None

    def correct(self, dimension: Dimension, amount: int, now_ns: int) -> None:
        """Take ``amount`` more of a dimension than was charged, or less if it is below 0."""
        bucket = self._buckets.get(dimension)
        if bucket is not None:
            bucket.correct(amount, now_ns)

    def readings(self, now_ns: int) -> dict[Dimension, Reading]:
        """What each bucket says of itself."""
        return {name: bucket.reading(now_ns) for name, bucket in self._buckets.items()}


class Grant:
    """What one admitted request was charged, until it is known what it really used.

    Only what a provider corrects is ever given back: the other dimensions stay as charged.
    """

    __slots__ = ("_clock_ns", "_open", "_quota", "corrected_tokens")

    def __init__(
        self,
        quota: Quota,
        charge: Charge,
        clock_ns: Callable[[], int],
        corrected: tuple[Dimension, ...] = (),
    ) -> None:
        self._quota = quota
        self._clock_ns = clock_ns
        self._open = {name: charge[name] for name in corrected if name in charge}
        self.corrected_tokens = 0
        """What corrections have added so far; below 0 for what was given back."""

    def settle(self, dimension: Dimension, actual: int) -> None:
        """Correct a charge to what was used; once, and only where the provider does it."""
        charged = self._open.pop(dimension, None)
        if charged is not None and actual != charged:
            self._quota.correct(dimension, actual - charged, self._clock_ns())
            self.corrected_tokens += actual - charged

    def close(self) -> None:
        """Give back what nothing was used of: the request failed before it was served."""
        for dimension in tuple(self._open):
            self.settle(dimension, 0)


class Quotas:
    """The quotas of all keys and models."""

    def __init__(self, limits: Mapping[Dimension, int], clock_ns: Callable[[], int]) -> None:
        self.clock_ns = clock_ns
        self.forgotten = 0
        self._limits = limits
        self._quotas: OrderedDict[tuple[str, str], Quota] = OrderedDict()

    def of(self, api_key: str, model: str) -> Quota:
        """The quota that this key has for this model."""
        quota = self._quotas.get((api_key, model))
        if quota is None:
            quota = self._quotas[api_key, model] = Quota(self._limits, self.clock_ns())
            if len(self._quotas) > _MAX_QUOTAS:
                self._quotas.popitem(last=False)
                self.forgotten += 1
        else:
            self._quotas.move_to_end((api_key, model))
        return quota


def retry_headers(refusal: Refusal, in_ms: bool = True) -> list[tuple[bytes, bytes]]:
    """``retry-after`` and ``retry-after-ms``, rounded up: who waits that long is admitted.

    Many gateways and deployments give whole seconds only: ``in_ms`` False.
    """
    if refusal.too_large:
        return []
    seconds, milliseconds = -(-refusal.wait_ns // 10**9), -(-refusal.wait_ns // 10**6)
    headers = [(b"retry-after", b"%d" % seconds)]
    if in_ms:
        headers.append((b"retry-after-ms", b"%d" % milliseconds))
    return headers


def duration_text(duration_ns: int) -> str:
    """A duration as OpenAI writes it, to the nearest millisecond: 6ms, 1.2s, 6m0s, 1h0m0s."""
    total_ms = (duration_ns + 500_000) // 1_000_000
    if total_ms == 0:
        return "0s"
    if total_ms < 1000:
        return f"{total_ms}ms"
    minutes, left_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{left_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
