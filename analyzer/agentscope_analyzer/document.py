"""The report document, type by type: exactly the keys of schema ``agentscope.report/1``.

Every key is always present. What a run does not tell is None or an empty list, never 0: a report
that says 0 has counted.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentscope.conventions import REPORT_SCHEMA

Status = Literal["ok", "warn", "fail"]
Kind = Literal["binds", "watch", "ruled_out"]
Confidence = Literal["high", "medium", "low", "withheld"]
Value = float | int | str | None
"""A figure as evidence carries it."""

Rows = list[dict[str, Any]]
"""The answer of one SQL question."""


class RunFacts(msgspec.Struct, kw_only=True, frozen=True):
    """Which run this is, how long it took and whether all of it reached the disk."""

    id: str | None
    started: str | None
    ended: str | None
    duration_s: float | None
    turns: int
    sessions: int | None
    spans: int
    instances: int
    rejected: dict[str, int]
    complete: bool


class Check(msgspec.Struct, kw_only=True, frozen=True):
    """One question put to the run itself: can its figures be believed?"""

    check: str
    status: Status
    detail: str
    value: Value


class TurnFigures(msgspec.Struct, kw_only=True, frozen=True):
    """How long turns took: exact quantiles over all turns of the run, in seconds."""

    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    error_rate: float | None
    per_second: float | None
    ttfb_p50_s: float | None
    ttfb_p95_s: float | None


class GroupShare(msgspec.Struct, kw_only=True, frozen=True):
    """Wall seconds of one group of causes, and their share of all turn time."""

    seconds: float
    share: float


class CauseShare(msgspec.Struct, kw_only=True, frozen=True):
    """Wall seconds of one cause; ``low`` and ``high`` are seconds too, None where unbounded.

    ``p95_share`` is the cause's share of the time of turns at or above the p95 duration.
    """

    seconds: float
    share: float
    low: float | None
    high: float | None
    p95_share: float | None


class Attribution(msgspec.Struct, kw_only=True, frozen=True):
    """Where the wall time of all turns went. The causes add up to ``seconds``."""

    seconds: float
    groups: dict[str, GroupShare]
    causes: dict[str, CauseShare]


class Verdict(msgspec.Struct, kw_only=True, frozen=True):
    """What binds. ``group`` and ``cause`` are None when nothing does or nobody can say."""

    group: str | None
    cause: str | None
    share: float | None
    statement: str
    confidence: Confidence


class Evidence(msgspec.Struct, kw_only=True, frozen=True):
    """One figure behind a finding, the limit it is judged by and the SQL question it is from."""

    name: str
    value: Value
    unit: str
    limit: Value
    question: str | None


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """What is said of one cause, with its evidence and up to three turns to look at."""

    kind: Kind
    cause: str
    statement: str
    evidence: list[Evidence]
    traces: list[str]


class Ceiling(msgspec.Struct, kw_only=True, frozen=True):
    """At how many live sessions, behaving as in this run, a resource is used up.

    ``demand_per_session`` is in ``unit``; ``low`` and ``high`` are the 95 % interval of
    ``sessions``; ``basis`` says in words what the figure rests on.
    """

    resource: str
    dimension: str
    limit: float
    unit: str
    demand_per_session: float | None
    sessions: float | None
    low: float | None
    high: float | None
    reached: bool
    binding: bool
    basis: str


class Unpriced(msgspec.Struct, kw_only=True, frozen=True):
    """A model whose calls are not in ``cost_usd``, and why."""

    provider: str
    model: str
    calls: int
    reason: str


class Prices(msgspec.Struct, kw_only=True, frozen=True):
    """What ``cost_usd`` rests on: list prices of ``source``, checked up to ``date`` at least."""

    source: str
    date: str | None
    unpriced: list[Unpriced]


class LlmFigures(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked of models: logical calls, HTTP attempts behind them, tokens, back-off.

    ``attempts`` and ``retries_hidden`` are of the calls of which they are known. ``tokens`` has
    ``input`` (cached ones included), ``output`` (reasoning included), ``cache_read``,
    ``cache_write``, ``reasoning``, and ``calls_without_usage``: answered calls that do not say.
    ``cost_usd`` is of the models that have a price; ``prices`` names the others.
    """

    calls: int | None
    calls_per_turn: float | None
    attempts: int | None
    retries_hidden: int | None
    rate_limited: int | None
    backoff_s: float | None
    tokens: dict[str, int | None]
    by_model: Rows
    cost_usd: float | None
    prices: Prices


class MemoryFigures(msgspec.Struct, kw_only=True, frozen=True):
    """Resident bytes as a function of sessions; all None until a run carries the data for it."""

    base_bytes: float | None = None
    bytes_per_live_session: float | None = None
    bytes_per_ended_session: float | None = None
    low: float | None = None
    high: float | None = None
    leak: bool | None = None


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """The one object that every reporter prints."""

    schema: str = REPORT_SCHEMA
    run: RunFacts
    validity: list[Check]
    turns: TurnFigures
    attribution: Attribution
    verdict: Verdict
    findings: list[Finding]
    ceilings: list[Ceiling]
    llm: LlmFigures
    memory: MemoryFigures
    questions: dict[str, Rows]
