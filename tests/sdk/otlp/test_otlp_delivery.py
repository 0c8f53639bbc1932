"""From a turn to a real receiver: HTTP and gRPC, TLS, compression, a receiver that is away."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

import agentscope
from agentscope import lifecycle
from agentscope.errors import AgentscopeWarning, ConfigError
from agentscope.export.prometheus import render


class Received:
    """What came in, by OTLP's own parser."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.statuses: list[int] = []
        """Statuses to answer with before all is well."""

    @property
    def spans(self) -> list[str]:
        return [
            span.name
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metric_names(self) -> set[str]:
        return {
            metric.name
            for request in self.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Received]]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if received.statuses:
                status = received.statuses.pop(0)
                self.send_response(status)
                self.send_header("retry-after", "0")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.path == "/v1/traces":
                received.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                received.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "AGENTSCOPE_OTLP")):
            monkeypatch.delenv(name)
    yield
    agentscope.shutdown()


def otlp_accounts() -> dict[str, tuple[int, int, dict[str, int], int]]:
    recorder = lifecycle.recorder
    assert recorder is not None
    accounts = [account for account in recorder.accounts() if account.sink == "otlp"]
    assert all(account.balanced for account in accounts)
    return {one.signal: (one.created, one.delivered, one.dropped, one.pending) for one in accounts}


def one_turn(name: str = "t") -> None:
    with agentscope.turn(name, session="s"), agentscope.llm_call(model="m", provider="openai"):
        agentscope.record_usage(input_tokens=3, output_tokens=2)


def test_spans_and_metrics_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard variables alone switch it on; the ledger says the same as the receiver."""
    with http_receiver() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,k=a%2Cb")
        agentscope.configure(service_name="svc")
        one_turn()
        assert agentscope.flush(10)
        assert sorted(received.spans) == ["chat m", "t"]
        assert {"agentscope.turn.duration", "gen_ai.client.token.usage"} <= received.metric_names
        assert {one["api-key"] for one in received.headers} == {"a b"}
        resource = received.traces[0].resource_spans[0].resource
        attributes = {one.key: one.value.string_value for one in resource.attributes}
        assert attributes["service.name"] == "svc"
        assert (attributes["service.namespace"], attributes["k"]) == ("shop", "a,b")
        accounts = otlp_accounts()
        assert accounts["spans"] == (2, 2, {}, 0)
        created, delivered, dropped, pending = accounts["metrics"]
        assert (created, dropped, pending) == (delivered, {}, 0)


def test_beside_a_run_directory(tmp_path: Path) -> None:
    """Both get every span; the manifest has an account of each."""
    with http_receiver() as (url, received):
        agentscope.configure(service_name="svc", run_dir=tmp_path, otlp_endpoint=url)
        one_turn()
        assert agentscope.shutdown(10)
    assert sorted(received.spans) == ["chat m", "t"]
    (manifest,) = tmp_path.glob("manifest-*.json")
    import json

    ledger = json.loads(manifest.read_text())["ledger"]
    assert {
        one["sink"]: (one["created"], one["delivered"], one["pending"])
        for one in ledger
        if one["signal"] == "spans"
    } == {"run_directory": (2, 2, 0), "otlp": (2, 2, 0)}


def test_a_receiver_that_is_away_loses_nothing() -> None:
    """503 and 429 are tried again, 400 is not."""
    with http_receiver() as (url, received):
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        received.statuses = [503, 503]
        one_turn()
        assert agentscope.flush(10)
        assert otlp_accounts()["spans"] == (2, 0, {}, 2)
        assert agentscope.flush(10)
        assert otlp_accounts()["spans"] == (2, 2, {}, 0)
        received.statuses = [400]
        one_turn()
        assert agentscope.flush(10)
        assert otlp_accounts()["spans"] == (4, 2, {"http_400": 2}, 0)
        assert len(received.spans) == 2


def test_no_receiver_at_all_delays_nobody() -> None:
    """Nothing listens there: turns go on, the end is bounded, the loss is counted."""
    agentscope.configure(service_name="svc", otlp_endpoint="http://127.0.0.1:9")
    for _ in range(10):
        one_turn()
    recorder = lifecycle.recorder
    assert agentscope.shutdown(10)
    assert recorder is not None
    (account,) = [a for a in recorder.accounts() if (a.signal, a.sink) == ("spans", "otlp")]
    assert (account.created, account.delivered) == (20, 0)
    assert account.dropped == {"unreachable": 20}


def test_our_own_requests_are_not_recorded() -> None:
    """The library that sends is one that we hook: its requests are no part of anything."""
    import requests  # noqa: F401  # importing it is what makes the hook possible

    agentscope.instrument(clients="auto")
    try:
        with http_receiver() as (url, received):
            agentscope.configure(service_name="svc", otlp_endpoint=url)
            one_turn()
            assert agentscope.flush(10)
            assert agentscope.flush(10)
            assert sorted(received.spans) == ["chat m", "t"]
    finally:
        agentscope.uninstrument()


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority of one's own, as the variable names it; without it nothing is sent."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with http_receiver(tls) as (url, received):
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        one_turn()
        assert agentscope.flush(10)
        assert (received.spans, otlp_accounts()["spans"]) == ([], (2, 0, {}, 2))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        one_turn()
        assert agentscope.flush(10)
        assert sorted(received.spans) == ["chat m", "t"]


@contextmanager
def grpc_receiver() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Traces(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            if received.statuses:
                received.statuses.pop(0)
                context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            received.headers.append(dict(context.invocation_metadata()))
            received.traces.append(request)
            return ExportTraceServiceResponse()

    class Metrics(MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.metrics.append(request)
            return ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Traces(), server)
    add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", received
    finally:
        server.stop(0).wait()


def test_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes through the other door; headers are metadata; away is tried again."""
    with grpc_receiver() as (target, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", target)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")
        received.statuses = [503]
        agentscope.configure(service_name="svc")
        one_turn()
        assert agentscope.flush(10)
        assert otlp_accounts()["spans"] == (2, 0, {}, 2)
        assert agentscope.flush(10)
        assert sorted(received.spans) == ["chat m", "t"]
        assert received.headers[0]["api-key"] == "k"
        assert "agentscope.turn.duration" in received.metric_names
        agentscope.shutdown(10)


