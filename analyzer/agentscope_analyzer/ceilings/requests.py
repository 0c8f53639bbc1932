"""The ceilings of a provider's quotas: requests and tokens, in live sessions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from agentscope_analyzer.ceilings.charged import Charged, charged_of
from agentscope_analyzer.ceilings.demand import MINUTE_S, Demands
from agentscope_analyzer.ceilings.quotas import GIVEN, Quota
from agentscope_analyzer.ceilings.refusals import REFUSALS
from agentscope_analyzer.ceilings.resampling import Interval
from agentscope_analyzer.ceilings.window_rule import Z_1_PERCENT, Demand, sessions_within
from agentscope_analyzer.document import Ceiling, Rows
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import number, per_window, percent, span

MIN_SESSIONS: Final = 2
MIN_CALLS: Final = 10
NAMED_FAILURES: Final = 0.05
MIN_USAGE_SHARE: Final = 0.95
"""With usage known for less of the calls than this, tokens per session would be a guess."""
NAMED_CACHED: Final = 0.02
_WITH_USAGE: Final = {
    "requests": "calls",
    "tokens": "with_both",
    "input_tokens": "with_input",
    "output_tokens": "with_output",
}
_COUNTED: Final = {
    "tokens": ("input_tokens", "output_tokens"),
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
}


class QuotaCeilings:
    """The ceilings that quotas set, from one reading of what sessions asked for.

    Demand is logical calls: a retry is the same demand once more, and so is a call that failed in
    the end. Time slept after a refusal is time in which a session could not ask.

    A window that lasts longer than the run (a day's) was not seen to its end: how demand varies
    between days is open, so means are all there is, and the sessions are those live on average over
    the whole window. The basis says how long the quota lasts at the run's rate.
    """

    def __init__(
        self,
        asker: Asker,
        *,
        by_model: Rows,
        slept_s: float,
        failed_share: float,
        start_s: float,
        end_s: float,
        whole_s: float,
    ) -> None:
        self._asker = asker
        self._asked: Rows = asker.ask("ceilings/asked")
        self._demands = Demands(asker, start_s, end_s)
        self._by_model = by_model
        self._slept = slept_s > 0
        self._failed_share = failed_share
        self._length_s = end_s - start_s
        self._part = self._length_s / whole_s if whole_s > 0 else 0.0

    def of(self, quota: Quota) -> Ceiling | str:
        """The ceiling that one quota sets, or in words why the run cannot tell."""
        ours = [row for row in self._asked if _is_of(quota, row)]
        calls = sum(row["calls"] for row in ours)
        known = sum(row[_WITH_USAGE[quota.dimension]] for row in ours)
        if calls < MIN_CALLS or max((row["sessions"] for row in ours), default=0) < MIN_SESSIONS:
            return (
                f"{quota.resource}: not enough data ({calls} calls of known sessions; "
                f"{MIN_CALLS} calls of {MIN_SESSIONS} sessions are needed)"
            )
        if known < MIN_USAGE_SHARE * calls:
            return f"{quota.resource}: {calls - known} of {calls} calls say no token usage"
        charged = self._charged(quota, ours)
        seen = quota.window_s <= max(MINUTE_S, self._length_s)
        demand = self._demand(quota, charged.weight, seen, corrected=self._slept)
        rate = demand.within(quota.window_s) if demand is not None else None
        if demand is None or rate is None:
            return (
                f"{quota.resource}: not enough data (no call in a whole window of the steady run)"
            )
        found = sessions_within(quota.limit, *rate, z=Z_1_PERCENT if seen else 0.0)
        interval = _interval(quota, demand, seen)
        if self._slept and interval is not None:
            # What was refused is known only through the correction: let the interval reach to where
            # it would lie without one.
            plain = self._demand(quota, charged.weight, seen, corrected=False)
            bare = _interval(quota, plain, seen) if plain else None
            interval = Interval(interval.low, max(interval.high, bare.high if bare else 0.0))
        reached = self._reached(quota, ours)
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
            reached=reached,
            binding=False,
            basis="; ".join(self._basis(quota, demand, rate[0], charged, ours, seen, reached)),
            censored=self._held_back(quota),
            relief="more pods will not help: the quota is the account's",
        )

    def _demand(
        self, quota: Quota, cached_weight: float, seen: bool, *, corrected: bool
    ) -> Demand | None:
        return self._demands.of(
            quota.dimension,
            quota.provider,
            quota.model,
            every_model=quota.source == GIVEN,
            wanted_s=quota.window_s if seen else MINUTE_S,
            held_back="llm.rate_limit" if corrected else "",
            cached_weight=cached_weight,
        )

    def _charged(self, quota: Quota, ours: Rows) -> Charged:
        if quota.dimension not in ("tokens", "input_tokens"):
            return Charged()
        read = sum(row["input_tokens"] for row in ours)
        cached = sum(row["cached_tokens"] for row in ours)
        share = cached / read if read else 0.0
        return charged_of(self._asker, quota) if share >= NAMED_CACHED else Charged()

    def _reached(self, quota: Quota, ours: Rows) -> bool:
        """Whether the quota was used up in this run.

        A bucket that was full at first lets in a whole window's worth beside what it refills, so
        asking for more than it refills is not yet that; how full it was is known where it refused.
        """
        if quota.source == REFUSALS or quota.refused_at_zero:
            return True
        if quota.dimension != "requests":
            asked = sum(row[name] for row in ours for name in _COUNTED[quota.dimension])
            size = asked / sum(row["calls"] for row in ours)
            return quota.refused_with is not None and quota.refused_with < size
        rows = self._rows_of(quota)
        refused = sum(row["rate_limited"] or 0 for row in rows)
        if refused and self._sent_a_window(quota) >= quota.limit:
            return True
        return _sent(rows) >= quota.limit and self._drawn(quota) >= quota.limit

    def _held_back(self, quota: Quota) -> bool:
        return self._slept or quota.refused_at_zero > 0 or quota.source == REFUSALS

    def _rows_of(self, quota: Quota) -> Rows:
        return [row for row in self._by_model if _is_of(quota, row)]

    def _sent_a_window(self, quota: Quota) -> float:
        """Requests sent in a window at the whole run's rate."""
        whole_s = self._length_s / self._part if self._part > 0 else 0.0
        return _sent(self._rows_of(quota)) * quota.window_s / whole_s if whole_s else 0.0

    def _drawn(self, quota: Quota) -> float:
        """By how many requests what was let in ran ahead of what the quota refills."""
        rows = self._rows_of(quota)
        attempts = sum(row["attempts"] or 0 for row in rows)
        return float(
            self._asker.ask(
                "ceilings/drawn",
                provider=quota.provider,
                model=quota.model,
                every_model=int(quota.source == GIVEN),
                by_attempts=int(attempts >= sum(row["calls"] for row in rows)),
                per_second=quota.limit / quota.window_s,
            )[0]["most_drawn"]
        )

    def _basis(
        self,
        quota: Quota,
        demand: Demand,
        mean: float,
        charged: Charged,
        ours: Rows,
        seen: bool,
        reached: bool,
    ) -> list[str]:
        who = " ".join(part for part in (quota.provider, quota.model) if part)
        told = quota.says or f"from {quota.source}"
        source = f"limit of {who} {told}" if who else f"limit {told}"
        named = f"{quota.window}s" if quota.window[:1].isalpha() else f"{quota.window} windows"
        if seen:
            parts = [
                source,
                f"window rule, at most 1 % of {named} over",
                f"means alone say {math.floor(quota.limit / mean + 1e-9)}",
            ]
        else:
            parts = [
                source,
                self._lasts(quota, demand),
                f"sessions by the mean rule, live on average over a whole {quota.window}",
            ]
        parts.append(f"{demand.e.size} sessions")
        if seen and demand.window_s < quota.window_s:
            parts.append(f"extrapolated from {demand.window_s:.3g}-s windows")
        if seen and not reached and self._lasts_for_s(quota) is not None:
            parts.append(
                "asked for faster than it refills, which a full bucket bears for "
                f"{span(self._lasts_for_s(quota) or 0.0)}"
            )
        if quota.others:
            others = " and ".join(number(other) for other in quota.others)
            parts.append(f"the limit changed during the run: {others} was said of it too")
        if not quota.window_known:
            parts.append("taken as a limit per minute, which nothing recorded confirms")
        if quota.dimension != "requests":
            parts += self._usage_basis(charged, ours)
        if self._slept:
            parts.append("corrected for back-off; refused attempts taken as not charged")
        if self._held_back(quota):
            parts.append(
                "refusals held sessions back, so demand is at least this, sessions at most"
            )
        if self._failed_share >= NAMED_FAILURES:
            parts.append(
                f"{percent(self._failed_share)} of turns failed: whole ones would ask for more calls"
            )
        return parts

    def _usage_basis(self, charged: Charged, ours: Rows) -> list[str]:
        parts = ["usage tokens; what the provider charges may differ"]
        untold = sum(row["untold"] for row in ours)
        if untold:
            parts.append(f"{number(untold)} calls that failed taken to be like the others")
        read = sum(row["input_tokens"] for row in ours)
        cached = sum(row["cached_tokens"] for row in ours)
        if read and cached / read >= NAMED_CACHED:
            parts.append(f"{percent(cached / read)} of input is cached: {charged.says}")
        return parts

    def _lasts_for_s(self, quota: Quota) -> float | None:
        """How long a full bucket lasts at the run's rate of requests; None: for ever, or unknown."""
        ahead = self._sent_a_window(quota) - quota.limit
        if quota.dimension != "requests" or ahead <= 0:
            return None
        return quota.limit / ahead * quota.window_s

    def _lasts(self, quota: Quota, demand: Demand) -> str:
        """How long a full quota lasts if all goes on as in the run."""
        unit = "requests" if quota.dimension == "requests" else "tokens"
        whole_windows = int(self._length_s / demand.window_s + 1e-6)
        rate_per_s = float(demand.c.sum()) / (whole_windows * demand.window_s)
        told = f"{number(rate_per_s * MINUTE_S)} {unit} a minute as in this run"
        if rate_per_s * quota.window_s <= quota.limit:
            return f"{told} do not use it up in a {quota.window}"
        return f"{told} use it up in {span(quota.limit / rate_per_s)}, unless it refills meanwhile"


def _interval(quota: Quota, demand: Demand, seen: bool) -> Interval | None:
    """The ceiling's interval, from the window rule to the mean rule.

    A quota that is counted anew in each window carries what the window rule says; a bucket bears busy
    windows out of what it holds, and carries up to what means alone say. Few providers tell which of
    them they have. An inferred limit has an interval of its own, which widens this one.
    """
    length_s = quota.window_s
    z = Z_1_PERCENT if seen else 0.0
    least = demand.interval(quota.low or quota.limit, z=z, length_s=length_s)
    most = demand.interval(quota.high or quota.limit, z=0.0, length_s=length_s)
    return Interval(least.low, most.high) if least is not None and most is not None else None


def _sent(rows: Rows) -> int:
    """Requests that came to the quota: what was refused for billing never did."""
    return sum(max(row["attempts"] or 0, row["calls"]) - (row["billed"] or 0) for row in rows)


def _is_of(quota: Quota, row: Mapping[str, Any]) -> bool:
    return quota.source == GIVEN or (
        (quota.provider, quota.model) == (row["provider"], row["model"])
    )
