"""What we send is read by OTLP's own parser as what was recorded."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agentscope import conventions as c
from agentscope.export.otlp import wire
from agentscope.export.otlp.feed import Feed
from agentscope.export.otlp.payload import (
    Envelope,
    metric_fragment,
    refused_records,
    span_fragment,
)
from agentscope.recording.instruments import Point
from agentscope.recording.span import CLIENT, INTERNAL, Role, Span
from agentscope.testing import ManualClock

RESOURCE: dict[str, Any] = {"service.name": "support-agent", "process.pid": 7}


class Nobody:
    """Takes no span."""

    clock = ManualClock()

    def take(self, span: Span, end_ns: int) -> None:
        raise AssertionError


def span(name: str = "chat", **attributes: Any) -> Span:
    one = Span(
        Nobody(), name, CLIENT, Role.OTHER, 0xA1, 0xB2, 0xC3, None, True, 1_000, dict(attributes)
    )  # fmt: skip
    one.end_ns = 5_000
    return one


def parsed(*spans: Span) -> Any:
    body = Envelope(RESOURCE, "1.2").around([span_fragment(one, ManualClock()) for one in spans])
    return ExportTraceServiceRequest.FromString(body).resource_spans[0]


def test_a_span_arrives_whole() -> None:
    """Ids, times, every type of attribute, an event, a link, the status."""
    one = span(text="é", yes=True, n=-3, large=1 << 70, x=0.5, many=["a", "b"], none=[])
    one.events = [(2_000, "exception", {"exception.type": "ValueError"})]
    one.links = [(0xD4, 0xE5)]
    one.status = 2
    one.dropped_attributes = 4
    resource = parsed(one)
    (scope,) = resource.scope_spans
    clock = ManualClock()
    assert MessageToDict(resource.resource)["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "support-agent"}},
        {"key": "process.pid", "value": {"intValue": "7"}},
    ]
    assert (scope.scope.name, scope.scope.version) == ("agentscope", "1.2")
    (found,) = scope.spans
    assert found.trace_id.hex() == f"{0xA1:032x}"
    assert found.span_id.hex() == f"{0xB2:016x}"
    assert found.parent_span_id.hex() == f"{0xC3:016x}"
    assert (found.name, found.kind, found.status.code) == ("chat", CLIENT, 2)
    assert found.start_time_unix_nano == clock.epoch_ns(1_000)
    assert found.end_time_unix_nano == clock.epoch_ns(5_000)
    assert found.dropped_attributes_count == 4
    assert {one.key: MessageToDict(one.value) for one in found.attributes} == {
        "text": {"stringValue": "é"},
        "yes": {"boolValue": True},
        "n": {"intValue": "-3"},
        "large": {"stringValue": str(1 << 70)},
        "x": {"doubleValue": 0.5},
        "many": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}},
        "none": {"arrayValue": {}},
    }
    (event,) = found.events
    assert (event.name, event.time_unix_nano) == ("exception", clock.epoch_ns(2_000))
    (link,) = found.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (f"{0xD4:032x}", f"{0xE5:016x}")


VALUES = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.lists(st.text(), max_size=5),
)


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=8), st.text())
def test_any_attributes_arrive(attributes: dict[str, Any], name: str) -> None:
    """Whatever a user puts on a span comes out of the parser as it went in."""
    one = span(name)
    one.attributes = dict(attributes)
    (found,) = parsed(one).scope_spans[0].spans
    assert found.name == name

    def value(message: Any) -> Any:
        kind = message.WhichOneof("value")
        if kind == "array_value":
            return [value(item) for item in message.array_value.values]
        return getattr(message, kind)

    assert {one.key: value(one.value) for one in found.attributes} == attributes


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """No value of a user's fills our memory or the receiver's."""
    (found,) = parsed(span(text="x" * 10_000, many=["y" * 1000] * 100)).scope_spans[0].spans
    values = {one.key: one.value for one in found.attributes}
    assert len(values["text"].string_value) == 4096
    assert len(values["many"].array_value.values) == 64
    assert values[c.TRUNCATED].bool_value is True


def test_half_a_surrogate_pair_is_replaced() -> None:
    """Broken clients send them; the rest of the span is worth keeping."""
    (found,) = parsed(span("a\ud800", key="b\udfff")).scope_spans[0].spans
    assert (found.name, found.attributes[0].value.string_value) == ("a?", "b?")


def metrics(*fragments: bytes) -> list[Any]:
    body = Envelope(RESOURCE, "1.2").around(fragments)
    request = ExportMetricsServiceRequest.FromString(body)
    return list(request.resource_metrics[0].scope_metrics[0].metrics)


def test_each_kind_of_metric_arrives() -> None:
    """A gauge, a counter and a histogram, with their labels; empty labels are left out."""
    buckets = c.WAIT_DURATION.buckets
    counts = tuple(range(len(buckets) + 1))
    gauge, counter, histogram = metrics(
        metric_fragment(c.SESSIONS_ACTIVE, [Point((), 3.0)], 10, 20),
        metric_fragment(c.ERRORS, [Point(("ValueError",), 2.0)], 10, 20),
        metric_fragment(c.WAIT_DURATION, [Point(("lock", ""), 4.5, sum(counts), counts)], 10, 20),
    )
    assert (gauge.name, gauge.unit) == ("agentscope.sessions.active", "{session}")
    assert gauge.description == c.SESSIONS_ACTIVE.doc
    assert [point.as_double for point in gauge.gauge.data_points] == [3.0]
    assert (counter.sum.is_monotonic, counter.sum.aggregation_temporality) == (True, 2)
    (point,) = counter.sum.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano, point.as_double) == (10, 20, 2.0)
    assert [(one.key, one.value.string_value) for one in point.attributes] == [
        ("error.type", "ValueError")
    ]
    (point,) = histogram.histogram.data_points
    assert histogram.histogram.aggregation_temporality == 2
    assert (point.count, point.sum) == (sum(counts), 4.5)
    assert tuple(point.bucket_counts) == counts
    assert tuple(point.explicit_bounds) == buckets
    assert [one.key for one in point.attributes] == ["kind"]


def test_deltas_count_from_the_last_that_arrived() -> None:
    """A refused export's part is in the next one; what did not move is not sent; gauges are."""
    feed = Feed(started_ns=100, delta=True)

    def counter_at(value: float, now_ns: int, *, arrives: bool) -> list[tuple[float, int, int]]:
        taken = [(c.ERRORS, [Point(("E",), value)]), (c.SESSIONS_ACTIVE, [Point((), 1.0)])]
        fragments, _ = feed.fragments(taken, now_ns)
        if arrives:
            feed.delivered(taken, now_ns)
        found = [one for one in metrics(*fragments) if one.name == c.ERRORS.name]
        assert len(fragments) == len(found) + 1
        return [
            (point.as_double, point.start_time_unix_nano, one.sum.aggregation_temporality)
            for one in found
            for point in one.sum.data_points
        ]

    assert counter_at(5, 200, arrives=True) == [(5.0, 100, 1)]
    assert counter_at(7, 300, arrives=False) == [(2.0, 200, 1)]
    assert counter_at(9, 400, arrives=True) == [(4.0, 200, 1)]
    assert counter_at(9, 500, arrives=True) == []
    assert counter_at(10, 600, arrives=True) == [(1.0, 500, 1)]


