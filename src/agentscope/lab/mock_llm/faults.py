"""Faults that a provider has on bad days: at the rates, or at the attempts, that were asked for."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from agentscope.lab.mock_llm.draws import Draws

HANG = "hang"
"""Nothing is ever answered."""
TRUNCATE = "truncate"
"""A stream ends in the middle, in good HTTP order, without a finish reason."""

SERVED = "200"
"""In a script: no fault at this attempt."""
MAX_SCRIPT = 100
_MAX_COUNTED = 10_000
"""Requests whose attempts are counted here; the one that came longest ago is forgotten."""

Faults = tuple[tuple[str, float], ...]
"""Kind (a status, ``hang`` or ``truncate``) and its share of all requests."""


def parse_faults(text: str) -> Faults:
    """Read ``500:0.02,529:0.01,hang:0.001``; raises ValueError saying what is wrong."""
    faults = []
    for entry in filter(None, text.split(",")):
        kind, _, rate_text = entry.partition(":")
        if not _is_fault(kind):
            msg = f"unknown fault {kind!r}: write a status from 400 to 599, {HANG} or {TRUNCATE}"
            raise ValueError(msg)
        try:
            rate = float(rate_text)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 1:
            msg = f"fault {entry!r} needs a rate from 0 to 1: write {kind}:0.01"
            raise ValueError(msg)
        faults.append((kind, rate))
    if sum(rate for _, rate in faults) > 1 + 1e-9:
        msg = f"the rates of {text!r} add up to more than 1"
        raise ValueError(msg)
    return tuple(faults)


def draw_fault(faults: Faults, draws: Draws) -> str | None:
    """The fault of one attempt, None for most."""
    if not faults:
        return None
    healthy = max(0.0, 1 - sum(rate for _, rate in faults))
    return draws.choose("fault", (*faults, (None, healthy)))


def parse_script(text: str) -> tuple[str, ...]:
    """Read ``429,429,200``; raises ValueError saying what is wrong."""
    script = tuple(text.split(","))
    for kind in script:
        if kind != SERVED and not _is_fault(kind):
            msg = f"unknown status {kind!r}: write 200, 400 to 599, {HANG} or {TRUNCATE}"
            raise ValueError(msg)
    if len(script) > MAX_SCRIPT:
        msg = f"{len(script)} attempts are too many: write {MAX_SCRIPT} at most"
        raise ValueError(msg)
    return script


class Attempts:
    """Which attempt of its request each request is.

    Client libraries of OpenAI, Anthropic and Amazon say it in a header. Where no header says it,
    equal requests are taken for attempts of one another, and a script that has come to its end begins
    again.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def scripted(self, script: tuple[str, ...], told: bytes | None, request: bytes) -> str | None:
        """What the script says of this attempt: a fault, or None to answer.

        ``told`` is the header's value: how often the request was sent before.
        """
        if told is not None and told.isdigit() and len(told) < 10:
            kind = script[min(int(told), len(script) - 1)]
        else:
            kind = script[self._count(request) % len(script)]
        return None if kind == SERVED else kind

    def _count(self, request: bytes) -> int:
        """How often the same request came before."""
        digest = blake2b(request, digest_size=16).digest()
        count = self._counts.pop(digest, 0)
        self._counts[digest] = count + 1
        if len(self._counts) > _MAX_COUNTED:
            self._counts.popitem(last=False)
        return count


def _is_fault(kind: str) -> bool:
    return kind in (HANG, TRUNCATE) or (
        len(kind) == 3 and kind.isascii() and kind.isdecimal() and 400 <= int(kind) <= 599
    )
