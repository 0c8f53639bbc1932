"""Faults that a provider has on bad days, at the rates that were asked for."""

from __future__ import annotations

from agentscope.lab.mock_llm.draws import Draws

HANG = "hang"
"""Nothing is ever answered."""
TRUNCATE = "truncate"
"""A stream ends in the middle, in good HTTP order, without a finish reason."""

Faults = tuple[tuple[str, float], ...]
"""Kind (a status, ``hang`` or ``truncate``) and its share of all requests."""


def parse_faults(text: str) -> Faults:
    """Read ``500:0.02,529:0.01,hang:0.001``; raises ValueError saying what is wrong."""
    faults = []
    for entry in filter(None, text.split(",")):
        kind, _, rate_text = entry.partition(":")
        if kind not in (HANG, TRUNCATE) and not (kind.isdecimal() and 400 <= int(kind) <= 599):
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
