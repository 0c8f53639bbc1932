"""From settings and the standard variables to the courier of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agentscope.errors import ConfigError
from agentscope.export.otlp.courier import Courier
from agentscope.export.otlp.endpoint import Endpoint, Signal, endpoint_of
from agentscope.export.otlp.feed import Feed
from agentscope.export.otlp.grpc import GrpcChannel
from agentscope.export.otlp.http import HttpChannel
from agentscope.export.otlp.payload import Envelope
from agentscope.export.otlp.sink import OtlpSink
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue
from agentscope.settings import Settings

DELAY_MS, INTERVAL_MS = 5_000.0, 60_000.0
"""How often spans and metrics are sent: the specification's defaults."""

LEAST_MS = 100.0
"""Whoever asks for more often is not told more, and the receiver would have no rest."""


def courier_of(
    settings: Settings,
    recorder: Recorder,
    resource: Mapping[str, AttributeValue],
    version: str,
    environment: Mapping[str, str] = os.environ,
) -> Courier | None:
    """What takes this process's records to the receivers; None where both signals are off.

    Raises ConfigError for what cannot work, a missing package among it.
    """
    envelope = Envelope(resource, version)

    def sink(signal: Signal) -> OtlpSink | None:
        url, default = settings.otlp_endpoint, settings.otlp is True
        endpoint = endpoint_of(signal, environment, url=url, default=default)
        return None if endpoint is None else OtlpSink(_channel(endpoint, signal), envelope)

    spans, metrics = sink("traces"), sink("metrics")
    if spans is None and metrics is None:
        return None
    clock = recorder.clock
    return Courier(
        spans,
        metrics,
        instruments=recorder.instruments,
        feed=Feed(recorder.started_ns, delta=settings.metrics_temporality == "delta"),
        epoch_ns=lambda: clock.epoch_ns(clock.monotonic_ns()),
        max_queue_bytes=settings.max_queue_bytes,
        genai_names=recorder.genai_names,
        delay_s=_milliseconds("OTEL_BSP_SCHEDULE_DELAY", DELAY_MS, environment) / 1000,
        interval_s=_milliseconds("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS, environment) / 1000,
    )


def _channel(endpoint: Endpoint, signal: Signal) -> HttpChannel | GrpcChannel:
    if endpoint.protocol == "grpc":
        return GrpcChannel(endpoint, signal)
    return HttpChannel(endpoint)


def _milliseconds(variable: str, default: float, environment: Mapping[str, str]) -> float:
    text = environment.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{variable} must be a number of milliseconds above 0, not {text!r}")
    return max(value, LEAST_MS)
