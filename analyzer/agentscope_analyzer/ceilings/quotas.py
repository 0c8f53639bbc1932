"""The quotas of a run: what rate-limit headers, metrics or the user say they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from agentscope.conventions import HTTP_RESPONSE_HEADER
from agentscope.ratelimit_headers import DAY_S, DIMENSIONS, MINUTE_S, Family
from agentscope_analyzer.ceilings.headers import PARTS, answered_s, families, number, reset_in_s
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import window_name

MAX_LIMIT = 1e15
"""Beyond it a limit is no limit, and its arithmetic overflows."""
MAX_WINDOW_S = 366 * DAY_S
MIN_OTHER_SHARE: Final = 0.05
"""Of the answers: a limit that fewer of them say is a slip, or of the run's first moments."""
GIVEN: Final = "--limit"
"""The source of what the user typed: it holds for every model."""
_DATE_HEADER: Final = f"{HTTP_RESPONSE_HEADER}date"


@dataclass(frozen=True)
class Quota:
    """So many requests or tokens in a window of time, of one provider and model ('' = any)."""

    provider: str
    model: str
    dimension: str
    limit: float
    window_s: float
    source: str
    window_known: bool = True
    refused_at_zero: int = 0
    """Attempts answered 429 or 529 whose header said that less than one unit was left."""
    refused_with: float | None = None
    """The least that was left, by the header, when an attempt was refused."""
    remaining_header: str = ""
    """The attribute of the header that says what is left; '' where there is none."""
    low: float | None = None
    high: float | None = None
    """Ends of the limit's own 95 % interval, where nobody said it and it was inferred."""
    says: str = ""
    """In words, what such a limit rests on."""
    others: tuple[float, ...] = ()
    """Other limits that were said of it during the run: it changed, or accounts took turns."""

    @property
    def resource(self) -> str:
        """The resource's name in the report."""
        return f"llm.{self.dimension}"

    @property
    def window(self) -> str:
        """``minute``, ``day``, ``10 s``."""
        return window_name(self.window_s)

    @property
    def per_minute(self) -> float:
        """The rate at which the quota refills."""
        return self.limit * MINUTE_S / self.window_s


def quotas_of(asker: Asker, given: Mapping[str, Quota]) -> list[Quota]:
    """Every quota known for the run: from headers, else from metrics.

    ``given`` are the user's own, by resource: they stand in for whatever was recorded for it,
    because a limit typed by hand is typed in order to be used.
    """
    names = asker.ask("llm/header_names", prefix=HTTP_RESPONSE_HEADER)
    said = list(_quotas_from_metrics(asker.ask("llm/quota_metrics")))
    windows_s = {
        (quota.provider, quota.dimension, quota.limit): quota.window_s
        for quota in said
        if quota.window_known
    }
    recorded: dict[tuple[str, str, str, float], Quota] = {}
    for family in families(row["attribute"] for row in names):
        rows = asker.ask("llm/quota_headers", **_headers(family))
        for quota in quotas_from_headers(family.dimension, rows, family.window_s):
            # The recorder saw each answer as it came, and more of them than spans were kept.
            known_s = windows_s.get((quota.provider, quota.dimension, quota.limit))
            if not quota.window_known and known_s is not None:
                quota = replace(quota, window_s=known_s, window_known=True)
            quota = replace(quota, remaining_header=family.headers.get("remaining", ""))
            key = (quota.provider, quota.model, quota.dimension, quota.window_s)
            recorded.setdefault(key, quota)
    # A metric may name the model that was asked for, a span the one that answered.
    told = {(quota.provider, quota.dimension) for quota in recorded.values()}
    for quota in said:
        if (quota.provider, quota.dimension) not in told:
            recorded[quota.provider, quota.model, quota.dimension, quota.window_s] = quota
    kept = [quota for quota in recorded.values() if quota.resource not in given]
    return [*kept, *given.values()]


def _headers(family: Family) -> dict[str, str]:
    return {f"{part}_header": family.headers.get(part, "") for part in PARTS} | {
        "date_header": _DATE_HEADER
    }


