"""The standard variables, as the specification reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentscope.errors import ConfigError
from agentscope.export.otlp.endpoint import Endpoint, endpoint_of, is_asked_for
from agentscope.export.otlp.setup import _milliseconds

P = "OTEL_EXPORTER_OTLP_"


def of(signal: str = "traces", url: str | None = None, **variables: str) -> Endpoint | None:
    environment = {P + name: value for name, value in variables.items()}
    return endpoint_of(signal, environment, url=url)  # type: ignore[arg-type]


def test_the_path_is_added_to_the_common_endpoint_only() -> None:
    """…/v1/traces behind the base; an endpoint of the signal's own is taken as it is."""
    cases = [
        of(),
        of("metrics", ENDPOINT="https://o.example/x/"),
        of(ENDPOINT="http://a", TRACES_ENDPOINT="http://b/c"),
        of("metrics", url="http://given", METRICS_ENDPOINT="http://b/c"),
        of(ENDPOINT="http://[::1]:4318/x?key=1"),
    ]
    assert [case.url for case in cases if case] == [
        "http://localhost:4318/v1/traces",
        "https://o.example/x/v1/metrics",
        "http://b/c",
        "http://given/v1/metrics",
        "http://[::1]:4318/x/v1/traces?key=1",
    ]


def test_every_variable_is_honoured(tmp_path: Path) -> None:
    """The signal's own value wins over the common one."""
    files = [tmp_path / name for name in ("ca.pem", "c.pem", "k.pem")]
    for file in files:
        file.touch()
    authority, certificate, key = map(str, files)
    assert of(
        ENDPOINT="https://o",
        HEADERS="api-key=a%20b, X-Team = t=1",
        TRACES_TIMEOUT="3",
        TIMEOUT="20000",
        COMPRESSION="gzip",
        CERTIFICATE=authority,
        CLIENT_CERTIFICATE=certificate,
        CLIENT_KEY=key,
    ) == Endpoint(
        url="https://o/v1/traces",
        headers={"api-key": "a b", "x-team": "t=1"},
        timeout_s=3.0,
        compression="gzip",
        certificate=authority,
        client_certificate=certificate,
        client_key=key,
    )


def test_grpc_takes_hosts_and_urls() -> None:
    """Without a scheme TLS is meant, unless it is said to be insecure."""
    cases = [
        of(PROTOCOL="grpc"),
        of(PROTOCOL="grpc", ENDPOINT="collector:4317"),
        of(PROTOCOL="grpc", ENDPOINT="collector:4317", INSECURE="true"),
        of(PROTOCOL="grpc", ENDPOINT="https://collector:4317"),
    ]
    assert [(case.url, case.insecure) for case in cases if case] == [
        ("http://localhost:4317", True),
        ("https://collector:4317", False),
        ("http://collector:4317", True),
        ("https://collector:4317", False),
    ]


def test_seconds_and_milliseconds() -> None:
    """OpenTelemetry's Python SDK counts seconds, the specification milliseconds."""
    cases = [of(), of(TIMEOUT="2.5"), of(TIMEOUT="100"), of(TIMEOUT="10000")]
    assert [case.timeout_s for case in cases if case] == [10.0, 2.5, 100.0, 10.0]


def test_none_switches_a_signal_off() -> None:
    """``OTEL_METRICS_EXPORTER=none`` leaves traces alone."""
    environment = {"OTEL_METRICS_EXPORTER": "none"}
    assert endpoint_of("metrics", environment) is None
    assert endpoint_of("traces", environment) is not None


@pytest.mark.parametrize(
    "variables",
    [
        {"PROTOCOL": "http/json"},
        {"ENDPOINT": "collector:4318"},
        {"ENDPOINT": "ftp://x"},
        {"ENDPOINT": "http://"},
        {"ENDPOINT": "http://[::1"},
        {"ENDPOINT": "http://who:secret@collector:port"},
        {"TRACES_ENDPOINT": "https://collector:99999"},
        {"PROTOCOL": "grpc", "ENDPOINT": "unix:///tmp/socket"},
        {"HEADERS": "secret-key-without-name"},
        {"HEADERS": "secret key=x"},
        {"HEADERS": "key=secret%0d%0ax-other: y"},
        {"CERTIFICATE": "/there/is/no/such.pem"},
        {"TIMEOUT": "soon"},
        {"TIMEOUT": "-1"},
        {"COMPRESSION": "zstd"},
    ],
)
def test_what_cannot_work_is_refused(variables: dict[str, str]) -> None:
    """At the start, in a line that names the variable or the value; a header's value is never shown."""
    with pytest.raises(ConfigError) as refusal:
        of(**variables)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("exporters", "sent"),
    [("otlp", True), ("console, OTLP", True), ("otlp_proto_http", True), ("prometheus", False)],
)
def test_exporters_are_a_list(exporters: str, sent: bool) -> None:
    """Others' names are their business."""
    assert (endpoint_of("metrics", {"OTEL_METRICS_EXPORTER": exporters}) is not None) is sent


def test_a_signal_that_nobody_named_a_receiver_for() -> None:
    """``…TRACES_ENDPOINT`` alone asks for traces alone: there may be nobody for metrics here."""
    environment = {P + "TRACES_ENDPOINT": "http://t"}
    assert endpoint_of("traces", environment, default=False) is not None
    assert endpoint_of("metrics", environment, default=False) is None
    environment["OTEL_METRICS_EXPORTER"] = "otlp"
    assert endpoint_of("metrics", environment, default=False) is not None


def test_headers_are_not_shown() -> None:
    """They hold keys."""
    assert "hidden" not in repr(of(HEADERS="api-key=hidden"))


def test_who_asked() -> None:
    """Any of the endpoint variables; headers alone ask for nothing."""
    assert is_asked_for({P + "METRICS_ENDPOINT": "http://m"})
    assert not is_asked_for({P + "HEADERS": "a=b", P + "ENDPOINT": " "})


def test_how_often_has_a_least() -> None:
    """A thousand requests a second are no use to anybody; what is no number is refused."""

    def sent_every_ms(text: str) -> float:
        return _milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5000.0, {"OTEL_BSP_SCHEDULE_DELAY": text})

    assert [sent_every_ms(text) for text in ("", "250", "0.001")] == [5000, 250, 100]
    for text in ("0", "-1", "nan", "inf", "soon"):
        with pytest.raises(ConfigError):
            sent_every_ms(text)
