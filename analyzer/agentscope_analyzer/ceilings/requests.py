"""The ceilings of a provider's quotas: requests and tokens, in live sessions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from agentscope_analyzer.ceilings.charged import Charged, charged_of
from agentscope_analyzer.ceilings.demand import MINUTE_S, Demands
from agentscope_analyzer.ceilings.quotas import GIVEN, Quota
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
        z = Z_1_PERCENT if seen else 0.0
        found = sessions_within(quota.limit, *rate, z=z)
        interval = demand.interval(quota.limit, z=z, length_s=quota.window_s)
        if self._slept and interval is not None:
            # What was refused is known only through the correction: let the interval reach to where
            # it would lie without one.
            plain = self._demand(quota, charged.weight, seen, corrected=False)
            bare = plain.interval(quota.limit, z=z, length_s=quota.window_s) if plain else None
            interval = Interval(interval.low, max(interval.high, bare.high if bare else 0.0))
        reached = quota.refused_at_zero > 0 or self._attempted(quota)
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
            basis="; ".join(self._basis(quota, demand, rate[0], charged, ours, seen)),
            censored=self._slept or quota.refused_at_zero > 0,
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

    def _attempted(self, quota: Quota) -> bool:
        """Requests were sent at the quota's rate or above; tokens sent in vain are not known.

        A window that is longer than the run has room for a busy hour: there it takes as many
        requests as the whole quota allows.
        """
        windows = self._length_s / quota.window_s
        if quota.window_s > MINUTE_S:
            windows = max(1.0, windows)
        rows = [row for row in self._by_model if _is_of(quota, row)]
        # What was refused for billing never came to the quota.
        sent = sum(max(row["attempts"] or 0, row["calls"]) - (row["billed"] or 0) for row in rows)
        return quota.dimension == "requests" and round(self._part * sent) >= quota.limit * windows

    def _basis(
        self,
        quota: Quota,
        demand: Demand,
        mean: float,
        charged: Charged,
        ours: Rows,
        seen: bool,
    ) -> list[str]:
        who = " ".join(part for part in (quota.provider, quota.model) if part)
        source = f"limit of {who} from {quota.source}" if who else f"limit from {quota.source}"
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
        if not quota.window_known:
            parts.append("taken as a limit per minute, which nothing recorded confirms")
        if quota.dimension != "requests":
            parts += self._usage_basis(charged, ours)
        if self._slept:
            parts.append("corrected for back-off; refused attempts taken as not charged")
        if self._slept or quota.refused_at_zero:
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

    def _lasts(self, quota: Quota, demand: Demand) -> str:
        """How long a full quota lasts if all goes on as in the run."""
        unit = "requests" if quota.dimension == "requests" else "tokens"
        whole_windows = int(self._length_s / demand.window_s + 1e-6)
        rate_per_s = float(demand.c.sum()) / (whole_windows * demand.window_s)
        told = f"{number(rate_per_s * MINUTE_S)} {unit} a minute as in this run"
        if rate_per_s * quota.window_s <= quota.limit:
            return f"{told} do not use it up in a {quota.window}"
        return f"{told} use it up in {span(quota.limit / rate_per_s)}, unless it refills meanwhile"


def _is_of(quota: Quota, row: Mapping[str, Any]) -> bool:
    return quota.source == GIVEN or (
        (quota.provider, quota.model) == (row["provider"], row["model"])
    )
