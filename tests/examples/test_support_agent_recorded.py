from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentscope import conventions as names

OURS = ("load_conversation", "ask_model", "execute_tool")
MESSAGES = "POST /api/sessions/{session_id}/messages"


def spans_of(run_dir: Path) -> list[dict[str, Any]]:
    """Every recorded span, its attributes as a plain dictionary."""
    spans = []
    for file in run_dir.glob("traces-*.jsonl"):
        for line in file.read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in spans:
        values = {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}
        span["attributes"] = values
    return sorted(spans, key=lambda span: int(span["startTimeUnixNano"]))


def test_one_line_and_three_decorators_record_a_turn(
    start_service: Any, model: Any, step: Any, tmp_path: Path
) -> None:
    """SIGTERM after a conversation: its turn is on disk, with its phases and tools under it."""
    calls = [(name, "lookup_order", '{"order_id": "12345"}') for name in ("a", "b")]
    model.says("Where are they?", step(calls=calls), step("On their way."))
    with start_service(AGENTSCOPE_RUN_DIR=str(tmp_path)) as service:
        session_id = service.open_session()
        assert service.say(session_id, "Where are they?").status_code == 200

    spans = spans_of(tmp_path)
    (turn,) = [
        span for span in spans if names.TURN in span["attributes"] and span["name"] == MESSAGES
    ]
    parts = [span for span in spans if span["name"].startswith(OURS)]
    assert turn["attributes"][names.CONVERSATION_ID] == session_id
    assert [(part["name"], part["parentSpanId"] == turn["spanId"]) for part in parts] == [
        ("load_conversation", True),
        ("ask_model", True),
        ("execute_tool lookup_order", True),
        ("execute_tool lookup_order", True),
        ("ask_model", True),
    ]  # fmt: skip
    first, second = parts[2:4]
    assert int(second["startTimeUnixNano"]) < int(first["endTimeUnixNano"])


def test_a_stream_that_fails_is_a_failed_turn(
    start_service: Any, model: Any, step: Any, tmp_path: Path
) -> None:
    """Its status was 200; the recorder still knows, because the service says so."""
    limited = step(status=429, headers={"retry-after-ms": "1"})
    model.says("Where?", step("Let me see. ", [("a", "lookup_order", "{}")]), limited)
    with start_service(AGENTSCOPE_RUN_DIR=str(tmp_path)) as service:
        answer = service.say(service.open_session(), "Where?", accept="text/event-stream")
        assert answer.status_code == 200

    (turn,) = [span for span in spans_of(tmp_path) if span["name"] == MESSAGES]
    assert turn["attributes"][names.HTTP_STATUS_CODE] == "200"
    assert turn["attributes"][names.OUTCOME] == names.Outcome.ERROR
    assert turn["attributes"][names.ERROR_TYPE] == "openai.RateLimitError"
