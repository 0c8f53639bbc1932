"""The queries of ``queries``, narrowed down to the model that is chosen on the board.

What is not counted by model (turns, waits, connection pools) comes out as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import queries
from agentscope import conventions as c
from agentscope.conventions import Metric

MODEL: Final = "model"
"""The variable; a metric's label is spelled so, or as OpenTelemetry's request model."""

REQUEST_MODEL: Final = c.REQUEST_MODEL.replace(".", "_")


def rate(
    metric: Metric,
    part: queries.Part | None = None,
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
) -> str:
    """See ``queries.rate``."""
    return queries.rate(metric, part, by, _chosen(metric, where))


def quantile(
    share: float,
    metric: Metric,
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
) -> str:
    """See ``queries.quantile``."""
    return queries.quantile(share, metric, by, _chosen(metric, where))


def gauge(metric: Metric, where: Mapping[str, str] | None = None) -> str:
    """See ``queries.gauge``."""
    return queries.gauge(metric, _chosen(metric, where))


def tokens(kind: Literal["input", "output"], by: tuple[str, ...] = ()) -> str:
    """See ``queries.tokens``."""
    return queries.tokens(kind, by, _chosen(c.TOKEN_USAGE))


def headroom() -> str:
    """See ``queries.headroom``."""
    return queries.headroom(_chosen(c.RATELIMIT_REMAINING))


def time_left() -> str:
    """See ``queries.time_left``."""
    return queries.time_left(_chosen(c.RATELIMIT_REMAINING))


def _chosen(metric: Metric, where: Mapping[str, str] | None = None) -> dict[str, str]:
    labels = [name for name in (MODEL, REQUEST_MODEL) if name in metric.prometheus_labels]
    return {**dict.fromkeys(labels, f"${MODEL}"), **(where or {})}
