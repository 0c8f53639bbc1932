"""``/metrics``: the instruments as Prometheus text, rendered off the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from agentscope import conventions as c
from agentscope.recording.instruments import Point
from agentscope.recording.recorder import Recorder

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

FLUSH_S = 0.5
"""How long a scrape waits for spans that have ended but are not counted yet."""


class InstrumentsCollector(Collector):
    """The recorder's instruments as prometheus_client wants them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def collect(self) -> Iterator[Family]:
        """Every metric that has a series, as of now."""
        for metric, points in self._recorder.instruments.snapshot():
            yield family_of(metric, points)


def family_of(metric: c.Metric, points: list[Point]) -> Family:
    """One metric's family, with its name and labels in Prometheus's spelling."""
    name = metric.prometheus_name
    labels = metric.prometheus_labels
    if metric.instrument == "histogram":
        histogram = HistogramMetricFamily(name, metric.doc, labels=labels)
        bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
        for point in points:
            counts = zip(bounds, point.cumulative_counts(), strict=True)
            histogram.add_metric(list(point.labels), list(counts), point.value)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.instrument == "counter":
        family = CounterMetricFamily(name.removesuffix("_total"), metric.doc, labels=labels)
    else:
        family = GaugeMetricFamily(name, metric.doc, labels=labels)
    for point in points:
        family.add_metric(list(point.labels), point.value)
    return family


def render(recorder: Recorder) -> bytes:
    """Prometheus text of everything counted so far. Blocks; call it from a thread."""
    recorder.flush(FLUSH_S)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(InstrumentsCollector(recorder))
    return generate_latest(registry)


# One thread, and not of those that the service has for its own work; one for each event loop, for
# a limiter belongs to the loop that used it first.
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("agentscope-metrics")


def _one_at_a_time() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(1)
        _limiter.set(limiter)
        return limiter


async def serve(recorder: Recorder, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer a scrape."""
    body = await anyio.to_thread.run_sync(render, recorder, limiter=_one_at_a_time())
    headers = [
        (b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
