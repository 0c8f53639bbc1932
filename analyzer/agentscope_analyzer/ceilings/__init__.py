"""At how many live sessions each limit of the system is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from agentscope import conventions as c
from agentscope_analyzer.ceilings.connections import connection_ceilings
from agentscope_analyzer.ceilings.demand import NS, LiveSessions
from agentscope_analyzer.ceilings.descriptors import descriptor_ceiling
from agentscope_analyzer.ceilings.margins import margin_of
from agentscope_analyzer.ceilings.memory import memory_of
from agentscope_analyzer.ceilings.pools import looks_of, pool_ceiling, spread_of
from agentscope_analyzer.ceilings.processor import processor_ceilings
from agentscope_analyzer.ceilings.quotas import Quota, quotas_of
from agentscope_analyzer.ceilings.refusals import quotas_from_refusals
from agentscope_analyzer.ceilings.requests import QuotaCeilings
from agentscope_analyzer.ceilings.scalability import scalability_of
from agentscope_analyzer.ceilings.threads import thread_ceiling
from agentscope_analyzer.ceilings.windows import Windows, windows_of
from agentscope_analyzer.document import Ceiling, Margin, MemoryFigures, Rows, Scalability
from agentscope_analyzer.sql import Asker

__all__ = ["Ceilings", "Observed", "ceilings_of"]

MAX_UNKNOWN: Final = 1 / 3
"""At most this part of the steady run is left out for not knowing who was live at its end."""


@dataclass(frozen=True)
class Ceilings:
    """The ceilings that the run's data carry, lowest first, and why there are no others."""

    found: list[Ceiling] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What the user should know is missing: quotas, pools."""
    margin: Margin = field(default_factory=Margin)
    memory: MemoryFigures = field(default_factory=MemoryFigures)
    scalability: Scalability = field(default_factory=Scalability)


@dataclass(frozen=True)
class Observed:
    """What ceilings are told from, beside what they ask themselves. Times in seconds since 1970."""

    live: LiveSessions
    given: Mapping[str, Quota]
    """The user's own limits, by resource."""
    pools: Rows
    threads: Rows
    connections: Rows
    """Rows of ``runtime/caps`` of HTTP clients' pools."""
    by_model: Rows
    failed_share: float
    steady_s: tuple[float, float]
    whole_s: tuple[float, float]
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Host by process."""

    @property
    def length_s(self) -> float:
        """Length of the whole run."""
        return self.whole_s[1] - self.whole_s[0]


def ceilings_of(asker: Asker, observed: Observed) -> tuple[list[Quota], Ceilings]:
    """The quotas of a run, and every ceiling that can be told; the lowest one is binding."""
    quotas = quotas_of(asker, observed.given)
    refusals = list(quotas_from_refusals(asker, observed.by_model, quotas, observed.length_s))
    quotas += [told for told in refusals if isinstance(told, Quota)]
    live = observed.live
    if not live.names:
        why = (
            "no turn names its session, so demand per session is open: "
            "instrument(app, session=…), or agentscope.session(id) in the handler"
        )
        return quotas, Ceilings(missing=[why])
    asker.prepare("ceilings/_calls")
    known_s = known_until(asker, observed)
    windows = windows_of(
        asker, live, dict(observed.hosts), steady_s=observed.steady_s, known_until_s=known_s
    )
    answers = [
        *[told for told in refusals if isinstance(told, str)],
        *_quota_answers(asker, observed, quotas, known_s, refused=bool(refusals)),
        *_pool_answers(asker, observed, windows),
    ]
    missing = [answer for answer in answers if isinstance(answer, str)]
    found = [answer for answer in answers if isinstance(answer, Ceiling)]
    if windows is None:
        return quotas, Ceilings(*_ranked(found, missing, []))
    memory = memory_of(windows)
    machine = [*processor_ceilings(windows), descriptor_ceiling(windows)]
    machine += [memory.ceiling, memory.missing]
    found += [answer for answer in machine if isinstance(answer, Ceiling)]
    untold = [answer for answer in machine if isinstance(answer, str)]
    return quotas, Ceilings(
        *_ranked(found, missing, untold), memory.figures, scalability_of(windows)
    )


def known_until(asker: Asker, observed: Observed) -> float:
    """Until when it is known which sessions are live.

    A session counts as live to its last turn's end. One that was thinking when the run ended looks
    as if it had ended: so what comes later than a pause before the end is left out.
    """
    pauses = asker.ask("ceilings/pauses")[0]
    start_s, end_s = observed.steady_s
    known_s = observed.live.last_s - (pauses["p90_s"] or 0.0)
    return max(known_s, end_s - MAX_UNKNOWN * (end_s - start_s))


def _quota_answers(
    asker: Asker, observed: Observed, quotas: list[Quota], known_s: float, *, refused: bool
) -> Iterator[Ceiling | str]:
    if not quotas and observed.by_model and not refused:
        yield "llm.requests: no quota was recorded; give it: --limit llm.requests=150/min"
    if not quotas:
        return
    start_s, end_s = observed.steady_s
    ceilings = QuotaCeilings(
        asker,
        by_model=observed.by_model,
        slept_s=asker.ask("ceilings/waited", cause="llm.rate_limit")[0]["wall_s"],
        failed_share=observed.failed_share,
        start_s=start_s,
        end_s=min(end_s, known_s),
        whole_s=observed.length_s,
    )
    for quota in quotas:
        yield ceilings.of(quota)


def _pool_answers(
    asker: Asker, observed: Observed, windows: Windows | None
) -> Iterator[Ceiling | str]:
    """Pools of connections to databases and models, and of threads."""
    live = observed.live
    live_mean = live.mean(live.first_s, live.last_s)
    if observed.pools:
        share = _waited_share(asker, live, "db.pool")
        looks = _looks(
            asker, windows, "db.client.connection.count", "db.client.connection.pool.name"
        )
        for pool in observed.pools:
            used = [row for row in looks if row["resource"] == pool["pool"]]
            yield pool_ceiling(
                pool,
                live_mean=live_mean,
                stretch_s=observed.length_s,
                waited_share=share,
                spread=spread_of(used, windows) if windows is not None else None,
                looks=looks_of(used),
            )
    if observed.connections:
        start_s, end_s = observed.whole_s
        yield from connection_ceilings(
            asker.ask("ceilings/connections", from_ns=round(start_s * NS), to_ns=round(end_s * NS)),
            observed.connections,
            length_s=observed.length_s,
            waited_share=_waited_share(asker, live, "llm.connection"),
        )
    if observed.threads:
        answer = thread_ceiling(
            observed.threads,
            live_mean=live_mean,
            waited_share=_waited_share(asker, live, "runtime.threadpool"),
            with_tools=_with_tools(asker, windows),
        )
        if answer is not None:
            yield answer


def _with_tools(asker: Asker, windows: Windows | None) -> Rows:
    if windows is None:
        return []
    used = c.THREADPOOL_BORROWED
    return asker.ask(
        "ceilings/threads",
        used=used.name,
        label=used.attributes[0],
        from_ns=round(windows.start_s * NS),
        to_ns=round((windows.start_s + windows.length_s) * NS),
        window_ns=round(windows.window_s * NS),
    )


def _looks(asker: Asker, windows: Windows | None, used: str, label: str) -> Rows:
    if windows is None:
        return []
    end_s = windows.start_s + windows.length_s
    return asker.ask(
        "ceilings/used_by_window",
        used=used,
        label=label,
        from_ns=round(windows.start_s * NS),
        to_ns=round(end_s * NS),
        window_ns=round(windows.window_s * NS),
    )


def _waited_share(asker: Asker, live: LiveSessions, cause: str) -> float:
    """How much of their life sessions spent waiting for this."""
    waited_s = asker.ask("ceilings/waited", cause=cause)[0]["wall_s"]
    lived_s = float((live.end - live.start).sum())
    return min(0.99, waited_s / lived_s) if lived_s > 0 else 0.0


def _ranked(
    found: list[Ceiling], missing: list[str], untold: list[str]
) -> tuple[list[Ceiling], list[str], Margin]:
    ranked = sorted(found, key=lambda one: float("inf") if one.sessions is None else one.sessions)
    if ranked and ranked[0].sessions is not None:
        ranked[0] = replace(ranked[0], binding=True)
    return ranked, missing, margin_of(ranked, untold)
