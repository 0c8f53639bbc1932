"""Signs of the model's causes: refusals, failures, connections to the provider."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.measured import attempts_hidden
from agentscope_analyzer.signs.sign import MAX_NAMED, Sign, sign
from agentscope_analyzer.signs.waiting import cap, waits
from agentscope_analyzer.wording import amount, number, seconds

FIRST_ERROR = 400
"""Answers below it are none of a failure: the attempt broke off, or was given up, after it."""


def rate_limit(facts: Facts) -> Iterator[Sign]:
    """Refusals, and the quota that was used up when they came."""
    attempts, refused = facts.llm["attempts_seen"], facts.llm["rate_limited"]
    if attempts:
        none = f"none of {amount(attempts, 'attempt')} was answered 429 or 529"
        if facts.llm["billed"]:
            none += " but for billing"
        yield sign(
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
            yield sign(
                f"refusals with none of {number(quota.limit)} {quota.dimension} left",
                quota.refused_at_zero,
                "attempts",
                "llm/quota_headers",
                agrees=True,
                says=f"{number(quota.refused_at_zero)} of them with the quota of "
                f"{number(quota.limit)} {quota.dimension} a {quota.window} used up",
            )
    yield from _slept(facts, "slept before retries after 429 or 529", c.Wait.RATE_LIMIT)


def retry(facts: Facts) -> Iterator[Sign]:
    """Failures of other kinds, billing first."""
    yield from _billing(facts)
    attempts, failed = facts.llm["attempts_seen"], facts.llm["failed_otherwise"]
    if attempts:
        yield sign(
            "attempts that failed otherwise",
            failed,
            "attempts",
            "llm/summary",
            limit=attempts,
            agrees=failed > 0,
            says=f"{number(failed)} of {amount(attempts, 'attempt')} failed ({_how(facts)})"
            if failed
            else f"none of {amount(attempts, 'attempt')} failed otherwise",
        )
    yield from _slept(facts, "slept before retries after other failures", c.Wait.RETRY_BACKOFF)


def _how(facts: Facts) -> str:
    """``500: 12, no answer: 3``: what came instead of an answer, the most frequent first."""
    told = [f"{_status(row)}: {number(row['failed'])}" for row in facts.failures[:MAX_NAMED]]
    more = sum(row["failed"] for row in facts.failures[MAX_NAMED:])
    return ", ".join([*told, *([f"others: {number(more)}"] if more else [])])


def _status(row: Row) -> str:
    status = row["http_status"]
    if status is None:
        return "no answer"
    return f"broken off after {status}" if status < FIRST_ERROR else str(status)


def _billing(facts: Facts) -> Iterator[Sign]:
    for row in facts.billing[:MAX_NAMED]:
        tried = f", {amount(row['attempts'], 'attempt')}" if row["attempts"] else ""
        provider = f" by {row['provider']}" if row["provider"] else ""
        yield sign(
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
    failed = facts.llm["rate_limited" if kind == c.Wait.RATE_LIMIT else "failed_otherwise"]
    if slept_s:
        yield sign(
            name,
            slept_s,
            "s",
            "waits/by_kind",
            # Where every attempt is known and none failed so, it was something else that was retried.
            agrees=failed > 0 or attempts_hidden(facts) is not None,
            says=f"{seconds(slept_s)} slept before retries",
        )


def connection(facts: Facts) -> Iterator[Sign]:
    """Pools of HTTP clients: their limits, and who waits for a connection."""
    yield from cap(facts, c.HTTP_POOL_IN_USE, "connections", "to ")
    yield from waits(facts, "a free connection", c.Wait.HTTP_POOL, link="to ")
    yield from waits(facts, "a new connection", c.Wait.HTTP_CONNECT, link="to ")