def test_delta_histograms_add_up() -> None:
    """Counts and sums of the deltas are those of the whole."""
    feed = Feed(started_ns=1, delta=True)
    size = len(c.WAIT_DURATION.buckets) + 1
    told = [(1, 0.5), (4, 9.0), (4, 9.0), (6, 9.5)]
    found = []
    for number, (count, total) in enumerate(told):
        counts = (count,) + (0,) * (size - 1)
        taken = [(c.WAIT_DURATION, [Point(("lock", ""), total, count, counts)])]
        fragments, _ = feed.fragments(taken, 10 + number)
        feed.delivered(taken, 10 + number)
        for metric in metrics(*fragments) if fragments else []:
            found += [(p.count, p.sum, p.bucket_counts[0]) for p in metric.histogram.data_points]
    assert found == [(1, 0.5, 1), (3, 8.5, 3), (2, 0.5, 2)]


def test_the_answer_of_a_receiver_is_read() -> None:
    """How many records it took back; both signals answer alike."""
    answer = ExportTraceServiceResponse()
    assert refused_records(answer.SerializeToString()) == (0, "")
    answer.partial_success.rejected_spans = 300
    answer.partial_success.error_message = "too old"
    assert refused_records(answer.SerializeToString()) == (300, "too old")
    points = ExportMetricsServiceResponse()
    points.partial_success.rejected_data_points = 2
    assert refused_records(points.SerializeToString()) == (2, "")


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_reader(answer: bytes) -> None:
    """A proxy's page is no message, and says so in one way only."""
    try:
        refused, why = refused_records(answer)
    except wire.MalformedError:
        return
    assert (type(refused), type(why)) == (int, str)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, (1 << 63) - 1, -1, -(1 << 63)])
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    """The borders of one byte, and negative ones."""
    (found,) = parsed(span(n=value)).scope_spans[0].spans
    assert found.attributes[0].value.int_value == value


def test_kinds_are_otlps() -> None:
    """Ours are numbered from 1, as OTLP's."""
    one = span()
    one.kind = INTERNAL
    assert parsed(one).scope_spans[0].spans[0].kind == 1
