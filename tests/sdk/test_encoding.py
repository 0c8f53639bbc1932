"""What is written is OTLP-JSON, whatever the values are."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import Status, StatusCode

from agentscope.recording import encoding
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_ATTRIBUTES, MAX_VALUE_LENGTH, Role, Span
from agentscope.testing import ManualClock, MemorySink, _plain

scalars = st.one_of(
    st.text(st.characters()), st.booleans(), st.integers(), st.floats(allow_nan=True)
)
values = st.one_of(
    scalars,
    st.lists(st.text(max_size=5), max_size=40),
    st.lists(st.integers(), max_size=5),
    st.binary(),
    st.none(),
    st.dictionaries(st.text(), st.text()),
)


def make_span() -> tuple[Recorder, Span]:
    recorder = Recorder({}, [MemorySink()], clock=ManualClock(), threaded=False)
    return recorder, recorder.start("s", Role.OTHER, {})


@given(st.dictionaries(st.text(st.characters()), values, max_size=8), st.text(st.characters()))
def test_any_attribute_makes_valid_json_with_the_value_or_without_it(
    attributes: dict[str, Any], name: str
) -> None:
    """Text, 70-bit integers, NaN, half surrogates, bytes: one valid line, no exception."""
    recorder, span = make_span()
    span.set_attributes(attributes)
    span.add_event(name, attributes)
    span.update_name(name)
    span.end()
    line = encoding.spans_header({}, "1") + encoding.span_fragment(span, recorder.clock)
    document = json.loads(line + encoding.SPANS_FOOTER)
    (written,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    read = {pair["key"]: _plain(pair["value"]) for pair in written["attributes"]}
    for key, value in attributes.items():
        small = isinstance(value, bool | int) and abs(value) < 1 << 63
        if small or (isinstance(value, float) and math.isfinite(value)):
            assert read[_clean(key)] == value
        elif isinstance(value, bytes | dict) or value is None:
            assert key not in read or key != _clean(key)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def test_a_hostile_span_stays_small() -> None:
    """Ten megabytes, a thousand attributes, an object with a rude repr: cut, counted, marked."""

    class Rude:
        def __repr__(self) -> str:
            raise AssertionError("nobody asked")

        __str__ = __repr__

    recorder, span = make_span()
    span.set_attribute("huge", "x" * 10_000_000)
    span.set_attribute("rude", Rude())  # type: ignore[arg-type]
    span.set_attribute("list", ["y" * 10_000] * 1000)
    span.set_attributes({f"k{i}": i for i in range(1000)})
    span.end()
    fragment = encoding.span_fragment(span, recorder.clock)
    assert len(fragment) < 64 * 1024
    assert span.attributes["agentscope.truncated"] is True
    assert len(span.attributes["huge"]) == MAX_VALUE_LENGTH  # type: ignore[arg-type]
    assert len(span.attributes) == MAX_ATTRIBUTES
    assert json.loads(fragment)["droppedAttributesCount"] == span.dropped_attributes > 800


def test_the_span_keeps_opentelemetrys_promises() -> None:
    """Code that finds our span in the context may treat it as any other."""
    recorder, span = make_span()
    assert span.is_recording()
    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR)  # OK is final
    span.record_exception(ValueError("secret"))
    span.end()
    span.end()
    span.set_attribute("late", 1)
    span.update_name("late")
    assert not span.is_recording()
    context = span.get_span_context()
    assert (context.trace_id, context.span_id) == (span.trace_id, span.span_id)
    assert context.is_valid
    written = json.loads(encoding.span_fragment(span, recorder.clock))
    assert written["status"] == {"code": 1}
    assert written["name"] == "s"
    assert written["attributes"] == []
    assert "secret" not in json.dumps(written)
    (event,) = written["events"]
    assert event["attributes"] == [
        {"key": "exception.type", "value": {"stringValue": "ValueError"}}
    ]


def test_an_explicit_end_time_is_a_date() -> None:
    """OpenTelemetry's end(end_time) counts nanoseconds since 1970."""
    recorder, span = make_span()
    span.end(recorder.clock.epoch_ns(span.start_ns) + 5)
    assert span.end_ns - span.start_ns == 5
    _, late = make_span()
    late.end(0)  # before its start: no span has a negative duration
    assert late.end_ns == late.start_ns