def quotas_from_headers(
    dimension: str, rows: Iterable[Mapping[str, Any]], window_s: float | None = None
) -> list[Quota]:
    """Read the rows of ``llm/quota_headers``: one quota for each provider and model.

    Where the limit changed during the run, the one said most often counts. ``window_s`` is what the
    names of the headers say of the window.
    """
    by_model: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault((row["provider"], row["model"]), []).append(row)
    found = []
    for (provider, model), said in sorted(by_model.items()):
        limits: Counter[float] = Counter()
        for row in said:
            limit = number(row["quota"], "limit")
            if limit is not None and 0 < limit <= MAX_LIMIT:
                limits[limit] += int(row["attempts"])
        if not limits:
            continue
        limit = limits.most_common(1)[0][0]
        known_s = window_s or window_told(limit, said)
        refused = [
            (left, int(row["attempts"]))
            for row in said
            if row["refused"] and (left := number(row["remaining"], "remaining")) is not None
        ]
        found.append(
            Quota(
                provider,
                model,
                dimension,
                limit,
                known_s or MINUTE_S,
                "rate-limit headers",
                known_s is not None,
                refused_at_zero=sum(attempts for left, attempts in refused if left < 1),
                refused_with=min((left for left, _ in refused), default=None),
                others=_others(limits, limit),
            )
        )
    return found


def _others(limits: Counter[float], limit: float) -> tuple[float, ...]:
    """Limits that so many answers said that they were in force for a while."""
    least = MIN_OTHER_SHARE * limits.total()
    return tuple(sorted(other for other, n in limits.items() if other != limit and n >= least))


def window_told(limit: float, rows: Iterable[Mapping[str, Any]]) -> float | None:
    """The window in seconds, by a header of its own or by the reset; None if neither says.

    A bucket that refills continuously is full again after used / limit · window seconds.
    ``remaining`` is a whole number, so used is known to one unit; whole-second resets to 1 s. That
    tells a minute from a day.
    """
    votes: Counter[float] = Counter()
    for row in rows:
        said_s = number(row["refills"], "window")
        if said_s is not None and 0 < said_s <= MAX_WINDOW_S:
            votes[said_s] += int(row["attempts"])
            continue
        left = number(row["remaining"], "remaining")
        reset = reset_in_s(row["reset"], answered_s(row["date"], row["end_ns"]))
        if left is None or reset is None or not 0 < limit - left <= limit:
            continue
        used = limit - left
        fits = [
            window_s
            for window_s in (MINUTE_S, DAY_S)
            if (used - 1) / limit * window_s * 0.95 - 0.05
            <= reset
            <= used / limit * window_s * 1.05 + (1.0 if reset.is_integer() else 0.05)
        ]
        if len(fits) == 1:
            votes[fits[0]] += int(row["attempts"])
    return votes.most_common(1)[0][0] if votes else None


_LIMIT = re.compile(r"llm\.(?P<dimension>\w+)=(?P<limit>\d+(?:\.\d+)?)(?:/(?P<window>[a-z]+))?")
_TYPED_S: Final = {
    word: window_s
    for words, window_s in (
        (("s", "sec", "second"), 1.0),
        (("min", "m", "minute"), MINUTE_S),
        (("hour", "h"), 3600.0),
        (("day", "d"), DAY_S),
    )
    for word in words
}
"""What a user may write behind the slash; nothing stands for a minute."""


def quota_given(text: str) -> Quota:
    """Read what a user typed: ``llm.requests=150/min``; raises ValueError with an example.

    So much in every window of that length, and anew in the next one: 1/s and 60/min let through the
    same in the long run, but not at once.
    """
    match = _LIMIT.fullmatch(text.strip().replace(" ", ""))
    window_s = _TYPED_S.get(match["window"] or "min") if match else None
    known = match is not None and match["dimension"] in DIMENSIONS
    if not (match and known and window_s) or not 0 < float(match["limit"]) <= MAX_LIMIT:
        resources = ", ".join(f"llm.{dimension}" for dimension in DIMENSIONS)
        msg = (
            f"cannot read {text!r}: write RESOURCE=N/UNIT, as in llm.requests=150/min; RESOURCE is one "
            f"of {resources}, N a number above 0, UNIT s, min, hour or day"
        )
        raise ValueError(msg)
    return Quota("", "", match["dimension"], float(match["limit"]), window_s, GIVEN)


def _quotas_from_metrics(rows: Iterable[Mapping[str, Any]]) -> Iterable[Quota]:
    for row in rows:
        if row["dimension"] in DIMENSIONS and 0 < (row["quota"] or 0) <= MAX_LIMIT:
            window_s = row["window_s"]
            known = window_s is not None and 0 < window_s <= MAX_WINDOW_S
            yield Quota(
                row["provider"],
                row["model"],
                row["dimension"],
                float(row["quota"]),
                float(window_s) if known else MINUTE_S,
                "metric agentscope.llm.ratelimit.limit",
                window_known=known,
            )
