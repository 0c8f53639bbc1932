"""One metric with its series as prometheus_client's family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar as PrometheusExemplar

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.genai_names import INFERENCES, OLDER, Taken, respelled
from agentscope.recording.instruments import Exemplar, Point
from agentscope.recording.recorder import Recorder


def counted(recorder: Recorder) -> Taken:
    """Everything counted so far, the GenAI metrics by all names that are wished for.

    Where only the newer ones are, the older ones are told too: the aliases are made of them.
    """
    return named(recorder, recorder.instruments.snapshot())


def named(recorder: Recorder, taken: Taken) -> Taken:
    """A snapshot, the GenAI metrics in it by all names that are wished for."""
    names = recorder.genai_names
    return respelled(taken, "both" if names == "new" else names)


def without_older_names(families: Iterable[Family]) -> Iterator[Family]:
    """The families as they are where only the newer names of inferences are wished for."""
    operation = c.prometheus_label(c.OPERATION_NAME)
    older = {metric.prometheus_name for metric in OLDER}
    for family in families:
        if family.name in older:
            family.samples = [
                one for one in family.samples if one.labels[operation] not in INFERENCES
            ]
        if family.samples:
            yield family


OurFamily = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def family_of(metric: c.Metric, points: Iterable[Point], clock: Clock) -> OurFamily:
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


@cache
def bounds_of(metric: c.Metric) -> tuple[str, ...]:
    """The upper bounds of a histogram as the label ``le`` has them; the same for every series."""
    return (*(str(float(bound)) for bound in metric.buckets), "+Inf")


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
