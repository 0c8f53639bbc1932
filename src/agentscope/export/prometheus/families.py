"""One metric with its series as prometheus_client's family."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar as PrometheusExemplar

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.instruments import Exemplar, Point

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def family_of(metric: c.Metric, points: list[Point], clock: Clock) -> Family:
    """One metric's family, with its name and labels in Prometheus's spelling."""
    name = metric.prometheus_name
    labels = metric.prometheus_labels
    if metric.instrument == "histogram":
        histogram = HistogramMetricFamily(name, metric.doc, labels=labels)
        for point in points:
            histogram.add_metric(list(point.labels), _buckets(metric, point, clock), point.value)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.instrument == "counter":
        family = CounterMetricFamily(name.removesuffix("_total"), metric.doc, labels=labels)
    else:
        family = GaugeMetricFamily(name, metric.doc, labels=labels)
    for point in points:
        family.add_metric(list(point.labels), point.value)
    return family


def bounds_of(metric: c.Metric) -> list[str]:
    """The upper bounds of a histogram as the label ``le`` has them."""
    return [*(str(float(bound)) for bound in metric.buckets), "+Inf"]


_Bucket = tuple[str, float] | tuple[str, float, PrometheusExemplar]


def _buckets(metric: c.Metric, point: Point, clock: Clock) -> list[_Bucket]:
    exemplars = point.exemplars or [None] * len(point.bucket_counts)
    counts = zip(bounds_of(metric), point.cumulative_counts(), exemplars, strict=True)
    return [
        (bound, count) if exemplar is None else (bound, count, _exemplar(exemplar, clock))
        for bound, count, exemplar in counts
    ]


def _exemplar(exemplar: Exemplar, clock: Clock) -> PrometheusExemplar:
    labels = {"trace_id": f"{exemplar.trace_id:032x}", "span_id": f"{exemplar.span_id:016x}"}
    return PrometheusExemplar(labels, exemplar.value, clock.epoch_ns(exemplar.at_ns) / 1e9)
