"""Spans and metric points as OTLP's protobuf messages.

As in the run directory, one span becomes one fragment that is encoded once and waits as bytes; a
request is a header that names the resource, and fragments after it. Field numbers are those of
opentelemetry-proto 1.9 (https://github.com/open-telemetry/opentelemetry-proto).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentscope import conventions as c
from agentscope.export.otlp import wire
from agentscope.recording.clock import Clock
from agentscope.recording.encoding import MAX_LIST_LENGTH, cut_value, letters
from agentscope.recording.instruments import Point
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue, Span

CUMULATIVE, DELTA = 2, 1
"""Aggregation temporalities, as OTLP numbers them."""

_REQUEST_RESOURCE = 1  # ExportTraceServiceRequest.resource_spans, …metrics
_RESOURCE, _SCOPE_ITEMS = 1, 2  # ResourceSpans, ResourceMetrics
_SCOPE, _ITEMS = 1, 2  # ScopeSpans, ScopeMetrics
_SPAN_ATTRIBUTES, _EVENT_ATTRIBUTES = 9, 3
_NUMBER_ATTRIBUTES, _HISTOGRAM_ATTRIBUTES = 7, 9

_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 256
_remembered: dict[tuple[int, str, AttributeValue], bytes] = {}


def span_fragment(span: Span, clock: Clock) -> bytes:
    """One span as a member of ``ScopeSpans.spans``, tag and length included.

    Texts longer than ``MAX_VALUE_LENGTH`` are cut, and the span says so.
    """
    parts = [
        wire.bytes_field(1, span.trace_id.to_bytes(16, "big")),
        wire.bytes_field(2, span.span_id.to_bytes(8, "big")),
        wire.text_field(5, span.name[:MAX_VALUE_LENGTH]),
        wire.number_field(6, span.kind),
        wire.fixed64_field(7, clock.epoch_ns(span.start_ns)),
        wire.fixed64_field(8, clock.epoch_ns(span.end_ns)),
    ]
    if span.parent_id:
        parts.append(wire.bytes_field(4, span.parent_id.to_bytes(8, "big")))
    cut = False
    for key, value in span.attributes.items():
        if _is_long(value):
            cut, value = True, cut_value(value)
        parts.append(_attribute(_SPAN_ATTRIBUTES, key, value))
    if cut:
        parts.append(_attribute(_SPAN_ATTRIBUTES, c.TRUNCATED, value=True))
    if span.dropped_attributes:
        parts.append(wire.number_field(10, span.dropped_attributes))
    for at_ns, name, attributes in span.events or ():
        event = [wire.fixed64_field(1, clock.epoch_ns(at_ns)), wire.text_field(2, name)]
        event += [_attribute(_EVENT_ATTRIBUTES, key, value) for key, value in attributes.items()]
        parts.append(wire.bytes_field(11, b"".join(event)))
    for trace_id, span_id in span.links or ():
        link = wire.bytes_field(1, trace_id.to_bytes(16, "big"))
        parts.append(wire.bytes_field(13, link + wire.bytes_field(2, span_id.to_bytes(8, "big"))))
    if span.status:
        parts.append(wire.bytes_field(15, wire.number_field(3, span.status)))
    return wire.bytes_field(_ITEMS, b"".join(parts))


def metric_fragment(
    metric: c.Metric,
    points: Sequence[Point],
    start_ns: int,
    now_ns: int,
    temporality: int = CUMULATIVE,
) -> bytes:
    """One metric as a member of ``ScopeMetrics.metrics``, tag and length included."""
    times = wire.fixed64_field(2, start_ns) + wire.fixed64_field(3, now_ns)
    if metric.instrument == "histogram":
        data = b"".join(wire.bytes_field(1, _histogram(metric, point, times)) for point in points)
        kind = wire.bytes_field(9, data + wire.number_field(2, temporality))
    else:
        data = b"".join(wire.bytes_field(1, _number(metric, point, times)) for point in points)
        if metric.instrument == "gauge":
            kind = wire.bytes_field(5, data)
        else:
            monotonic = wire.number_field(2, temporality) + wire.number_field(3, 1)
            kind = wire.bytes_field(7, data + monotonic)
    named = wire.text_field(1, metric.name) + wire.text_field(2, metric.doc)
    return wire.bytes_field(_ITEMS, named + wire.text_field(3, metric.unit) + kind)


class Envelope:
    """What stands around the fragments of every request of one process."""

    def __init__(self, resource: Mapping[str, AttributeValue], version: str) -> None:
        attributes = b"".join(_attribute(1, key, value) for key, value in resource.items())
        scope = wire.text_field(1, "agentscope") + wire.text_field(2, version)
        self._resource = wire.bytes_field(_RESOURCE, attributes)
        self._scope = wire.bytes_field(_SCOPE, scope)

    def around(self, fragments: Sequence[bytes]) -> bytes:
        """A whole ``ExportTraceServiceRequest``, or the one of metrics: they are built alike."""
        items = wire.bytes_field(_SCOPE_ITEMS, self._scope + b"".join(fragments))
        return wire.bytes_field(_REQUEST_RESOURCE, self._resource + items)


def refused_records(answer: bytes) -> tuple[int, str]:
    """How many records a receiver took back in its answer, and why; (0, "") if it took all."""
    refused, why = 0, ""
    for number, partial in wire.fields(answer):
        if number != 1 or not isinstance(partial, bytes):
            continue
        for inner, value in wire.fields(partial):
            if inner == 1 and isinstance(value, int) and value < 1 << 63:  # none is negative
                refused = value
            elif inner == 2 and isinstance(value, bytes):
                why = value.decode("utf-8", "replace")
    return refused, why


def _number(metric: c.Metric, point: Point, times: bytes) -> bytes:
    return times + wire.double_field(4, point.value) + _labels(_NUMBER_ATTRIBUTES, metric, point)


def _histogram(metric: c.Metric, point: Point, times: bytes) -> bytes:
    return (
        times
        + wire.fixed64_field(4, point.count)
        + wire.double_field(5, point.value)
        + wire.packed_fixed64(6, point.bucket_counts)
        + wire.packed_doubles(7, metric.buckets)
        + _labels(_HISTOGRAM_ATTRIBUTES, metric, point)
    )


def _labels(field: int, metric: c.Metric, point: Point) -> bytes:
    named = zip(metric.attributes, point.labels, strict=True)
    return b"".join(_attribute(field, key, value) for key, value in named if value != "")


def _attribute(field: int, key: str, value: AttributeValue) -> bytes:
    # Equal values of different types (1, 1.0, True) must not share a piece: only text is kept.
    if type(value) is not str:
        return _key_value(field, key, _any(value))
    piece = _remembered.get((field, key, value))
    if piece is None:
        piece = _key_value(field, key, _any(value))
        if len(piece) <= _MAX_REMEMBERED_LENGTH:
            if len(_remembered) >= _MAX_REMEMBERED:
                _remembered.clear()  # session ids fill it in time; what is used often is soon back
            _remembered[field, key, value] = piece
    return piece


def _key_value(field: int, key: str, value: bytes) -> bytes:
    return wire.bytes_field(field, wire.text_field(1, key) + wire.bytes_field(2, value))


def _any(value: AttributeValue) -> bytes:
    if isinstance(value, str):  # an enumeration of ours among them
        return wire.text_field(1, str(value))
    if isinstance(value, bool):
        return wire.number_field(2, int(value))
    if isinstance(value, int):
        # An int64 by OTLP's definition; a larger one is kept as the text that it is.
        if -(1 << 63) <= value < 1 << 63:
            return wire.number_field(3, value)
        return wire.text_field(1, str(value))
    if isinstance(value, float):
        return wire.double_field(4, value)
    items: Sequence[Any] = value
    return wire.bytes_field(5, b"".join(wire.bytes_field(1, _any(item)) for item in items))


def _is_long(value: AttributeValue) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_VALUE_LENGTH
    return isinstance(value, list) and letters(value) > MAX_LIST_LENGTH
