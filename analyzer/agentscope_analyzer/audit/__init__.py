"""What is read of a run to judge whether its figures can be believed. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentscope_analyzer.audit.apart import Apart, apart_of
from agentscope_analyzer.audit.clocks import ClockPair, ClockStep, clock_pairs_of, clock_step_of
from agentscope_analyzer.audit.kinds import Kinds, kinds_of
from agentscope_analyzer.audit.losses import Seen, sample_ratio, seen_of
from agentscope_analyzer.audit.models import Addresses, addresses_of
from agentscope_analyzer.audit.piles import Pile, piles_of
from agentscope_analyzer.audit.sending import ByMoment, by_moment_of
from agentscope_analyzer.audit.trends import Live, Trend, trends_of
from agentscope_analyzer.audit.warm_up import WarmUp, warm_up_of
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.stretches import NS

__all__ = [
    "Addresses",
    "Apart",
    "Audit",
    "ByMoment",
    "ClockPair",
    "ClockStep",
    "Kinds",
    "Pile",
    "Seen",
    "Trend",
    "WarmUp",
    "audit_of",
    "sample_ratio",
    "warm_up_of",
]


@dataclass(frozen=True)
class Audit:
    """The run's own figures about itself; None or empty where there is not enough data."""

    sending: Mapping[str, Any]
    """The row of ``load/sending``."""
    by_moment: ByMoment | None
    period: Mapping[str, Any]
    """The row of ``load/period``."""
    clock_step: ClockStep | None
    clock_pairs: tuple[ClockPair, ...]
    pace: Mapping[str, Any]
    """The row of ``run/pace``."""
    warm_up: WarmUp | None
    trends: tuple[Trend, ...]
    seen: tuple[Seen, ...]
    piles: tuple[Pile, ...]
    addresses: Addresses | None
    kinds: Kinds | None
    apart: Apart | None


def audit_of(
    asker: Asker,
    *,
    live: Live,
    warm_up: WarmUp | None,
    from_s: float,
    to_s: float,
    ahead_s: float,
    has_stages: bool,
    instances: int,
    manifests: Sequence[Mapping[str, Any]],
) -> Audit:
    """Ask for all of it. [from_s, to_s] is the steady part of the run, warm-up left out.

    ``ahead_s`` is by how much the service's clock is ahead of the load generator's; without
    ``has_stages`` nobody says when all users were there.
    """
    sending = asker.ask("load/sending")[0]
    pace = asker.ask("run/pace")[0]
    since_ns = 0 if warm_up is None else round(warm_up.end_s * NS)
    return Audit(
        sending=sending,
        by_moment=by_moment_of(
            asker, from_s=from_s - ahead_s, to_s=to_s - ahead_s, requests=sending["requests"]
        ),
        period=asker.ask("load/period", ahead_s=ahead_s)[0],
        clock_step=clock_step_of(asker),
        clock_pairs=clock_pairs_of(asker) if instances > 1 else (),
        pace=pace,
        warm_up=warm_up,
        trends=trends_of(
            asker, live=live, pace=pace, from_s=from_s, to_s=to_s, skip_ramp=not has_stages
        ),
        seen=seen_of(asker, manifests),
        piles=piles_of(asker),
        addresses=addresses_of(asker),
        kinds=kinds_of(asker, since_ns=since_ns),
        apart=apart_of(asker) if instances > 1 else None,
    )
