"""The signs of each cause: figures that confirm or deny it, independent of where the time went.

A share of wall time says where turns stood; it does not say why. A cause binds only where other
figures agree: refusals counted, a pool at its cap, a wait that grows with load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from agentscope import conventions as c
from agentscope_analyzer.document import Evidence, Value
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.measured import CGROUP_CPU, MAX_CPU_SHARE, cpu_share
from agentscope_analyzer.wording import amount, number, percent, seconds

MIN_BLOCKED_SHARE = 0.02
"""A loop stopped for less of the time than this cannot hold up turns by a tenth."""
MIN_DELAY_S = 0.1
"""A loop this late is felt by users."""
MIN_INFLATION = 1.2
MIN_AWAITS = 5
MIN_LOAD_RATIO = 1.5
"""Load must differ by this much before growth with it can be seen, and growth must reach it."""
MAX_NAMED = 3
"""Of pools, codes and the like so many are named, the first ones; the JSON report has the rest."""
MIN_HELD_RATIO = 5.0
"""A connection held this many times longer than a query takes is held across something else."""


@dataclass(frozen=True)
class Sign:
    """One figure, whether it confirms that the cause binds, and how a sentence says it."""

    evidence: Evidence
    agrees: bool
    says: str


def signs_of(cause: str, facts: Facts) -> list[Sign]:
    """Every sign of a cause for which the run has data, the strongest first."""
    growth = _growth(cause, facts)
    return [*own_signs(cause, facts), *([growth] if growth is not None else [])]


def own_signs(cause: str, facts: Facts) -> list[Sign]:
    """The signs that only this cause has: without its growth with load."""
    own = _SIGNS.get(cause)
    return list(own(facts)) if own is not None else []


def growth_of(cause: str, facts: Facts) -> tuple[Row, Row] | None:
    """The least and the most loaded third of turns; None where load did not differ enough."""
    rows = {row["part"]: row for row in facts.by_load.get(cause, [])}
    if 1 not in rows or 3 not in rows:
        return None
    least, most = rows[1], rows[3]
    if most["in_flight"] < MIN_LOAD_RATIO * least["in_flight"]:
        return None
    return least, most


def blocking_lines(facts: Facts, top: int = 3) -> list[Row]:
    """The known lines that stopped the event loop longest."""
    return [
        row
        for row in facts.blocks
        if row["event"] == c.RuntimeEvent.LOOP_BLOCKED and row["code_function"]
    ][:top]


def line_of(block: Row) -> str:
    """``render_pdf (app.py:88)``."""
    file = PurePath(block["code_file"]).name
    where = f"{file}:{block['code_line']}" if block["code_line"] is not None else file
    return f"{block['code_function']} ({where})" if where else str(block["code_function"])


def _sign(
    name: str,
    value: Value,
    unit: str,
    question: str,
    *,
    agrees: bool,
    says: str,
    limit: Value = None,
) -> Sign:
    evidence = Evidence(name=name, value=value, unit=unit, limit=limit, question=question)
    return Sign(evidence, agrees, says)


def _growth(cause: str, facts: Facts) -> Sign | None:
    ends = growth_of(cause, facts)
    if ends is None:
        return None
    least, most = ends
    grows = most["wall_s_per_turn"] >= MIN_LOAD_RATIO * least["wall_s_per_turn"]
    return _sign(
        "seconds a turn under most load, against least",
        most["wall_s_per_turn"],
        "s",
        "turns/by_load",
        limit=least["wall_s_per_turn"],
        agrees=grows and most["wall_s_per_turn"] > 0,
        says=f"{seconds(least['wall_s_per_turn'])} a turn with {number(least['in_flight'])} turns "
        f"in flight, {seconds(most['wall_s_per_turn'])} with {number(most['in_flight'])}",
    )


def _rate_limit(facts: Facts) -> Iterator[Sign]:
    attempts, refused = facts.llm["attempts_seen"], facts.llm["rate_limited"]
    if attempts:
        none = f"none of {amount(attempts, 'attempt')} was answered 429 or 529"
        if facts.llm["billed"]:
            none += " but for billing"
        yield _sign(
            "attempts answered 429 or 529",
            refused,
            "attempts",
            "llm/summary",
            limit=attempts,
            agrees=refused > 0,
            says=f"{number(refused)} of {amount(attempts, 'attempt')} refused with 429 or 529"
            if refused
            else none,
        )
    for quota in facts.quotas:
        if quota.refused_at_zero:
            yield _sign(
                f"refusals with none of {number(quota.limit)} {quota.dimension} left",
                quota.refused_at_zero,
                "attempts",
                "llm/quota_headers",
                agrees=True,
                says=f"{number(quota.refused_at_zero)} of them with the quota of "
                f"{number(quota.limit)} {quota.dimension} a {quota.window} used up",
            )
    yield from _slept(facts, "slept before retries after 429 or 529", c.Wait.RATE_LIMIT)


def _retry(facts: Facts) -> Iterator[Sign]:
    yield from _billing(facts)
    attempts, failed = facts.llm["attempts_seen"], facts.llm["failed_otherwise"]
    if attempts:
        how = "5xx, time-outs, breaks, billing" if facts.llm["billed"] else "5xx, time-outs, breaks"
        yield _sign(
            "attempts that failed otherwise",
            failed,
            "attempts",
            "llm/summary",
            limit=attempts,
            agrees=failed > 0,
            says=f"{number(failed)} of {amount(attempts, 'attempt')} failed ({how})"
            if failed
            else f"none of {amount(attempts, 'attempt')} failed otherwise",
        )
    yield from _slept(facts, "slept before retries after other failures", c.Wait.RETRY_BACKOFF)


def _billing(facts: Facts) -> Iterator[Sign]:
    for row in facts.billing[:MAX_NAMED]:
        tried = f", {amount(row['attempts'], 'attempt')}" if row["attempts"] else ""
        provider = f" by {row['provider']}" if row["provider"] else ""
        yield _sign(
            f"calls refused for billing: {row['billing_code']}",
            row["calls"],
            "calls",
            "llm/refused_for_billing",
            limit=facts.llm["calls"],
            agrees=True,
            says=f"billing, not rate: {row['billing_code']} ({amount(row['calls'], 'call')}{tried} "
            f"refused{provider}; neither waiting nor fewer sessions help)",
        )


def _slept(facts: Facts, name: str, kind: c.Wait) -> Iterator[Sign]:
    slept_s = sum(row["wall_s"] for row in facts.waits_of(kind))
    if slept_s:
        yield _sign(
            name,
            slept_s,
            "s",
            "waits/by_kind",
            agrees=True,
            says=f"{seconds(slept_s)} slept before retries",
        )


def _waits(facts: Facts, what: str, *kinds: c.Wait, link: str = "") -> Iterator[Sign]:
    for row in facts.waits_of(*kinds):
        name = f" {link}{row['resource']!r}" if row["resource"] else ""
        yield _sign(
            f"most waiting at once for {what}{name}",
            row["at_once"],
            "waiting",
            "waits/by_kind",
            agrees=row["at_once"] >= 2,
            says=f"{amount(row['waits'], 'wait')} for {what}{name}, up to {row['at_once']} at once",
        )


def _pool(facts: Facts) -> Iterator[Sign]:
    for pool in facts.pools:
        size, most, pending = pool["size_connections"], pool["used_most"], pool["pending_most"]
        name = f"pool {pool['pool']!r}" if pool["pool"] else "the pool"
        if size and most is not None:
            yield _sign(
                f"most connections in use of {name}",
                most,
                "connections",
                "database/pools",
                limit=size,
                agrees=most >= size,
                says=f"all {number(size)} connections in use"
                if most >= size
                else f"at most {number(most)} of {number(size)} connections in use when sampled",
            )
        query_s = _query_mean(facts)
        if pool["use_mean_s"] and query_s:
            long = pool["use_mean_s"] >= MIN_HELD_RATIO * query_s
            yield _sign(
                f"a connection of {name} is held",
                pool["use_mean_s"],
                "s",
                "database/pools",
                limit=query_s,
                agrees=long,
                says=f"a connection is held {seconds(pool['use_mean_s'])} although a query takes "
                f"{seconds(query_s)}"
                if long
                else f"a connection is held {seconds(pool['use_mean_s'])}",
            )
        if pending is not None:
            yield _sign(
                f"most requests pending at {name}",
                pending,
                "requests",
                "database/pools",
                agrees=pending > 0,
                says=f"up to {number(pending)} requests pending"
                if pending
                else "no request was ever pending",
            )
    yield from _waits(facts, "a database connection", c.Wait.DB_POOL, link="of ")


def _query_mean(facts: Facts) -> float | None:
    queries = sum(row["queries"] for row in facts.queries)
    return sum(row["wall_s"] for row in facts.queries) / queries if queries else None


def _connection(facts: Facts) -> Iterator[Sign]:
    yield from _cap(facts, c.HTTP_POOL_IN_USE, "connections", "to ")
    yield from _waits(facts, "a free connection", c.Wait.HTTP_POOL, link="to ")
    yield from _waits(facts, "a new connection", c.Wait.HTTP_CONNECT, link="to ")


def _cap(facts: Facts, used: c.Metric, unit: str, link: str) -> Iterator[Sign]:
    """Each pool against its own limit, in the process where it was fullest."""
    fullest: dict[str, Row] = {}
    for row in facts.caps[used.name]:
        fullest.setdefault(row["resource"], row)
    for name, row in list(fullest.items())[:MAX_NAMED]:
        most, size = row["most"], row["size"]
        where = f" {link}{name!r}" if name else ""
        yield _sign(
            f"most {unit}{where} in use",
            most,
            unit,
            "runtime/caps",
            limit=size,
            agrees=most >= size,
            says=f"all {number(size)} {unit}{where} in use"
            if most >= size
            else f"at most {number(most)} of {number(size)} {unit}{where} in use",
        )


def _event_loop(facts: Facts) -> Iterator[Sign]:
    lived_s = facts.whole.duration_s * max(1, facts.turns["instances"])
    blocks = [row for row in facts.blocks if row["event"] == c.RuntimeEvent.LOOP_BLOCKED]
    blocked_s = sum(row["wall_s"] for row in blocks)
    delay = facts.metric(c.LOOP_DELAY_MAX.name)
    if lived_s > 0 and (blocks or delay):
        yield _sign(
            "time the event loop stood still",
            blocked_s / lived_s,
            "share",
            "runtime/blocks",
            limit=MIN_BLOCKED_SHARE,
            agrees=blocked_s / lived_s >= MIN_BLOCKED_SHARE,
            says=f"the loop stood still for {percent(blocked_s / lived_s)} of the run",
        )
    for block in blocking_lines(facts):
        yield _sign(
            f"stopped by {line_of(block)}",
            block["wall_s"],
            "s",
            "runtime/blocks",
            agrees=blocked_s > 0 and block["wall_s"] >= 0.5 * blocked_s,
            says=f"{line_of(block)} stopped it {amount(block['blocks'], 'time')}, "
            f"{seconds(block['wall_s'])} in all",
        )
    if delay and delay["most"] is not None:
        yield _sign(
            "largest delay of the event loop",
            delay["most"],
            "s",
            "run/metrics",
            limit=MIN_DELAY_S,
            agrees=delay["most"] >= MIN_DELAY_S,
            says=f"the loop was never later than {seconds(delay['most'])}"
            if delay["most"] < MIN_DELAY_S
            else f"up to {seconds(delay['most'])} late",
        )
    yield from _inflation(facts)


def _inflation(facts: Facts) -> Iterator[Sign]:
    for row in facts.inflation:
        if min(row["hit"], row["missed"]) < MIN_AWAITS or not row["missed_median_s"]:
            continue
        yield _sign(
            f"median {row['kind']} call that ended after a block",
            row["hit_median_s"],
            "s",
            "runtime/inflation",
            limit=row["missed_median_s"],
            agrees=row["hit_median_s"] >= MIN_INFLATION * row["missed_median_s"],
            says=f"{row['kind']} calls take {seconds(row['hit_median_s'])} with a block and "
            f"{seconds(row['missed_median_s'])} without",
        )


def _cpu(facts: Facts) -> Iterator[Sign]:
    share = cpu_share(facts)
    if share is not None:
        yield _sign(
            "CPU time of all processes, as a share of turn time",
            share,
            "share",
            "run/metrics",
            limit=MAX_CPU_SHARE,
            agrees=share >= MAX_CPU_SHARE,
            says=f"all CPU time of all processes is {percent(share)} of turn time",
        )


def _collector(facts: Facts) -> Iterator[Sign]:
    pauses = facts.metric(c.GC_PAUSE.name)
    lived_s = facts.whole.duration_s * max(1, facts.turns["instances"])
    if pauses and pauses["total"] is not None and lived_s > 0:
        share = pauses["total"] / lived_s
        yield _sign(
            "time in garbage collection",
            share,
            "share",
            "run/metrics",
            limit=MIN_BLOCKED_SHARE,
            agrees=share >= MIN_BLOCKED_SHARE,
            says=f"{amount(pauses['observed'], 'pause')}, {percent(share)} of the run",
        )


def _throttled(facts: Facts) -> Iterator[Sign]:
    stopped = facts.metric(f"{CGROUP_CPU}throttled_time")
    if stopped and stopped["increase"] is not None:
        yield _sign(
            "time the container was throttled",
            stopped["increase"],
            "s",
            "run/metrics",
            agrees=stopped["increase"] > 0,
            says=f"throttled for {seconds(stopped['increase'])}"
            if stopped["increase"]
            else "the container was never throttled",
        )


def _threads(facts: Facts) -> Iterator[Sign]:
    yield from _cap(facts, c.THREADPOOL_BORROWED, "worker threads", "of ")
    yield from _waits(facts, "a worker thread", c.Wait.THREADPOOL)


def _locks(facts: Facts) -> Iterator[Sign]:
    yield from _waits(facts, "a lock", c.Wait.LOCK)


def _send(facts: Facts) -> Iterator[Sign]:
    if facts.spans["send_measured"]:
        waited_s = facts.spans["send_wait_s"] or 0.0
        share = waited_s / facts.wall_s if facts.wall_s else 0.0
        yield _sign(
            "turn time awaiting send()",
            share,
            "share",
            "run/spans",
            agrees=share >= 0.05,
            says=f"{percent(share)} of turn time went into send()",
        )


_SIGNS: dict[str, Callable[[Facts], Iterator[Sign]]] = {
    "llm.rate_limit": _rate_limit,
    "llm.retry": _retry,
    "llm.connection": _connection,
    "db.pool": _pool,
    "runtime.event_loop": _event_loop,
    "runtime.cpu": _cpu,
    "runtime.gc": _collector,
    "runtime.throttled": _throttled,
    "runtime.threadpool": _threads,
    "client.send": _send,
    "wait.lock": _locks,
}
