"""``/metrics``: Prometheus text of the same records, off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
from prometheus_client import REGISTRY, Counter
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import agentscope
from agentscope import conventions as c
from agentscope.asgi import AgentScopeMiddleware
from agentscope.export.prometheus import render, serve
from agentscope.recording.instruments import Exemplar
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.testing import MemorySink, Recorded, recording


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


def test_the_plain_names_are_there_too(recorded: Recorded) -> None:
    """What dashboards of many teams begin with: made of the same figures, with their labels."""
    with agentscope.turn("t", session="s"):
        with agentscope.llm_call(model="m", provider="openai"):
            agentscope.record_usage(input_tokens=30, output_tokens=4)
            recorded.clock.advance(2)
        agentscope.tool(name="search")(lambda: None)()
    found = samples(render(recorded.recorder)[0].decode())
    assert found["agent_turn_latency_seconds_sum[]"] == 2
    assert found["agent_turn_latency_seconds_bucket[('le', '+Inf')]"] == 1
    call = "[('endpoint', 'chat'), ('model', 'm')]"
    assert found[f"llm_call_latency_seconds_count{call}"] == 1
    assert found["llm_tokens_consumed_total[('direction', 'input'), ('model', 'm')]"] == 30
    assert found["llm_tokens_consumed_total[('direction', 'output'), ('model', 'm')]"] == 4
    assert found["agent_tool_calls_total[('status', 'ok'), ('tool_name', 'search')]"] == 1


def test_the_services_own_metrics_stand_beside_ours(recorded: Recorded) -> None:
    """Those of prometheus_client's registry; of a name that both have, theirs is right."""
    mine = Counter("agent_tool_calls_total", "mine", ["tool_name", "status"])
    other = Counter("orders", "orders taken")
    try:
        mine.labels("search", "ok").inc(7)
        other.inc()
        with agentscope.turn("t", session="s"):
            agentscope.tool(name="search")(lambda: None)()
        text = render(recorded.recorder)[0].decode()
        assert text.count("# TYPE agent_tool_calls_total counter") == 1
        found = samples(text)
        assert found["agent_tool_calls_total[('status', 'ok'), ('tool_name', 'search')]"] == 7
        assert found["orders_total[]"] == 1
        assert found["agentscope_tool_calls_total[('status', 'ok'), ('tool', 'search')]"] == 1
    finally:
        REGISTRY.unregister(mine)
        REGISTRY.unregister(other)


