"""The report document, type by type: exactly the keys of schema ``agentscope.report/1``.

Every key is always present. What a run does not tell is None or an empty list, never 0: a report
that says 0 has counted.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentscope.conventions import REPORT_SCHEMA
from agentscope_analyzer.traced import Trace

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

    ``p95_share`` is the cause's share of the time of turns at or above the p95 duration. The ends
    of both shares' 95 % intervals are from resampled sessions: what other sessions of the same kind
    would have shown; None where sessions are too few or not known.
    """

    seconds: float
    share: float
    low: float | None
    high: float | None
    p95_share: float | None
    share_low: float | None = None
    share_high: float | None = None
    p95_share_low: float | None = None
    p95_share_high: float | None = None


class Attribution(msgspec.Struct, kw_only=True, frozen=True):
    """Where the wall time of all turns went. The causes add up to ``seconds``."""

    seconds: float
    groups: dict[str, GroupShare]
    causes: dict[str, CauseShare]


class TailCause(msgspec.Struct, kw_only=True, frozen=True):
    """Seconds of one cause in a slow turn and in a middle one, on average, and their difference.

    ``share`` is its part of how much longer the whole turn takes; ``low_s`` and ``high_s`` are the
    95 % interval of the difference, None where sessions are too few or not known.
    """

    cause: str
    slow_s: float
    middle_s: float
    difference_s: float
    share: float | None
    low_s: float | None
    high_s: float | None


class Tail(msgspec.Struct, kw_only=True, frozen=True):
    """What makes slow turns slow: those at or above the p95 duration against the middle fifth.

    ``shape_s`` is how much of the difference goes with what turns do (route, number of model calls)
    rather than with how long the same takes. ``causes`` come by difference, largest first.
    """

    slow_turns: int
    middle_turns: int
    slow_s: float | None
    middle_s: float | None
    difference_s: float | None
    shape_s: float | None
    slow_calls: float | None
    middle_calls: float | None
    causes: list[TailCause]
    statement: str


class GrowthCause(msgspec.Struct, kw_only=True, frozen=True):
    """Seconds of one cause a turn, and its share, under least load and under most.

    ``low_s`` and ``high_s`` are the interval of the change; those of all causes together hold with
    95 % confidence. ``kind`` is what they tell: it grows with load, it shrinks, it is inherent (any
    change is within a twentieth of a turn's time), or that cannot be told.
    """

    cause: str
    least_s: float
    most_s: float
    least_share: float
    most_share: float
    change_s: float
    low_s: float | None
    high_s: float | None
    kind: Literal["grows", "shrinks", "inherent", "unclear"]


class Growth(msgspec.Struct, kw_only=True, frozen=True):
    """What grows with the number of turns in flight: least loaded third of turns against most.

    ``low_s`` and ``high_s`` are the 95 % interval of ``change_s``, the whole turn's.
    """

    least_turns: int
    most_turns: int
    least_in_flight: float | None
    most_in_flight: float | None
    least_s: float | None
    most_s: float | None
    change_s: float | None
    low_s: float | None
    high_s: float | None
    causes: list[GrowthCause]
    statement: str


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
    ``sessions``; ``basis`` says in words what the figure rests on, ``relief`` what would move the
    limit. Where ``censored``, refusals kept sessions from asking for more: the demand is a lower
    bound then, and the sessions are an upper one.
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
    censored: bool = False
    relief: str = ""


class Margin(msgspec.Struct, kw_only=True, frozen=True):
    """The first limit and the second one, and how far apart they are.

    ``times`` is the second one's sessions over the first one's. ``statement`` names what would help,
    and says so where the intervals leave open which one comes first.
    """

    first: str | None = None
    second: str | None = None
    times: float | None = None
    statement: str = "no limit can be told from this run"
    untold: list[str] = []
    """Resources without a ceiling although something of them was recorded, each with the reason."""


class Load(msgspec.Struct, kw_only=True, frozen=True):
    """What the service did at one level of load, on average over the windows with that load."""

    sessions: float
    turns_per_s: float
    turn_s: float | None
    windows: int


class Scalability(msgspec.Struct, kw_only=True, frozen=True):
    """How throughput grows with live sessions, by the model that explains it best.

    ``model`` is ``linear`` (no limit in sight), ``asymptotes`` (linear, then a plateau), ``amdahl``
    or ``usl`` (Gunther's Universal Scalability Law: γN / (1 + α(N-1) + βN(N-1))); None where the run
    cannot tell, and ``statement`` says why. ``peak_sessions`` is where throughput is at its most,
    ``knee_sessions`` where it stops to grow; ``low`` and ``high`` are 95 % intervals. No figure is
    given beyond ``valid_to_sessions``, 1.5 times the largest load seen.
    """

    model: str | None = None
    gamma: float | None = None
    alpha: float | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None
    beta: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    aicc: dict[str, float] = {}
    peak_sessions: float | None = None
    peak_low: float | None = None
    peak_high: float | None = None
    peak_turns_per_s: float | None = None
    knee_sessions: float | None = None
    knee_low: float | None = None
    knee_high: float | None = None
    knee: str = "no knee: not looked for"
    largest_sessions: float | None = None
    valid_to_sessions: float | None = None
    loads: list[Load] = []
    statement: str = "not enough data"


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
    """Resident bytes of the service as a function of sessions; None for what the run does not tell.

    memory = ``base_bytes`` + ``bytes_per_live_session`` · live + ``bytes_per_ended_session`` · ended.
    ``live_low`` and ``live_high`` are the 95 % interval of ``bytes_per_live_session``, ``low`` and
    ``high`` that of ``bytes_per_ended_session``: of what ended sessions leave behind. ``leak`` is true where that is more than nothing from the run's first half to its
    last, false where the interval leaves no room for a leak that matters, None where neither can be
    said. ``time_to_limit_s`` is how long a leak takes to fill ``limit_bytes`` at the run's rate of
    sessions.

    Where sessions are long, ``bytes_per_turn`` is what each further turn of a live session adds, with
    its interval; ``turns_freed`` is true where that goes when the session ends, false where it stays,
    None where too few ended to tell.
    """

    base_bytes: float | None = None
    bytes_per_live_session: float | None = None
    live_low: float | None = None
    live_high: float | None = None
    bytes_per_ended_session: float | None = None
    low: float | None = None
    high: float | None = None
    leak: bool | None = None
    limit_bytes: float | None = None
    time_to_limit_s: float | None = None
    bytes_per_turn: float | None = None
    turn_low: float | None = None
    turn_high: float | None = None
    turns_freed: bool | None = None
    basis: str | None = None


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """The one object that every reporter prints."""

    schema: str = REPORT_SCHEMA
    run: RunFacts
    validity: list[Check]
    turns: TurnFigures
    attribution: Attribution
    tail: Tail
    growth: Growth
    verdict: Verdict
    findings: list[Finding]
    ceilings: list[Ceiling]
    margin: Margin
    llm: LlmFigures
    memory: MemoryFigures
    scalability: Scalability
    exemplar: Trace | None
    questions: dict[str, Rows]
