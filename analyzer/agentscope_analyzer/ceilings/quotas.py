"""The quotas of a run: what rate-limit headers, metrics or the user say they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentscope.conventions import HTTP_RESPONSE_HEADER, RATE_LIMIT_STATUSES
from agentscope_analyzer.sql import Asker

Window = Literal["minute", "day"]
MAX_LIMIT = 1e15
"""Beyond it a limit is no limit, and its arithmetic overflows."""
WINDOW_S: dict[Window, float] = {"minute": 60.0, "day": 86_400.0}
DIMENSIONS = ("requests", "tokens", "input_tokens", "output_tokens")


@dataclass(frozen=True)
class Quota:
    """So many requests or tokens a minute or day, of one provider and model ('' = any)."""

    provider: str
    model: str
    dimension: str
    limit: float
    window: Window
    source: str
    window_known: bool = True
    refused_at_zero: int = 0
    """Attempts answered 429 or 529 whose header said that less than one unit was left."""

    @property
    def resource(self) -> str:
        """The resource's name in the report."""
        return f"llm.{self.dimension}"

    @property
    def per_minute(self) -> float:
        """The rate at which the quota refills."""
        return self.limit * 60.0 / WINDOW_S[self.window]


@dataclass(frozen=True)
class Dialect:
    """Names of the three headers by which a provider tells about one quota."""

    dimension: str
    limit: str
    remaining: str
    reset: str


def _dialects() -> tuple[Dialect, ...]:
    found = []
    for prefix in ("", "llm_provider-"):  # LiteLLM's proxy puts its prefix before the original
        for dimension in DIMENSIONS:
            word = dimension.replace("_", "-")
            parts = ("limit", "remaining", "reset")
            openai = [f"{prefix}x-ratelimit-{part}-{word}" for part in parts]
            anthropic = [f"{prefix}anthropic-ratelimit-{word}-{part}" for part in parts]
            found += [Dialect(dimension, *openai), Dialect(dimension, *anthropic)]
    return tuple(found)


DIALECTS = _dialects()


def quotas_of(asker: Asker, given: Mapping[str, Quota]) -> list[Quota]:
    """Every quota known for the run: from headers, else from metrics.

    ``given`` are the user's own, by resource: they stand in for whatever was recorded for it,
    because a limit typed by hand is typed in order to be used.
    """
    recorded: dict[tuple[str, str, str], Quota] = {}
    for dialect in DIALECTS:
        rows = asker.ask(
            "llm/quota_headers",
            limit_header=HTTP_RESPONSE_HEADER + dialect.limit,
            remaining_header=HTTP_RESPONSE_HEADER + dialect.remaining,
            reset_header=HTTP_RESPONSE_HEADER + dialect.reset,
        )
        for quota in quotas_from_headers(dialect.dimension, rows):
            recorded.setdefault((quota.provider, quota.model, quota.dimension), quota)
    # A metric may name the model that was asked for, a span the one that answered.
    told = {(quota.provider, quota.dimension) for quota in recorded.values()}
    for quota in _quotas_from_metrics(asker.ask("llm/quota_metrics")):
        if (quota.provider, quota.dimension) not in told:
            recorded[quota.provider, quota.model, quota.dimension] = quota
    kept = [quota for quota in recorded.values() if quota.resource not in given]
    return [*kept, *given.values()]


def quotas_from_headers(dimension: str, rows: Iterable[Mapping[str, Any]]) -> list[Quota]:
    """Read the rows of ``llm/quota_headers``: one quota for each provider and model.

    Where the limit changed during the run, the one said most often counts.
    """
    by_model: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault((row["provider"], row["model"]), []).append(row)
    found = []
    for (provider, model), said in sorted(by_model.items()):
        limits: Counter[float] = Counter()
        for row in said:
            limit = number(row["quota"])
            if limit is not None and 0 < limit <= MAX_LIMIT:
                limits[limit] += int(row["attempts"])
        if not limits:
            continue
        limit = limits.most_common(1)[0][0]
        window = window_told(limit, said)
        refused = sum(
            int(row["attempts"])
            for row in said
            if row["http_status"] in RATE_LIMIT_STATUSES
            and (left := number(row["remaining"])) is not None
            and left < 1
        )
        found.append(
            Quota(
                provider,
                model,
                dimension,
                limit,
                window or "minute",
                "rate-limit headers",
                window is not None,
                refused,
            )
        )
    return found


def window_told(limit: float, rows: Iterable[Mapping[str, Any]]) -> Window | None:
    """Tell a quota of a minute from one of a day by its reset header; None if it does not say.

    A bucket that refills continuously is full again after used / limit · window seconds.
    ``remaining`` is a whole number, so used is known to one unit; whole-second resets to 1 s.
    """
    votes: Counter[Window] = Counter()
    for row in rows:
        left, reset = number(row["remaining"]), duration_s(row["reset"])
        if left is None or reset is None or not 0 < limit - left <= limit:
            continue
        used = limit - left
        fits: list[Window] = [
            window
            for window, length_s in WINDOW_S.items()
            if (used - 1) / limit * length_s * 0.95 - 0.05
            <= reset
            <= used / limit * length_s * 1.05 + (1.0 if reset.is_integer() else 0.05)
        ]
        if len(fits) == 1:
            votes[fits[0]] += int(row["attempts"])
    return votes.most_common(1)[0][0] if votes else None


def number(text: str | None) -> float | None:
    """Read a header's value: a number, or a JSON list whose first item is one."""
    value = _header(text)
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


def duration_s(text: str | None) -> float | None:
    """Read ``29.791s``, ``6m0s``, ``6ms`` or bare seconds; None for anything else."""
    value = _header(text)
    if not value:
        return None
    match = _DURATION.fullmatch(value)
    if match is None:
        return number(value)
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


_LIMIT = re.compile(
    r"(?P<resource>llm\.(?:requests|tokens|input_tokens|output_tokens))"
    r"=(?P<limit>\d+(?:\.\d+)?)(?:/(?P<window>min|minute|m|day|d))?"
)


def quota_given(text: str) -> Quota:
    """Read what a user typed: ``llm.requests=150/min``; raises ValueError with an example."""
    match = _LIMIT.fullmatch(text.strip().replace(" ", ""))
    if match is None or not 0 < float(match["limit"]) <= MAX_LIMIT:
        resources = ", ".join(f"llm.{dimension}" for dimension in DIMENSIONS)
        msg = f"cannot read {text!r}: write llm.requests=150/min (of {resources}; /min or /day)"
        raise ValueError(msg)
    window: Window = "day" if (match["window"] or "min").startswith("d") else "minute"
    dimension = match["resource"].removeprefix("llm.")
    return Quota("", "", dimension, float(match["limit"]), window, "--limit")


def _quotas_from_metrics(rows: Iterable[Mapping[str, Any]]) -> list[Quota]:
    return [
        Quota(
            row["provider"],
            row["model"],
            row["dimension"],
            float(row["quota"]),
            "minute",
            "metric agentscope.llm.ratelimit.limit",
            window_known=False,
        )
        for row in rows
        if row["dimension"] in DIMENSIONS and 0 < (row["quota"] or 0) <= MAX_LIMIT
    ]


def _header(text: str | None) -> str | None:
    """A header is recorded as a list of strings, which reaches us as JSON text."""
    if text is None or not text.startswith("["):
        return text.strip() if text else None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return str(values[0]).strip() if values else None
