"""``/metrics``: Prometheus text of the same records, off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.export.prometheus import render, serve
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.testing import MemorySink, Recorded


def samples(text: str) -> dict[str, float]:
    """Prometheus text as a dict of series to values; a parse error fails the test."""
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_counts_the_turns_before_it(recorded: Recorded) -> None:
    """Count, sum and buckets of the turn, under OpenTelemetry's Prometheus spelling."""

    async def message(request: Request) -> Response:
        with agentscope.llm_call(model="m", provider="openai"):
            recorded.clock.advance(3)
        return PlainTextResponse("x")

    client = TestClient(AgentScopeMiddleware(Starlette(routes=[Route("/m", message)])))
    client.get("/m")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(response.text)
    labels = "('route', '/m'), ('status', '200')"
    name = "agentscope_turn_duration_seconds"
    assert found[f"{name}_count[{labels}]"] == 1
    assert found[f"{name}_sum[{labels}]"] == 3
    assert found[f"{name}_bucket[('le', '1.6'), {labels}]"] == 0
    assert found[f"{name}_bucket[('le', '3.2'), {labels}]"] == 1
    assert found[f"{name}_bucket[('le', '+Inf'), {labels}]"] == 1
    assert [span.name for span in recorded.spans if "metrics" in span.name] == []


def test_a_route_of_the_applications_own_stays_its_own(recorded: Recorded) -> None:
    """A service that already serves /metrics keeps its answer."""
    app = Starlette(routes=[Route("/metrics", lambda request: PlainTextResponse("mine"))])
    assert TestClient(AgentScopeMiddleware(app)).get("/metrics").text == "mine"


def test_no_metrics_path_no_metrics(
    recorded: Recorded, http_scope: Callable[..., dict[str, Any]]
) -> None:
    """metrics_path=None leaves the path to the application."""
    app = Starlette()
    assert (
        TestClient(AgentScopeMiddleware(app, metrics_path=None)).get("/metrics").status_code == 404
    )


def test_a_prefix_of_the_proxys_hides_nothing(recorded: Recorded) -> None:
    """``uvicorn --root-path /api`` puts the prefix before every path."""
    client = TestClient(AgentScopeMiddleware(Starlette()), root_path="/api")
    assert client.get("/api/metrics").status_code == 200
    assert client.get("/api/other/metrics").status_code == 404


def test_every_event_loop_may_scrape(recorded: Recorded) -> None:
    """Two servers in one process, asyncio or trio: none waits for the other's loop."""

    async def scrape() -> list[int]:
        sent: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                sent.append(message["status"])

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(serve, recorded.recorder, send)
        return sent

    assert anyio.run(scrape) == [200] * 5
    assert anyio.run(scrape, backend="trio") == [200] * 5
    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(anyio.run, scrape) for _ in range(8)]
    assert [run.result() for run in runs] == [[200] * 5] * 8


def test_scrapes_beside_a_disk_that_hangs_answer_and_leave_no_threads() -> None:
    """The last known figures come in bounded time, as often as Prometheus asks."""
    hanging, released = threading.Event(), threading.Event()

    class HangingDisk(MemorySink):
        def write_spans(self, fragments: Sequence[bytes]) -> None:
            hanging.set()
            released.wait(20)

    recorder = Recorder({}, [HangingDisk()])
    try:
        recorder.start("p", Role.OTHER, {}).end()
        assert hanging.wait(5)
        before = threading.active_count()
        for _ in range(3):
            assert recorder.flush(0.01) is False
        assert isinstance(render(recorder), bytes)
        assert threading.active_count() == before
    finally:
        released.set()
        assert recorder.shutdown(5)