def test_who_asks_decides_how_loud_a_mistake_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ``configure`` it raises; in variables that others may have set it is warned about."""
    with pytest.raises(ConfigError, match="no endpoint"):
        agentscope.configure(otlp_endpoint="collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.warns(AgentscopeWarning, match="sends nothing by OTLP"):
        agentscope.configure()
    agentscope.configure(otlp=False)


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_one_signal_alone(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_TRACES_EXPORTER=none`` leaves the metrics on, and the other way round."""
    with http_receiver() as (url, received):
        other = {"traces": "METRICS", "metrics": "TRACES"}[signal]
        monkeypatch.setenv(f"OTEL_{other}_EXPORTER", "none")
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        one_turn()
        assert agentscope.flush(10)
        assert (bool(received.traces), bool(received.metrics)) == (
            signal == "traces", signal == "metrics",
        )  # fmt: skip


def test_a_forked_child_sends_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection or a thread of the parent's is none of its."""
    with http_receiver() as (url, received):
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        one_turn("parent")
        assert agentscope.flush(10)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                one_turn("child")
                code = 0 if agentscope.shutdown(10) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert sorted(received.spans) == ["chat m", "chat m", "child", "parent"]


@contextmanager
def silent_receiver() -> Iterator[tuple[str, list[bytes]]]:
    """Takes requests and never answers."""
    requests: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            taken.append(connection)
            requests.append(connection.recv(100))

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", requests
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for connection in taken:
            connection.close()


def test_a_scrape_is_no_reason_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus asks every few seconds: a receiver that hangs neither hears of it nor delays it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    with silent_receiver() as (url, requests):
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        recorder = lifecycle.recorder
        assert recorder is not None
        one_turn()
        began_s = time.monotonic()
        for _ in range(5):
            text, _ = render(recorder)
            assert b'agentscope_turn_duration_seconds_count{route="t"' in text
        assert time.monotonic() - began_s < 1
        assert requests == []
        agentscope.shutdown(0.1)


def test_who_flushes_at_a_receiver_that_hangs_leaves_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often: the others wait for as long as they said, in their own."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with silent_receiver() as (url, requests):
        agentscope.configure(service_name="svc", otlp_endpoint=url)
        one_turn()
        for _ in range(5):
            assert agentscope.flush(0.05) is False
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("agentscope-flush") == 1
        assert len(requests) == 1
        agentscope.shutdown(0.1)


def test_who_runs_the_service_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SDK_DISABLED`` switches it off, whoever asks for it."""
    with http_receiver() as (url, received):
        monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
        agentscope.configure(service_name="svc", otlp=True, otlp_endpoint=url)
        one_turn()
        assert agentscope.flush(10)
        assert otlp_accounts() == {}
        assert received.spans == []


def test_a_certificate_that_is_not_there_stops_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over gRPC it is read at once; it is a warning where only variables ask for it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/there/is/no/such.pem")
    with pytest.warns(AgentscopeWarning, match="cannot read '/there/is/no/such.pem'"):
        agentscope.configure(service_name="svc")


def test_the_name_of_the_service_may_be_a_resource_attribute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As specified; ``OTEL_SERVICE_NAME`` wins over it, and the code over both."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=told,x=%ff")
    names = [agentscope.configure().service_name]
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    names.append(agentscope.configure().service_name)
    names.append(agentscope.configure(service_name="given").service_name)
    assert names == ["told", "named", "given"]
