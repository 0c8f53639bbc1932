"""Ended spans and metric points as OTLP-JSON, the format of the Collector's file exporter.

One span becomes one fragment of bytes; a line is a header, fragments joined by commas, a footer.
So a span is encoded once, and waits as bytes, which the garbage collector never looks into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.instruments import Point
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue, Span

_encode = msgspec.json.Encoder().encode

SPANS_FOOTER = b"]}]}]}\n"
METRICS_FOOTER = b"]}]}]}\n"

MAX_LIST_ITEMS = 64
MAX_LIST_LENGTH = 16 * 1024
"""Letters in the items of a list together."""

_CUMULATIVE = 2


def span_fragment(span: Span, clock: Clock) -> bytes:
    """The ``Span`` object of OTLP-JSON, without a line end.

    Texts longer than ``MAX_VALUE_LENGTH``, and lists longer than ``MAX_LIST_LENGTH``, are cut, and
    the span says so.
    """
    try:
        return _fragment(span, clock)
    except _TooLongError:
        _cut(span)
        return _fragment(span, clock)


def _fragment(span: Span, clock: Clock) -> bytes:
    # By hand around remembered pieces: names, models, routes and methods are few, and a generic
    # encoder takes twice as long for the objects that it wants to see.
    parent = f',"parentSpanId":"{span.parent_id:016x}"' if span.parent_id else ""
    rest = _rest(span, clock) if span.status or span.events or span.links else ""
    if span.dropped_attributes:
        rest += f',"droppedAttributesCount":{span.dropped_attributes}'
    attributes = ",".join([_attribute(key, value) for key, value in span.attributes.items()])
    return (
        f'{{"traceId":"{span.trace_id:032x}","spanId":"{span.span_id:016x}"{parent}'
        f',"name":{_quoted(span.name)},"kind":{span.kind}'
        f',"startTimeUnixNano":"{clock.epoch_ns(span.start_ns)}"'
        f',"endTimeUnixNano":"{clock.epoch_ns(span.end_ns)}"'
        f',"attributes":[{attributes}]{rest}}}'
    ).encode()


class _TooLongError(Exception):
    """A text is longer than a span may hold."""


def _cut(span: Span) -> None:
    span.name = span.name[:MAX_VALUE_LENGTH]
    for key, value in span.attributes.items():
        span.attributes[key] = cut_value(value)
    span.attributes[c.TRUNCATED] = True


def cut_value(value: AttributeValue) -> AttributeValue:
    """As much of a text, or of a list, as a span may hold."""
    if isinstance(value, str):
        return value[:MAX_VALUE_LENGTH]
    if not isinstance(value, list):
        return value
    longest = MAX_LIST_LENGTH // MAX_LIST_ITEMS
    items: Any = value[:MAX_LIST_ITEMS]
    return [item[:longest] if isinstance(item, str) else item for item in items]


_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 256

_remembered: dict[tuple[str, AttributeValue] | str, str] = {}


def letters(items: Any) -> int:
    """Letters in the texts of a list together."""
    return sum([len(item) for item in items if type(item) is str])


def _attribute(key: str, value: AttributeValue) -> str:
    # Equal values of different types (1, 1.0, True) must not share a piece: only text is kept.
    kind = type(value)
    if kind is str:
        return _remembered.get((key, value)) or _text_attribute(key, str(value))
    if kind is int and -(1 << 63) <= value < 1 << 63:  # type: ignore[operator]  # an int
        return f'{{"key":{_quoted(key)},"value":{{"intValue":"{value}"}}}}'
    if kind is float and isfinite(value):  # type: ignore[arg-type]  # a float
        return f'{{"key":{_quoted(key)},"value":{{"doubleValue":{value!r}}}}}'
    if kind is list:
        if letters(value) > MAX_LIST_LENGTH:
            raise _TooLongError
        values = ",".join([_item(item) for item in value])  # type: ignore[union-attr]  # a list
        return f'{{"key":{_quoted(key)},"value":{{"arrayValue":{{"values":[{values}]}}}}}}'
    return _text({"key": key, "value": _value(value)})


def _item(value: AttributeValue) -> str:
    # A response's headers, mostly: too many different texts to remember.
    return f'{{"stringValue":{_text(value)}}}' if type(value) is str else _text(_value(value))


def _text_attribute(key: str, value: str) -> str:
    if len(value) > MAX_VALUE_LENGTH:
        raise _TooLongError
    piece = _text({"key": key, "value": {"stringValue": value}})
    _remember((key, value), piece)
    return piece


def _quoted(text: str) -> str:
    piece = _remembered.get(text)
    if piece is None:
        if len(text) > MAX_VALUE_LENGTH:
            raise _TooLongError
        piece = _text(text)
        _remember(text, piece)
    return piece


def _remember(key: tuple[str, AttributeValue] | str, piece: str) -> None:
    if len(piece) > _MAX_REMEMBERED_LENGTH:
        return
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()  # session ids fill it in time; what is used often is soon back
    _remembered[key] = piece


def _rest(span: Span, clock: Clock) -> str:
    """What few spans have: events, links, a status; from the second key on."""
    record: dict[str, Any] = {}
    if span.events:
        record["events"] = [
            {
                "timeUnixNano": str(clock.epoch_ns(at_ns)),
                "name": name,
                "attributes": _key_values(attributes),
            }
            for at_ns, name, attributes in span.events
        ]
    if span.links:
        record["links"] = [
            {"traceId": format(trace_id, "032x"), "spanId": format(span_id, "016x")}
            for trace_id, span_id in span.links
        ]
    if span.status:
        record["status"] = {"code": span.status}
    return "," + _text(record)[1:-1]


def metric_fragment(metric: c.Metric, points: Sequence[Point], start_ns: int, now_ns: int) -> bytes:
    """The ``Metric`` object of OTLP-JSON; ``start_ns`` and ``now_ns`` are dates.

    Counters and histograms are cumulative since the process started.
    """
    start, now = str(start_ns), str(now_ns)
    record: dict[str, Any] = {"name": metric.name, "unit": metric.unit}
    if metric.instrument == "histogram":
        record["histogram"] = {
            "aggregationTemporality": _CUMULATIVE,
            "dataPoints": [
                {
                    "attributes": _labels(metric, point),
                    "startTimeUnixNano": start,
                    "timeUnixNano": now,
                    "count": str(point.count),
                    "sum": point.value,
                    "explicitBounds": metric.buckets,
                    "bucketCounts": [str(n) for n in point.bucket_counts],
                }
                for point in points
            ],
        }
        return _bytes(record)
    data_points = [
        {
            "attributes": _labels(metric, point),
            "startTimeUnixNano": start,
            "timeUnixNano": now,
            "asDouble": point.value,
        }
        for point in points
    ]
    if metric.instrument == "gauge":
        record["gauge"] = {"dataPoints": data_points}
    else:
        record["sum"] = {
            "aggregationTemporality": _CUMULATIVE,
            "isMonotonic": True,
            "dataPoints": data_points,
        }
    return _bytes(record)


def spans_header(resource: Mapping[str, AttributeValue], version: str) -> bytes:
    """What stands before the span fragments of a line."""
    return _header("resourceSpans", "scopeSpans", "spans", resource, version)


def metrics_header(resource: Mapping[str, AttributeValue], version: str) -> bytes:
    """What stands before the metric fragments of a line."""
    return _header("resourceMetrics", "scopeMetrics", "metrics", resource, version)


def _header(
    outer: str, inner: str, items: str, resource: Mapping[str, AttributeValue], version: str
) -> bytes:
    attributes = _bytes({"attributes": _key_values(resource)}).decode()
    scope = _bytes({"name": "agentscope", "version": version}).decode()
    line = f'{{"{outer}":[{{"resource":{attributes},"{inner}":[{{"scope":{scope},"{items}":['
    return line.encode()


def _labels(metric: c.Metric, point: Point) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": value}}
        for key, value in zip(metric.attributes, point.labels, strict=True)
        if value != ""
    ]


def _key_values(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": value} if type(value) is str else _value(value)}
        for key, value in attributes.items()
    ]


def _value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, str):  # an enumeration of ours
        return {"stringValue": str(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # An int64 by OTLP's definition; a larger one is kept as the text that it is.
        if -(1 << 63) <= value < 1 << 63:
            return {"intValue": str(value)}
        return {"stringValue": str(value)}
    if isinstance(value, float):
        # JSON has no word for these; protobuf's JSON mapping writes them as text.
        return {"doubleValue": float(value) if isfinite(value) else str(value)}
    return {"arrayValue": {"values": [_value(item) for item in value]}}


def _text(record: Any) -> str:
    return _bytes(record).decode()


def _bytes(record: Any) -> bytes:
    try:
        return _encode(record)
    except UnicodeEncodeError:  # half of a surrogate pair, as broken clients send them
        return _encode(_mended(record))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value
