"""At how many live sessions each limit of the system is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentscope_analyzer.ceilings.demand import LiveSessions, merged
from agentscope_analyzer.ceilings.pools import pool_ceiling
from agentscope_analyzer.ceilings.quotas import Quota, quotas_of
from agentscope_analyzer.ceilings.requests import quota_ceiling
from agentscope_analyzer.ceilings.threads import thread_ceiling
from agentscope_analyzer.document import Ceiling, Rows
from agentscope_analyzer.sql import Asker

__all__ = ["Ceilings", "ceilings_of"]


@dataclass(frozen=True)
class Ceilings:
    """The ceilings that the run's data carry, lowest first, and why there are no others."""

    found: list[Ceiling] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def ceilings_of(
    asker: Asker,
    *,
    given: Mapping[str, Quota],
    live: LiveSessions,
    pools: Rows,
    threads: Rows,
    by_model: Rows,
    failed_share: float,
    start_s: float,
    end_s: float,
    whole_s: float,
) -> tuple[list[Quota], Ceilings]:
    """The quotas of a run, and every ceiling that can be told; the lowest one is binding.

    [start_s, end_s] is the steady part of the run; ``given`` are the user's own limits.
    """
    quotas = quotas_of(asker, given)
    if not live.names:
        return quotas, Ceilings(
            missing=["no turn names its session, so demand per session is open"]
        )
    answers: list[Ceiling | str] = []
    if quotas:
        calls = asker.ask("llm/calls_of_sessions")
        backoff = asker.ask("turns/cause_times", cause="llm.rate_limit")
        answers += [
            quota_ceiling(
                quota,
                sessions=live,
                calls=calls,
                backoff=backoff,
                attempts=_attempts(quota, by_model, (end_s - start_s) / whole_s if whole_s else 0),
                failed_share=failed_share,
                start_s=start_s,
                end_s=end_s,
            )
            for quota in quotas
        ]
    elif by_model:
        answers.append("llm.requests: no quota was recorded; give it: --limit llm.requests=150/min")
    if pools:
        share = _waited_share(asker, live, "db.pool")
        live_mean = live.mean(live.first_s, live.last_s)
        answers += [
            pool_ceiling(pool, live_mean=live_mean, stretch_s=whole_s, waited_share=share)
            for pool in pools
        ]
    if threads:
        answer = thread_ceiling(
            threads,
            live_mean=live.mean(live.first_s, live.last_s),
            waited_share=_waited_share(asker, live, "runtime.threadpool"),
        )
        answers += [] if answer is None else [answer]
    return quotas, _ranked(answers)


def _waited_share(asker: Asker, live: LiveSessions, cause: str) -> float:
    """How much of their life sessions spent waiting for this."""
    waited = asker.ask("turns/cause_times", cause=cause)
    waits = merged([(row["session"], row["start_ns"], row["end_ns"]) for row in waited])
    waited_s = sum(end_ns - start_ns for _, start_ns, end_ns in waits) / 1e9
    lived_s = float((live.end - live.start).sum())
    return min(0.99, waited_s / lived_s) if lived_s > 0 else 0.0


def _ranked(answers: list[Ceiling | str]) -> Ceilings:
    found = sorted(
        (answer for answer in answers if isinstance(answer, Ceiling)), key=lambda c: _sessions(c)
    )
    missing = [answer for answer in answers if isinstance(answer, str)]
    if found and found[0].sessions is not None:
        found[0] = msgspec.structs.replace(found[0], binding=True)
    return Ceilings(found, missing)


def _sessions(ceiling: Ceiling) -> float:
    return float("inf") if ceiling.sessions is None else ceiling.sessions


def _attempts(quota: Quota, by_model: Rows, part: float) -> int:
    """Attempts of the quota's model in the steady part, taken in proportion to its length."""
    rows: list[dict[str, Any]] = [
        row
        for row in by_model
        if quota.source == "--limit"
        or (quota.provider, quota.model) == (row["provider"], row["model"])
    ]
    # What was refused for billing never came to the quota.
    sent: int = sum(max(row["attempts"] or 0, row["calls"]) - (row["billed"] or 0) for row in rows)
    return round(part * sent)
