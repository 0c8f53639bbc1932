"""OTLP metric points as rows of the table ``metrics``."""

from __future__ import annotations

from typing import Any, Final

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.ingest.dialects import RESOURCE_COLUMNS
from agentscope_analyzer.ingest.otlp import integer, number, parts, text_attributes
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally, Unit

__all__ = ["MetricRows"]

_TEMPORALITIES: Final = {
    "1": "delta", "AGGREGATION_TEMPORALITY_DELTA": "delta",
    "2": "cumulative", "AGGREGATION_TEMPORALITY_CUMULATIVE": "cumulative",
}  # fmt: skip
_UNSUPPORTED: Final = ("exponentialHistogram", "summary")
_NO_RECORDED_VALUE: Final = 1
"""Flag of a point that says only that the series has ended."""
_FULL: Final = 100_000


class MetricRows:
    """Gathers points and appends them to the engine, many at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names = [column.name for column in TABLES["metrics"].columns]
        self._rows: list[tuple[Any, ...]] = []

    def take(self, document: dict[str, Any], tally: Tally) -> None:
        """Gather the points of a line; bad ones are counted. Raises Refused for a bad line."""
        for resource, _, metrics in list(
            parts(
                document,
                "resourceMetrics",
                ("scopeMetrics", "instrumentationLibraryMetrics"),
                "metrics",
            )
        ):
            instance = _instance(resource)
            for metric in metrics:
                self._metric(metric, instance, tally)
        if len(self._rows) >= _FULL:
            self.flush()

    def flush(self) -> None:
        """Append what was gathered to the table."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            self._engine.insert("metrics", dict(zip(self._names, columns, strict=True)))
            self._rows.clear()

    def _metric(self, metric: Any, instance: str, tally: Tally) -> None:
        if not isinstance(metric, dict):
            raise Refused(Reason.NOT_OTLP)
        for kind in _UNSUPPORTED:
            unsupported = len(_points(metric.get(kind)))
            tally.read[Unit.METRIC_POINTS.value] += unsupported
            tally.refuse(Reason.UNSUPPORTED_METRIC, unsupported)
        for kind in ("gauge", "sum", "histogram"):
            data = metric.get(kind)
            for point in _points(data):
                tally.read[Unit.METRIC_POINTS.value] += 1
                try:
                    self._rows.append(_row(metric, instance, kind, data or {}, point))
                except (Refused, UnicodeEncodeError):
                    tally.refuse(Reason.BAD_POINT)


def _row(
    metric: dict[str, Any], instance: str, kind: str, data: dict[str, Any], point: Any
) -> tuple[Any, ...]:
    name, unit = metric.get("name"), metric.get("unit")
    if not isinstance(point, dict) or not isinstance(name, str) or not name:
        raise Refused(Reason.BAD_POINT)
    time_ns = integer(point.get("timeUnixNano"))
    start_ns = integer(point.get("startTimeUnixNano", 0))
    if time_ns is None or time_ns <= 0 or start_ns is None:
        raise Refused(Reason.BAD_POINT)
    attrs = text_attributes(point.get("attributes"))
    for text in (name, *attrs, *attrs.values()):
        text.encode()  # a lone surrogate is no text
    return (
        name,
        instance,
        time_ns,
        start_ns or None,
        kind,
        _TEMPORALITIES.get(str(data.get("aggregationTemporality"))) if kind != "gauge" else None,
        unit if isinstance(unit, str) else "",
        attrs,
        *(_buckets(point) if kind == "histogram" else (_value(point), None, None, None, None)),
    )


def _value(point: dict[str, Any]) -> float:
    value = point.get("asDouble")
    if value is None:
        value = integer(point.get("asInt"))
    found = number(value)
    if found is None or (integer(point.get("flags", 0)) or 0) & _NO_RECORDED_VALUE:
        raise Refused(Reason.BAD_POINT)
    return found


def _buckets(point: dict[str, Any]) -> tuple[None, int, float | None, list[float], list[int]]:
    """Count, sum, bounds and bucket counts; raises Refused unless they fit together."""
    count = integer(point.get("count", 0))
    total = number(point["sum"]) if point.get("sum") is not None else None
    bounds = [number(bound) for bound in point.get("explicitBounds") or []]
    counts = [integer(bucket) for bucket in point.get("bucketCounts") or []]
    good_bounds = [bound for bound in bounds if bound is not None]
    good_counts = [bucket for bucket in counts if bucket is not None and bucket >= 0]
    whole = len(good_bounds) == len(bounds) and len(good_counts) == len(counts)
    fitting = len(counts) == len(bounds) + 1 or not (counts or bounds)
    if count is None or not whole or not fitting or (counts and sum(good_counts) != count):
        raise Refused(Reason.BAD_POINT)
    return None, count, total, good_bounds, good_counts


def _points(data: Any) -> list[Any]:
    points = data.get("dataPoints") if isinstance(data, dict) else data
    if points is None:
        return []
    if not isinstance(points, list):
        raise Refused(Reason.NOT_OTLP)
    return points


def _instance(resource: dict[str, Any]) -> str:
    try:
        attrs = text_attributes(resource.get("attributes"))
    except Refused:
        raise Refused(Reason.NOT_OTLP) from None
    for source in RESOURCE_COLUMNS["instance"]:
        if source.attribute in attrs:
            return attrs[source.attribute]
    return ""
