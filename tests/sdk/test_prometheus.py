"""``/metrics``: Prometheus text of the same records, off the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.testing import Recorded


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
