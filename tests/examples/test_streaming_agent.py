"""The streaming example over real HTTP: what one line records of a stream, and of one broken off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from agentscope import conventions as names
from agentscope.lab.mock_llm import MockLlmSettings, running

Example = Any  # the folder's RecordedExample
Events = Callable[[str], list[tuple[str, Any]]]

ROUTE = "POST /api/sessions/{session_id}/messages"
PATH = "/api/sessions/alice/messages"


@pytest.fixture
def example(recorded_example: Callable[[str], Example]) -> Example:
    return recorded_example("streaming_agent")


def duration_s(span: dict[str, Any]) -> float:
    return (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9


def test_a_stream_is_measured_from_first_token_to_last_byte(
    example: Example, events_of: Events
) -> None:
    """Two turns: first chunk, then first byte, long before the end; tokens of both directions."""
    knobs = "ttft=60;itl=30;out=8"
    with running(MockLlmSettings(port=0, knobs=knobs)) as mock, example.serving(mock) as client:
        answers = [client.post(PATH, json={"message": text}) for text in ("Hello", "And then?")]
        assert [answer.status_code for answer in answers] == [200, 200]
        asked = mock.app.counters.as_json()["requests"]["received"]

    for answer in answers:
        *tokens, (last, done) = events_of(answer.text)
        assert {name for name, _ in tokens} == {"token"}
        assert (last, done["response"]) == ("done", "".join(data["text"] for _, data in tokens))
    spans = example.spans()
    turns = [span for span in spans if span["name"] == ROUTE]
    calls = [span for span in spans if span["name"].startswith("chat ")]
    assert len(turns) == len(calls) == asked == 2
    assert [call["parentSpanId"] for call in calls] == [turn["spanId"] for turn in turns]
    for turn, call in zip(turns, calls, strict=True):
        said = turn["attributes"]
        assert said[names.TURN] is True
        assert said[names.CONVERSATION_ID] == "alice"
        assert said[names.OUTCOME] == call["attributes"][names.OUTCOME] == "ok"
        assert call["attributes"][names.REQUEST_STREAM] is True
        assert call["attributes"][names.OUTPUT_TOKENS] == "8"
        first_chunk_s = call["attributes"][names.TIME_TO_FIRST_CHUNK]
        assert 0.06 <= first_chunk_s < said[names.TIME_TO_FIRST_BYTE] < duration_s(turn) - 0.1
    first, second = (int(call["attributes"][names.INPUT_TOKENS]) for call in calls)
    assert second > first, "the second request carried the first turn"


def test_a_caller_who_goes_away_leaves_nothing_open(example: Example) -> None:
    """The turn is cancelled, the model's stream is given up, and the session is as it was."""
    with (
        running(MockLlmSettings(port=0, knobs="ttft=20;itl=50;out=200")) as mock,
        example.serving(mock) as client,
    ):
        with client.stream("POST", PATH, json={"message": "Hello"}) as answer:
            assert next(answer.iter_lines()) == "event: token"
        counters = mock.app.counters
        deadline = time.monotonic() + 20
        while counters.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (counters.in_flight, counters.abandoned) == (0, 1)

    turn, call, _attempt = (
        span for span in example.spans() if not span["name"].startswith("wait ")
    )
    assert (turn["name"], turn["attributes"][names.OUTCOME]) == (ROUTE, "cancelled")
    assert call["attributes"][names.OUTCOME] in {"cancelled", "abandoned"}
    assert names.TIME_TO_FIRST_CHUNK in call["attributes"]
    assert names.TIME_TO_FIRST_BYTE in turn["attributes"]
    assert duration_s(turn) < 5, "it ended when the caller went, not when the model had finished"
    manifest = example.manifest()
    assert manifest["open_turns"] == 0
    assert manifest["internal_errors"] == {}


def test_a_model_that_breaks_off_is_a_failed_turn(example: Example, events_of: Events) -> None:
    """The status was 200 by then; the events and the recording say that it failed."""
    settings = MockLlmSettings(port=0, knobs="profile=instant;out=40;fault=truncate:1")
    with running(settings) as mock, example.serving(mock) as client:
        answer = client.post(PATH, json={"message": "Hello"})

    assert (answer.status_code, events_of(answer.text)[-1][0]) == (200, "error")
    (turn,) = (span for span in example.spans() if span["name"] == ROUTE)
    (call,) = (span for span in example.spans() if span["name"].startswith("chat "))
    assert turn["attributes"][names.OUTCOME] == call["attributes"][names.OUTCOME] == "error"


def test_a_model_that_refuses_has_a_status_of_its_own(example: Example) -> None:
    """Nothing is sent before the model answers, so the caller gets 502."""
    settings = MockLlmSettings(port=0, knobs="fault=400:1")
    with running(settings) as mock, example.serving(mock) as client:
        assert client.post(PATH, json={"message": "Hello"}).status_code == 502
