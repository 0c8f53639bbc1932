"""What runs on after the answer's last byte: beside the turn, on no account of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import agentscope
from agentscope import conventions as c
from agentscope.asgi import AgentScopeMiddleware
from agentscope.recording import encoding
from agentscope.testing import Recorded
from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.ingest import open_run


def ask(recorded: Recorded, task: Callable[[], None]) -> None:
    """One turn of a second, which leaves ``task`` running."""

    async def message(request: Request) -> Response:
        with agentscope.llm_call(model="m"):
            recorded.clock.advance(1)
        return PlainTextResponse("x", background=BackgroundTask(task))

    app = Starlette(routes=[Route("/m", message)])
    TestClient(AgentScopeMiddleware(app), raise_server_exceptions=False).get("/m")


def summarize(recorded: Recorded) -> Callable[[], None]:
    def task() -> None:
        recorded.clock.advance(2)
        with agentscope.llm_call(model="m"):
            recorded.clock.advance(3)

    return task


def test_the_turn_ends_with_the_answer_and_the_rest_has_a_span_of_its_own(
    recorded: Recorded,
) -> None:
    """From the last byte until the application is done; what is recorded in it hangs beside."""
    ask(recorded, summarize(recorded))
    assert [line.partition(" agentscope.")[0] for line in recorded.tree()] == [
        "GET /m 1.000s",
        "  chat m 1.000s",
        "  background 5.000s",
        "  chat m 3.000s",
    ]
    assert recorded.value(c.TURN_DURATION, "/m", "200") == 1.0
    assert recorded.value(c.PHASE_DURATION, "background") == 5.0


def test_its_model_calls_are_no_cause_of_the_turns_duration(
    recorded: Recorded, tmp_path: Path
) -> None:
    """The analyzer counts what the caller waited for, and says for how long work went on."""
    ask(recorded, summarize(recorded))
    recorded.recorder.work()
    header = encoding.spans_header({c.SERVICE_NAME: "s", c.SERVICE_INSTANCE_ID: "1"}, "0")
    line = header + b",".join(recorded.sink.span_fragments) + encoding.SPANS_FOOTER
    (tmp_path / "traces-1.jsonl").write_bytes(line)
    with open_run(tmp_path) as run:
        summary = attribute(run.engine)
        causes = run.engine.rows(
            "SELECT cause, sum(end_ns - start_ns) / 1e9 FROM sections GROUP BY cause"
        )
    assert causes == [("llm.first_token", 1.0)]
    assert (summary.turns, summary.background_s) == (1, 5.0)


def test_its_failure_is_its_own(recorded: Recorded) -> None:
    """The caller had the answer: the turn is fine."""

    def task() -> None:
        raise KeyError

    ask(recorded, task)
    found: dict[str, tuple[Any, ...]] = {
        span.name: (span.duration_s, span.attributes.get("agentscope.outcome"), span.status)
        for span in recorded.spans
    }
    assert found["GET /m"] == (1.0, "ok", 0)
    assert found["background"] == (0.0, "error", 2)


@pytest.mark.parametrize("left_s", [0, 0.009])
def test_what_every_framework_does_after_an_answer_is_none(
    recorded: Recorded, left_s: float
) -> None:
    """Less than ten milliseconds is not worth a span."""
    ask(recorded, lambda: recorded.clock.advance(left_s))
    assert [span.name for span in recorded.spans] == ["chat m", "GET /m"]
