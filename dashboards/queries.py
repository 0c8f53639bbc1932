"""PromQL, written from metric records: a name or label that the recorder lacks cannot be spelled.

Counters and the parts of histograms come out inside ``rate`` over ``$__rate_interval`` only, and
quantiles only from buckets summed by ``le``. Every selector asks for the chosen job and instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import quotas
from agentscope import conventions as c
from agentscope.conventions import Metric

Part = Literal["bucket", "count", "sum"]

RATE_INTERVAL = "$__rate_interval"
"""Grafana's word for a window that always holds four scrapes."""

INTERVAL = "$__interval"
"""Grafana's word for the distance of two points: a scrape's, or more."""

RANGE = "$__range"
"""Grafana's word for the time shown."""

ROUTE = "route"
"""The label and the variable that narrow turns down to one route."""

NEWER = {
    c.OPERATION_DURATION: c.INFERENCE_DURATION,
    c.OPERATION_FIRST_CHUNK: c.INFERENCE_FIRST_CHUNK,
    c.OPERATION_CHUNK_GAP: c.INFERENCE_CHUNK_GAP,
}
"""Metrics that the GenAI conventions renamed: a service records either name, or both."""

TOKENS = {"input": c.INFERENCE_INPUT_TOKENS, "output": c.INFERENCE_OUTPUT_TOKENS}
"""What became of the older histogram of tokens: a counter each."""

_OF_THE_GENERATOR = frozenset(c.LOAD_METRICS.values())


def rate(
    metric: Metric,
    part: Part | None = None,
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
    any_route: bool = False,
) -> str:
    """Increase a second of a counter, or of a histogram's ``part``, summed ``by`` labels.

    ``where`` maps labels to regular expressions. ``any_route`` leaves the chosen route aside, as
    the denominator of something that is not counted by route must. A renamed metric is asked for
    by its older name or, for each series that has none, by its newer one: services that record
    either, or both, may be chosen together.
    """
    rates = _rate(metric, part, where, any_route)
    if metric in NEWER:
        rates += f" or {_rate(NEWER[metric], part, where, any_route)}"
    return f"{_sum(metric, by, part)} ({rates})"


def tokens(
    kind: Literal["input", "output"],
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
) -> str:
    """Tokens a second of one kind, by whichever name they are recorded."""
    # The two names differ in labels as well, so that only sums can stand for each other.
    each = ("job", "instance", *by)
    older = _rate(c.TOKEN_USAGE, "sum", {**(where or {}), "gen_ai_token_type": kind})
    newer = _rate(TOKENS[kind], None, where)
    either = f"{_sum(c.TOKEN_USAGE, each)} ({older}) or {_sum(TOKENS[kind], each)} ({newer})"
    return f"{_sum(TOKENS[kind], by)} ({either})"


def quantile(
    share: float,
    metric: Metric,
    by: tuple[str, ...] = (),
    where: Mapping[str, str] | None = None,
) -> str:
    """The value below which ``share`` of a histogram's observations lie, by labels."""
    return f"histogram_quantile({share:g}, {rate(metric, 'bucket', by, where)})"


def mean(metric: Metric, by: tuple[str, ...] = ()) -> str:
    """A histogram's mean in the window: sum by count, never a mean of means."""
    return f"{rate(metric, 'sum', by)} / ({rate(metric, 'count', by)} > 0)"


def gauge(metric: Metric, where: Mapping[str, str] | None = None) -> str:
    """A gauge's series as they are, for an aggregation or a ratio around them."""
    if metric.instrument != "gauge":
        raise ValueError(f"{metric.name} is a {metric.instrument}, not a gauge")
    return metric.prometheus_name + _matchers(metric, where)


def worst_gauge(metric: Metric, by: tuple[str, ...] = ("instance",)) -> str:
    """The largest reading since the point before, by labels: a zoomed-out line keeps peaks."""
    around = f"max by ({', '.join(by)})" if by else "max"
    return f"{around} (max_over_time({gauge(metric)}[{RATE_INTERVAL}]))"


def per_process(amount: str) -> str:
    """``amount`` of an instance for one of its processes: workers may share one ``/metrics``."""
    return f"{amount} / {total(c.PROCESSES, by=('instance',))}"


def headroom(where: Mapping[str, str] | None = None) -> str:
    """Share of each quota that is left, by instance: see ``quotas``."""
    return quotas.headroom(*_told(where), window=RATE_INTERVAL)


def time_left(where: Mapping[str, str] | None = None) -> str:
    """Seconds until a quota is used up, by instance: see ``quotas``."""
    return quotas.time_left(*_told(where))


def _told(where: Mapping[str, str] | None) -> tuple[str, str, str]:
    left, most = (gauge(metric, where) for metric in (c.RATELIMIT_REMAINING, c.RATELIMIT_LIMIT))
    return left, most, _rate(c.LLM_ATTEMPTS, None, where)


def in_flight() -> str:
    """Turns in flight, on average since the point before."""
    return f"sum (avg_over_time({gauge(c.TURNS_ACTIVE)}[{RATE_INTERVAL}]))"


def total(metric: Metric, by: tuple[str, ...] = ()) -> str:
    """A gauge summed over everything but these labels."""
    return f"{_sum(metric, by)} ({gauge(metric)})"


def or_zero(expr: str) -> str:
    """``expr``, without labels, or 0 where the recorder is there and there was nothing to count yet."""
    return f"{expr} or 0 * {total(c.TURNS_ACTIVE)}"


def share_of(part: str, whole: str) -> str:
    """A ratio of two sums with the same labels; a gap where there is no ``whole``.

    It is 0, not a gap, where ``part`` has no series yet.
    """
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def per(amount: str, unit: str) -> str:
    """``amount``, by any labels, per one of ``unit``, which has none; a gap while it is zero."""
    return f"{amount} / on () group_left () ({unit} > 0)"


def _rate(
    metric: Metric,
    part: Part | None,
    where: Mapping[str, str] | None,
    any_route: bool = False,
) -> str:
    if metric.instrument == "gauge" or (metric.instrument == "counter") is not (part is None):
        raise ValueError(f"{metric.name} is a {metric.instrument}: it has no rate of {part}")
    name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    return f"rate({name}{_matchers(metric, where, any_route)}[{RATE_INTERVAL}])"


def _sum(metric: Metric, by: tuple[str, ...], part: Part | None = None) -> str:
    unknown = set(by) - {"job", "instance", *metric.prometheus_labels}
    if unknown:
        raise ValueError(f"{metric.name} has no labels {sorted(unknown)}")
    labels = (*(("le",) if part == "bucket" else ()), *by)
    return f"sum by ({', '.join(labels)})" if labels else "sum"


def _matchers(metric: Metric, where: Mapping[str, str] | None, any_route: bool = False) -> str:
    # The load generator is a job of its own, which nobody chooses along with the service.
    wanted = {} if metric in _OF_THE_GENERATOR else {"job": "$job", "instance": "$instance"}
    if ROUTE in metric.attributes and not any_route:
        wanted[ROUTE] = "$route"
    for label, pattern in (where or {}).items():
        if label not in metric.prometheus_labels:
            raise ValueError(f"{metric.name} has no label {label!r}")
        wanted[label] = pattern
    matchers = ", ".join(f'{label}=~"{pattern}"' for label, pattern in wanted.items())
    return f"{{{matchers}}}" if matchers else ""
