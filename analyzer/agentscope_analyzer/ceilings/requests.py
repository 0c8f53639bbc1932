"""The ceilings of a provider's quotas: requests and tokens, in live sessions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from agentscope_analyzer.ceilings.demand import MINUTE_S, LiveSessions, demand_of
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.ceilings.window_rule import Z_1_PERCENT, Demand, Interval, sessions_within
from agentscope_analyzer.document import Ceiling
from agentscope_analyzer.wording import number, per_window, percent, span

NS = 1e9
MIN_SESSIONS = 2
MIN_CALLS = 10
NAMED_FAILURES = 0.05
MIN_USAGE_SHARE = 0.95
"""With usage known for less of the calls than this, tokens per session would be a guess."""


def quota_ceiling(
    quota: Quota,
    *,
    sessions: LiveSessions,
    calls: Iterable[Mapping[str, Any]],
    backoff: Iterable[Mapping[str, Any]],
    attempts: int,
    failed_share: float,
    start_s: float,
    end_s: float,
) -> Ceiling | str:
    """The ceiling that one quota sets, or in words why the run cannot tell.

    ``calls`` are rows of ``llm/calls_of_sessions``, ``backoff`` those of ``turns/cause_times`` for
    the quota's cause. Demand is logical calls: a retry is the same demand once more.

    A window that lasts longer than the run (a day's) was not seen to its end: how demand varies
    between days is open, so means are all there is, and the sessions are those live on average over
    the whole window. The basis says how long the quota lasts at the run's rate.
    """
    ours = [row for row in calls if _is_of(quota, row)]
    asked = [
        (row["session"], row["start_ns"] / NS, amount)
        for row in ours
        if (amount := _amount(quota.dimension, row)) is not None
    ]
    if len(ours) < MIN_CALLS or len({call[0] for call in asked}) < MIN_SESSIONS:
        return (
            f"{quota.resource}: not enough data ({len(ours)} calls of known sessions; "
            f"{MIN_CALLS} calls of {MIN_SESSIONS} sessions are needed)"
        )
    if len(asked) < MIN_USAGE_SHARE * len(ours):
        return f"{quota.resource}: {len(ours) - len(asked)} of {len(ours)} calls say no token usage"
    held = [(row["session"], row["start_ns"] / NS, row["end_ns"] / NS) for row in backoff]
    seen = quota.window_s <= max(MINUTE_S, end_s - start_s)
    wanted_s = quota.window_s if seen else MINUTE_S
    demand = demand_of(sessions, asked, held, start_s, end_s, wanted_s)
    rate = demand.within(quota.window_s) if demand is not None else None
    if demand is None or rate is None:
        return f"{quota.resource}: not enough data (no call in a whole window of the steady run)"
    z = Z_1_PERCENT if seen else 0.0
    found = sessions_within(quota.limit, *rate, z=z)
    interval = demand.interval(quota.limit, z=z, length_s=quota.window_s)
    if held and interval is not None:
        # What was refused is known only through the correction: let the interval reach to where
        # it would lie without one.
        plain = demand_of(sessions, asked, [], start_s, end_s, wanted_s)
        bare = None
        if plain is not None:
            bare = plain.interval(quota.limit, z=z, length_s=quota.window_s)
        interval = Interval(interval.low, max(interval.high, bare.high if bare else 0.0))
    unit = "requests" if quota.dimension == "requests" else "tokens"
    return Ceiling(
        resource=quota.resource,
        dimension=quota.window,
        limit=quota.limit,
        unit=unit + per_window(quota.window_s),
        demand_per_session=rate[0],
        sessions=float(math.floor(found + 1e-9)),
        low=float(math.floor(interval.low + 1e-9)) if interval else None,
        high=float(math.floor(interval.high + 1e-9)) if interval else None,
        reached=quota.refused_at_zero > 0 or _attempted(quota, attempts, end_s - start_s),
        binding=False,
        basis=_basis(
            quota,
            demand,
            rate[0],
            bool(held),
            failed_share,
            None if seen else _lasts(quota, asked, unit, start_s, end_s),
        ),
    )


def _is_of(quota: Quota, call: Mapping[str, Any]) -> bool:
    return quota.source == "--limit" or (
        (quota.provider, quota.model) == (call["provider"], call["model"])
    )


def _amount(dimension: str, call: Mapping[str, Any]) -> float | None:
    read, written = call["input_tokens"], call["output_tokens"]
    known = {
        "requests": 1,
        "tokens": None if read is None or written is None else read + written,
        "input_tokens": read,
        "output_tokens": written,
    }[dimension]
    return None if known is None else float(known)


def _attempted(quota: Quota, attempts: int, length_s: float) -> bool:
    """Requests were sent at the quota's rate or above; tokens sent in vain are not known.

    A window that is longer than the run has room for a busy hour: there it takes as many requests
    as the whole quota allows.
    """
    windows = length_s / quota.window_s
    if quota.window_s > MINUTE_S:
        windows = max(1.0, windows)
    return quota.dimension == "requests" and attempts >= quota.limit * windows


def _lasts(
    quota: Quota,
    asked: list[tuple[str, float, float]],
    unit: str,
    start_s: float,
    end_s: float,
) -> str:
    """How long a full quota lasts if all goes on as in the run."""
    rate_per_s = sum(amount for _, at_s, amount in asked if start_s <= at_s < end_s) / (
        end_s - start_s
    )
    told = f"{number(rate_per_s * MINUTE_S)} {unit} a minute as in this run"
    if rate_per_s * quota.window_s <= quota.limit:
        return f"{told} do not use it up in a {quota.window}"
    return f"{told} use it up in {span(quota.limit / rate_per_s)}, unless it refills meanwhile"


def _basis(
    quota: Quota,
    demand: Demand,
    mean: float,
    corrected: bool,
    failed_share: float,
    lasts: str | None,
) -> str:
    who = " ".join(part for part in (quota.provider, quota.model) if part)
    source = f"limit of {who} from {quota.source}" if who else f"limit from {quota.source}"
    named = f"{quota.window}s" if quota.window[:1].isalpha() else f"{quota.window} windows"
    if lasts is None:
        parts = [
            source,
            f"window rule, at most 1 % of {named} over",
            f"means alone say {math.floor(quota.limit / mean + 1e-9)}",
        ]
    else:
        parts = [
            source,
            lasts,
            f"sessions by the mean rule, live on average over a whole {quota.window}",
        ]
    parts.append(f"{demand.e.size} sessions")
    if lasts is None and demand.window_s < quota.window_s:
        parts.append(f"extrapolated from {demand.window_s:.3g}-s windows")
    if not quota.window_known:
        parts.append("taken as a limit per minute, which nothing recorded confirms")
    if quota.dimension != "requests":
        parts.append("usage tokens; what the provider charges may differ")
    if corrected:
        parts.append("corrected for back-off; refused attempts taken as not charged")
    if failed_share >= NAMED_FAILURES:
        parts.append(
            f"{percent(failed_share)} of turns failed: whole ones would ask for more calls"
        )
    return "; ".join(parts)
