"""What users hand to us is seldom what the signature says; it must neither raise nor be lost."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from prometheus_client.parser import text_string_to_metric_families

import agentscope
from agentscope import conventions as c
from agentscope.export.prometheus import render
from agentscope.recording.span import MAX_TEXT_LENGTH, MAX_VALUE_LENGTH
from agentscope.testing import Recorded


class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum's str() is its value
    """The older way to make an enumeration of texts, whose ``str()`` is not its value."""

    RED = "red"


class Float64(float):
    """A number as numpy's are: a float by inheritance."""


class Liar(list[int]):
    def __len__(self) -> int:
        raise RuntimeError("no length")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Float64(0.5), 0.5),
        ([Float64(0.5), Float64(1.5)], [0.5, 1.5]),
        (Colour.RED, "red"),
        (enum.IntEnum("Level", "LOW HIGH").HIGH, 2),
        (float("nan"), "nan"),
        (Liar([1]), None),
        ({"a": 1}, None),
        (object(), None),
    ],
    ids=["float", "floats", "text member", "number member", "nan", "liar", "mapping", "object"],
)
def test_an_attribute_of_any_type_is_kept_or_left_out(
    recorded: Recorded, value: Any, kept: Any
) -> None:
    """Numbers such as numpy's and members of enumerations are kept; the span always is."""
    with agentscope.phase("p"):
        trace.get_current_span().set_attribute("score", value)
    span = recorded.span("p")
    assert span.attributes.get("score") == kept
    assert span.raw.get("droppedAttributesCount", 0) == (kept is None)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda span: span.set_attribute(3, "x"),
        lambda span: span.set_attribute(None, "x"),
        lambda span: span.set_attributes(None),
        lambda span: span.add_event(3),
        lambda span: span.add_event("e", [("a", 1)]),
        lambda span: span.add_event("e", {3: "x"}),
        lambda span: span.add_event("e", {}, "yesterday"),
        lambda span: span.set_status("ERROR"),
        lambda span: span.update_name(None),
        lambda span: span.record_exception(None),
        lambda span: span.end(1.5),
        lambda span: span.end("now"),
    ],
    ids=[
        "number as key", "None as key", "None as attributes", "number as event",
        "pairs as attributes", "number as an event's key", "text as date", "text as status",
        "None as name", "None as exception", "seconds as end", "text as end",
    ],
)  # fmt: skip
def test_no_misuse_of_a_span_raises_into_the_service(
    recorded: Recorded, misuse: Callable[[Any], None]
) -> None:
    """Without us a span that records nothing stands there, and takes anything."""
    with agentscope.phase("p"):
        misuse(trace.get_current_span())
    (span,) = recorded.spans
    int(span.raw["endTimeUnixNano"])


def test_sessions_and_names_may_be_numbers_and_uuids(recorded: Recorded) -> None:
    """A primary key is a session id too."""
    key = uuid.UUID(int=7)
    with agentscope.turn("by number", session=42):  # type: ignore[arg-type]
        pass
    with agentscope.turn("by uuid"), agentscope.session(key):  # type: ignore[arg-type]
        pass
    with agentscope.phase(7):  # type: ignore[arg-type]
        pass
    assert [(span.name, span.attributes.get(c.CONVERSATION_ID)) for span in recorded.spans] == [
        ("by number", "42"),
        ("by uuid", str(key)),
        ("7", None),
    ]


def test_an_errors_text_in_the_place_of_an_error_is_not_kept(recorded: Recorded) -> None:
    """``record_error("…")`` is a mistake, and its text may be anything."""
    with agentscope.turn("t"):
        agentscope.record_error("password=canary")  # type: ignore[arg-type]
    span = recorded.span("t")
    assert span.attributes[c.ERROR_TYPE] == c.UNKNOWN_ERROR
    assert "canary" not in json.dumps(span.raw) + render(recorded.recorder)[0].decode()


def test_no_text_is_longer_than_a_span_may_hold(recorded: Recorded) -> None:
    """Also where it did not come in by ``set_attribute``: a model's name is a client's choice."""
    with agentscope.llm_call(model="m" * 1_000_000):
        pass
    (span,) = recorded.spans
    assert len(span.name) == len(span.attributes[c.REQUEST_MODEL]) == MAX_VALUE_LENGTH
    assert span.attributes[c.TRUNCATED] is True
    assert len(recorded.sink.span_fragments[0]) < 10_000
    assert len(render(recorded.recorder)[0]) < 20_000


def test_all_texts_of_a_span_together_are_bounded(recorded: Recorded) -> None:
    """A queue of spans that each hold half a megabyte would be gigabytes."""
    with agentscope.phase("p"):
        span = trace.get_current_span()
        for number in range(100):
            span.set_attribute(f"k{number}", "x" * 10_000)
            span.add_event("e", {"text": "x" * 10_000})
    assert len(recorded.sink.span_fragments) == 0
    span_written = recorded.span("p")
    assert len(recorded.sink.span_fragments[0]) < 1.5 * MAX_TEXT_LENGTH
    assert span_written.attributes[c.TRUNCATED] is True


def test_an_attribute_set_again_and_again_uses_no_room_up(recorded: Recorded) -> None:
    """Progress is told a thousand times; the last word counts."""
    with agentscope.phase("p"):
        for number in range(1000):
            trace.get_current_span().set_attribute("progress", f"{'x' * 1000} {number}")
    assert recorded.span("p").attributes["progress"].endswith(" 999")


def test_half_a_surrogate_pair_does_not_fail_every_scrape(recorded: Recorded) -> None:
    """JSON may carry one, and what a client sends may name a model or a phase."""
    with agentscope.turn("t"), agentscope.phase("\ud800"), agentscope.phase("x" * 5000):
        pass
    text = render(recorded.recorder)[0].decode()
    phases = {
        sample.labels["phase"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "phase" in sample.labels
    }
    assert phases == {"?", "x" * 256}
