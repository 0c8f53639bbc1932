"""The load generator's own metrics for Prometheus: users, stage, requests as their users saw them.

One process serves them, the only one or Locust's master. Workers count for themselves and send
what is new with the reports that they send their master anyway, every three seconds; so of a run
with ``--processes`` or on several machines the figures are sums over all workers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from agentscope import conventions as c
from agentscope.lab.load.lines import UNFINISHED, RequestLine

_BOUNDS = c.LOAD_REQUEST_DURATION.buckets


def outcome_of(line: RequestLine) -> str:
    """How a request ended, in one of seven words; an error's text would be without bound.

    ``ok``, ``429``, ``4xx``, ``5xx``, ``no_answer`` (no status came), ``content`` (a good status,
    but the answer was empty or broke off), ``unfinished`` (cut off by the end of the run).
    """
    if line.error is None:
        return "ok"
    if line.error == UNFINISHED:
        return "unfinished"
    if line.status == 429:
        return "429"
    if line.status >= 400:
        return f"{line.status // 100}xx"
    return "content" if line.status else "no_answer"


@dataclass
class RequestCounts:
    """Requests by name and outcome, and a histogram of their durations by name."""

    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    durations: dict[str, list[int]] = field(default_factory=dict)
    """Counts by bucket, the last one for what is beyond the largest bound."""
    sums_s: dict[str, float] = field(default_factory=dict)

    def add(self, line: RequestLine) -> None:
        """Count one request. One that was cut off has no duration to tell."""
        outcome = outcome_of(line)
        bucket = bisect_left(_BOUNDS, line.duration_s)
        self._add_requests(line.name, outcome, 1)
        if outcome != "unfinished":
            buckets = [int(at == bucket) for at in range(len(_BOUNDS) + 1)]
            self._add_durations(line.name, buckets, line.duration_s)

    def take(self) -> dict[str, Any]:
        """All that was counted, in a form that Locust can send; counting begins anew."""
        taken = {
            "requests": [[*key, count] for key, count in self.requests.items()],
            "durations": [
                [name, buckets, self.sums_s[name]] for name, buckets in self.durations.items()
            ],
        }
        self.requests, self.durations, self.sums_s = {}, {}, {}
        return taken

    def merge(self, taken: dict[str, Any]) -> None:
        """Add what another process took."""
        for name, outcome, count in taken["requests"]:
            self._add_requests(name, outcome, count)
        for name, buckets, sum_s in taken["durations"]:
            self._add_durations(name, buckets, sum_s)

    def _add_requests(self, name: str, outcome: str, count: int) -> None:
        self.requests[name, outcome] = self.requests.get((name, outcome), 0) + count

    def _add_durations(self, name: str, buckets: list[int], sum_s: float) -> None:
        before = self.durations.get(name, [0] * (len(_BOUNDS) + 1))
        self.durations[name] = [old + new for old, new in zip(before, buckets, strict=True)]
        self.sums_s[name] = self.sums_s.get(name, 0.0) + sum_s


@dataclass(frozen=True, eq=False)  # a registry keeps it by identity
class LoadCollector(Collector):
    """What a scrape is answered with: ``users`` and ``stage`` are asked at that moment."""

    counts: RequestCounts
    users: Callable[[], int]
    stage: Callable[[], str | None]
    """The stage that is on; None before the run and after it."""

    def collect(self) -> Iterator[Family]:
        """The four metrics of ``conventions.LOAD_METRICS``."""
        users = _gauge(c.LOAD_USERS)
        users.add_metric([], self.users())
        yield users
        stages = _gauge(c.LOAD_STAGE)
        stage = self.stage()
        if stage is not None:
            stages.add_metric([stage], 1)
        yield stages
        requests = CounterMetricFamily(
            c.LOAD_REQUESTS.prometheus_name,
            c.LOAD_REQUESTS.doc,
            labels=c.LOAD_REQUESTS.prometheus_labels,
        )
        for key, count in self.counts.requests.items():
            requests.add_metric(key, count)
        yield requests
        yield self._durations()

    def _durations(self) -> Family:
        metric = c.LOAD_REQUEST_DURATION
        family = HistogramMetricFamily(
            metric.prometheus_name, metric.doc, labels=metric.prometheus_labels
        )
        for name, buckets in self.counts.durations.items():
            bounds = (*(f"{bound:g}" for bound in _BOUNDS), "+Inf")
            counts = list(zip(bounds, accumulate(buckets), strict=True))
            family.add_metric([name], counts, self.counts.sums_s[name])
        return family


def serve(collector: LoadCollector, host: str, port: int) -> Callable[[], None]:
    """Serve ``/metrics`` until the function that is returned is called.

    Raises OSError where the port is taken or the host is not this one.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    server, _ = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def _gauge(metric: c.Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.prometheus_name, metric.doc, labels=metric.prometheus_labels)
