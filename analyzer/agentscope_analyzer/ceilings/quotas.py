"""The quotas of a run: what rate-limit headers, metrics or the user say they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from agentscope.conventions import HTTP_RESPONSE_HEADER
from agentscope_analyzer.ceilings.headers import (
    DAY_S,
    DIMENSIONS,
    MINUTE_S,
    Family,
    answered_s,
    duration_s,
    families,
    number,
)
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import window_name

MAX_LIMIT = 1e15
"""Beyond it a limit is no limit, and its arithmetic overflows."""
MAX_WINDOW_S = 366 * DAY_S
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
    remaining_header: str = ""
    """The attribute of the header that says what is left; '' where there is none."""

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
            quota = replace(quota, remaining_header=family.parts.get("remaining", ""))
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
    parts = ("limit", "remaining", "reset", "window")
    return {f"{part}_header": family.parts.get(part, "") for part in parts} | {
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
        refused = sum(
            int(row["attempts"])
            for row in said
            if row["refused"]
            and (left := number(row["remaining"], "remaining")) is not None
            and left < 1
        )
        found.append(
            Quota(
                provider,
                model,
                dimension,
                limit,
                known_s or MINUTE_S,
                "rate-limit headers",
                known_s is not None,
                refused,
            )
        )
    return found


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
        reset = duration_s(row["reset"], answered_s(row["date"], row["end_ns"]))
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


_LIMIT = re.compile(
    r"(?P<resource>llm\.(?:requests|tokens|input_tokens|output_tokens))"
    r"=(?P<limit>\d+(?:\.\d+)?)(?:/(?P<window>second|sec|s|minute|min|m|hour|h|day|d))?"
)
_TYPED_S: Final = {"s": 1.0, "m": MINUTE_S, "h": 3600.0, "d": DAY_S}


def quota_given(text: str) -> Quota:
    """Read what a user typed: ``llm.requests=150/min``; raises ValueError with an example."""
    match = _LIMIT.fullmatch(text.strip().replace(" ", ""))
    if match is None or not 0 < float(match["limit"]) <= MAX_LIMIT:
        resources = ", ".join(f"llm.{dimension}" for dimension in DIMENSIONS)
        msg = f"cannot read {text!r}: write llm.requests=150/min (of {resources}; /s, /min, /h or /day)"
        raise ValueError(msg)
    window_s = _TYPED_S[(match["window"] or "min")[0]]
    dimension = match["resource"].removeprefix("llm.")
    return Quota("", "", dimension, float(match["limit"]), window_s, GIVEN)


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
