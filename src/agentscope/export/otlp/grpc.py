"""OTLP over gRPC. Requests are encoded already, so the stubs of opentelemetry-proto are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentscope.errors import ConfigError
from agentscope.export.otlp.endpoint import Endpoint, Signal
from agentscope.recording.sink import SinkRefused, SinkUnavailable

METHODS: dict[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""The specification's list, but RESOURCE_EXHAUSTED, which may be tried again only when the
receiver says after how long; we then wait as after the others."""


class GrpcChannel:
    """A channel to one receiver. One thread at a time."""

    def __init__(self, endpoint: Endpoint, signal: Signal) -> None:
        try:
            import grpc
        except ImportError:
            raise ConfigError(
                "OTLP over gRPC needs grpcio: pip install 'agentscope-observability[grpc]'"
            ) from None
        if not "".join(endpoint.headers.values()).isascii():
            raise ConfigError("OTEL_EXPORTER_OTLP_HEADERS: gRPC takes values in ASCII only")
        self._grpc = grpc
        target = urlsplit(endpoint.url).netloc
        self._channel = (
            grpc.insecure_channel(target)
            if endpoint.insecure
            else grpc.secure_channel(target, _credentials(grpc, endpoint))
        )
        # Without serializers bytes go out and come in as they are.
        self._export = self._channel.unary_unary(METHODS[signal])
        self._metadata = tuple(endpoint.headers.items())
        self._timeout_s = endpoint.timeout_s
        self._compression = (
            grpc.Compression.Gzip
            if endpoint.compression == "gzip"
            else grpc.Compression.NoCompression
        )

    def send(self, body: bytes) -> bytes:
        """Send one request; the receiver's answer. Raises SinkUnavailable or SinkRefused."""
        try:
            answer: bytes = self._export(
                body,
                timeout=self._timeout_s,
                metadata=self._metadata,
                compression=self._compression,
            )
        except self._grpc.RpcError as error:
            code: Any = error.code()
            name = str(code.name)
            if name in RETRYABLE or name == "RESOURCE_EXHAUSTED":
                raise SinkUnavailable(f"grpc_{name.lower()}") from error
            raise SinkRefused(f"grpc_{name.lower()}") from error
        except Exception as error:  # a channel that is closed, metadata that it does not take
            raise SinkUnavailable(type(error).__name__) from error
        return answer

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _credentials(grpc: Any, endpoint: Endpoint) -> Any:
    def read(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(
        read(endpoint.certificate), read(endpoint.client_key), read(endpoint.client_certificate)
    )