def test_exemplars_lead_to_traces(recorded: Recorded) -> None:
    """To who asks for OpenMetrics: each bucket names the last span that fell into it."""
    for duration_s in (3, 2, 30):
        with agentscope.turn("t", session="s"):
            recorded.clock.advance(duration_s)
    accept = "application/openmetrics-text;version=1.0.0"
    text, content_type = render(recorded.recorder, accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    exemplars = {
        sample.labels["le"]: (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for family in openmetrics(text.decode())
        for sample in family.samples
        if sample.name == "agentscope_turn_duration_seconds_bucket" and sample.exemplar
    }
    traces = [span.trace_id for span in recorded.spans]
    assert exemplars == {"3.2": (traces[1], 2.0), "51.2": (traces[2], 30.0)}
    assert b"trace_id" not in render(recorded.recorder)[0]


def test_a_trace_that_is_not_kept_is_no_exemplar() -> None:
    """A link that leads nowhere helps nobody."""
    with recording(sample_ratio=0.0) as recorded:
        with agentscope.turn("t", session="s"):
            recorded.clock.advance(1)
        text, _ = render(recorded.recorder, "application/openmetrics-text;version=1.0.0")
        assert b"agentscope_turn_duration_seconds_count" in text
        assert b"trace_id" not in text


def test_a_scrape_may_be_compressed(recorded: Recorded) -> None:
    """Prometheus always asks for it."""
    client = TestClient(AgentScopeMiddleware(Starlette()))
    plain = client.get("/metrics", headers={"accept-encoding": "identity"})
    packed = client.get("/metrics", headers={"accept-encoding": "gzip"})
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (
        None, "gzip",
    )  # fmt: skip
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.text.startswith("# HELP")


def test_a_flood_of_everything_stays_below_a_megabyte(recorded: Recorded) -> None:
    """5,000 hosts, routes, models and tools: bounded and said, and a new real route is seen."""
    recorder, instruments = recorded.recorder, recorded.instruments
    chosen = [one for one in c.METRICS.values() if not one.name.startswith("agentscope.sdk.")]
    for number in range(5000):
        wild = f"{number:04d}-thought-of-by-a-client.example"
        with recorder.instruments.lock:
            for metric in chosen:
                labels = (wild,) * len(metric.attributes)
                if metric.instrument == "histogram":
                    instruments.observe(metric, labels, 1.0)
                else:
                    instruments.set(metric, labels, 1.0)
    span = recorder.start("GET /new", Role.TURN, {c.TURN: True, c.HTTP_ROUTE: "/new"})
    span.attributes[c.HTTP_STATUS_CODE] = 200
    span.end()
    recorded.clock.advance(2)
    recorder.work()
    text = render(recorder)[0]
    assert 500_000 < len(text) < 1_000_000
    found = samples(text.decode())
    assert (
        found["agentscope_turn_duration_seconds_count[('route', '/new'), ('status', '200')]"] == 1
    )
    folded = found["agentscope_sdk_folded_total[('metric', 'agentscope.turn.duration')]"]
    counts = [name for name in found if name.startswith("agentscope_turn_duration_seconds_count")]
    assert folded == 5000 - (len(counts) - 2)  # without /new and other


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
            assert recorder.catch_up(0.01) is False
        assert render(recorder)[0].startswith(b"# HELP")
        assert threading.active_count() == before
    finally:
        released.set()
        assert recorder.shutdown(5)


def test_scrapes_that_wait_for_the_same_share_an_answer(recorded: Recorded) -> None:
    """Fifty at a time are two renderings: the one that is going on, and one for all that wait.

    Where the first of those that wait gives up, the others have their answer all the same.
    """
    rendered: list[str] = []
    going_on = threading.Event()

    class Slow(Collector):
        def describe(self) -> Iterable[Family]:
            return ()

        def collect(self) -> Iterator[Family]:
            rendered.append("x")
            assert going_on.wait(5)
            yield from ()

    async def scrape_all() -> list[int]:
        sent: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                sent.append(message["status"])

        async with anyio.create_task_group() as group:
            group.start_soon(serve, recorded.recorder, send)
            while not rendered:
                await anyio.sleep(0.001)
            async with anyio.create_task_group() as impatient:
                impatient.start_soon(serve, recorded.recorder, send)
                await anyio.wait_all_tasks_blocked()
                for _ in range(49):
                    group.start_soon(serve, recorded.recorder, send)
                await anyio.sleep(0.01)
                impatient.cancel_scope.cancel()
            going_on.set()
        return sent

    slow = Slow()
    REGISTRY.register(slow)
    try:
        assert anyio.run(scrape_all) == [200] * 50
    finally:
        REGISTRY.unregister(slow)
    assert len(rendered) == 2


def test_exemplars_take_a_bounded_part_of_the_page(recorded: Recorded) -> None:
    """Each is as long as its line: where labels are flooded, the metrics with the most have none."""
    instruments = recorded.instruments
    histograms = [one for one in c.METRICS.values() if one.buckets and one.attributes]
    with recorded.recorder.instruments.lock:
        for number in range(60):
            told = Exemplar(number + 1, 1, 0.1, 0)
            for metric in histograms:
                labels = (f"invented-{number}",) * len(metric.attributes)
                for bound in metric.buckets:
                    instruments.observe(metric, labels, bound, told)
    text = render(recorded.recorder, "application/openmetrics-text;version=1.0.0")[0].decode()
    with_exemplar = [line.partition("{")[0] for line in text.splitlines() if "# {" in line]
    assert 500 < len(with_exemplar) <= 1000
    assert len(set(with_exemplar)) < len(histograms)
    assert len(text) < 1_000_000
