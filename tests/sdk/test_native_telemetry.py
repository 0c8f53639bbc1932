"""Beside FastAPI's own telemetry: one SERVER span in our files, and theirs as without us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

import agentscope
from agentscope.testing import Recorded

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Theirs:
    """A service with an OpenTelemetry SDK of its own, which FastAPI uses."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._tracer = provider.get_tracer("service")
        self.app = FastAPI(telemetry={"tracer_provider": provider})
        mounted = FastAPI()
        self.app.mount("/tenants/{tenant}", mounted)

        @mounted.get("/chats/{session_id}")
        async def chat(session_id: str, background: BackgroundTasks) -> dict[str, str]:
            with agentscope.phase("plan"), self._tracer.start_as_current_span("theirs"):
                background.add_task(lambda: None)
                return {}

    def spans(self) -> list[tuple[str, str, str | None, dict[str, Any]]]:
        """Name, kind, parent's name and attributes of each, as they are exported."""
        spans = self._exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans if span.context is not None}
        names[0xB7AD6B7169203331] = "the caller"
        return [
            (
                span.name,
                span.kind.name,
                None if span.parent is None else names.get(span.parent.span_id, "not theirs"),
                dict(span.attributes or {}),
            )
            for span in spans
        ]

    def ask(self) -> None:
        client = TestClient(self.app, headers={"traceparent": TRACEPARENT})
        assert client.get("/tenants/acme/chats/s1").status_code == 200


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    yield Theirs()
    agentscope.uninstrument()


def test_their_spans_are_as_without_us(theirs: Theirs) -> None:
    """Names, kinds, attributes, parents: none of theirs hangs below one that they never see."""
    without = Theirs()
    without.ask()
    agentscope.instrument(theirs.app, clients=())
    theirs.ask()
    assert theirs.spans() == without.spans()
    assert ("theirs", "INTERNAL", "fastapi.endpoint") in [span[:3] for span in theirs.spans()]


def test_ours_is_one_server_span_with_its_phases_below(recorded: Recorded, theirs: Theirs) -> None:
    """In the trace of the caller, and below their span, as it is inside of it."""
    agentscope.instrument(theirs.app, clients=())
    theirs.ask()
    request, plan = recorded.span("GET /tenants/{tenant}/chats/{session_id}"), recorded.span("plan")
    assert [span.kind for span in recorded.spans].count(2) == 1
    assert request.trace_id == plan.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert plan.parent_id == request.span_id
    assert request.attributes["gen_ai.conversation.id"] == "s1"


def test_our_spans_are_current_where_no_other_is(recorded: Recorded) -> None:
    """Code that sets attributes on the current span finds ours, and theirs where there is one."""
    tracer = TracerProvider().get_tracer("service")
    with agentscope.phase("ours"):
        trace.get_current_span().set_attribute("on", "ours")
        with tracer.start_as_current_span("theirs") as other, agentscope.phase("inner"):
            assert trace.get_current_span() is other
    assert recorded.span("ours").attributes["on"] == "ours"
    assert recorded.span("inner").parent_id == recorded.span("ours").span_id
