"""PromQL, written from metric records: a name or label that the recorder lacks cannot be spelled.

Counters and the parts of histograms come out inside ``rate`` over ``$__rate_interval`` only, and
quantiles only from buckets summed by ``le``. Every selector asks for the chosen job and instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agentscope.conventions import Metric

Part = Literal["bucket", "count", "sum"]

RATE_INTERVAL = "$__rate_interval"
"""Grafana's word for a window that always holds four scrapes."""

ROUTE = "route"
"""The label and the variable that narrow turns down to one route."""


def rate(
    metric: Metric,
    part: Part | None = None,
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
    any_route: bool = False,
) -> str:
    """Increase a second of a counter, or of a histogram's ``part``, summed ``by`` labels.

    ``where`` maps labels to regular expressions. ``any_route`` leaves the chosen route aside, as
    the denominator of something that is not counted by route must.
    """
    if metric.instrument == "gauge" or (metric.instrument == "counter") is not (part is None):
        raise ValueError(f"{metric.name} is a {metric.instrument}: it has no rate of {part}")
    name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    series = name + _matchers(metric, where, any_route)
    return f"{_sum(metric, by, part)} (rate({series}[{RATE_INTERVAL}]))"


def quantile(share: float, metric: Metric, by: tuple[str, ...] = ()) -> str:
    """The value below which ``share`` of a histogram's observations lie, by labels."""
    return f"histogram_quantile({share:g}, {rate(metric, 'bucket', by)})"


def gauge(metric: Metric, where: Mapping[str, str] | None = None) -> str:
    """A gauge's series as they are, for an aggregation or a ratio around them."""
    if metric.instrument != "gauge":
        raise ValueError(f"{metric.name} is a {metric.instrument}, not a gauge")
    return metric.prometheus_name + _matchers(metric, where)


def worst_gauge(metric: Metric) -> str:
    """Per instance, the largest reading since the point before: a zoomed-out line keeps peaks."""
    return f"max by (instance) (max_over_time({gauge(metric)}[{RATE_INTERVAL}]))"


def share_of(part: str, whole: str) -> str:
    """A ratio of two sums with the same labels; 0, not a gap, where ``part`` has no series yet."""
    return f"({part} or 0 * {whole}) / {whole}"


def per(amount: str, unit: str) -> str:
    """``amount``, by whatever labels, per one of ``unit``, which has none; a gap while there is none."""
    return f"{amount} / on () group_left () ({unit} > 0)"


def _sum(metric: Metric, by: tuple[str, ...], part: Part | None) -> str:
    unknown = set(by) - {"job", "instance", *metric.prometheus_labels}
    if unknown:
        raise ValueError(f"{metric.name} has no labels {sorted(unknown)}")
    labels = (*(("le",) if part == "bucket" else ()), *by)
    return f"sum by ({', '.join(labels)})" if labels else "sum"


def _matchers(metric: Metric, where: Mapping[str, str] | None, any_route: bool = False) -> str:
    wanted = {"job": "$job", "instance": "$instance"}
    if ROUTE in metric.attributes and not any_route:
        wanted[ROUTE] = "$route"
    for label, pattern in (where or {}).items():
        if label not in metric.prometheus_labels:
            raise ValueError(f"{metric.name} has no label {label!r}")
        wanted[label] = pattern
    return "{" + ", ".join(f'{label}=~"{pattern}"' for label, pattern in wanted.items()) + "}"
