"""Where to send and how: the standard ``OTEL_EXPORTER_OTLP_*`` variables, read once.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from agentscope.errors import ConfigError

Signal = Literal["traces", "metrics"]

DEFAULT_URL = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 100.0
"""A larger number is meant in milliseconds, see ``_timeout``."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of one signal."""

    url: str
    protocol: str = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # they hold keys
    timeout_s: float = DEFAULT_TIMEOUT_S
    compression: str = "none"
    certificate: str | None = None
    """File with the authority's certificates; None for the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    insecure: bool = False
    """gRPC without TLS; over HTTP the URL's scheme says it."""


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables name a receiver."""
    names = ("ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT")
    return any(environment.get(f"OTEL_EXPORTER_OTLP_{name}") for name in names)


def endpoint_of(
    signal: Signal, environment: Mapping[str, str], *, url: str | None = None
) -> Endpoint | None:
    """The receiver of ``signal``; None where ``OTEL_<SIGNAL>_EXPORTER`` is ``none``.

    ``url``, from ``configure(otlp_endpoint=…)``, stands in for the endpoint of all signals. Raises
    ConfigError for a value that cannot work.
    """
    if environment.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower() == "none":
        return None

    def value(name: str) -> str | None:
        own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
        return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or None

    protocol = (value("PROTOCOL") or "http/protobuf").lower()
    if protocol not in DEFAULT_URL:
        known = " or ".join(DEFAULT_URL)
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {known}, not {protocol!r}")
    own_url = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    base = url or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if own_url and not url:
        target = own_url
    else:
        target = base or DEFAULT_URL[protocol]
        if protocol == "http/protobuf":
            target = f"{target.rstrip('/')}/v1/{signal}"
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https"):
        if protocol != "grpc" or "://" in target:
            raise ConfigError(
                f"{target!r} is no endpoint; give a URL such as http://localhost:4318"
            )
        target = f"{'http' if _flag(value('INSECURE')) else 'https'}://{target}"
    return Endpoint(
        url=target,
        protocol=protocol,
        headers=_headers(value("HEADERS") or ""),
        timeout_s=_timeout(value("TIMEOUT")),
        compression=_compression(value("COMPRESSION")),
        certificate=value("CERTIFICATE"),
        client_certificate=value("CLIENT_CERTIFICATE"),
        client_key=value("CLIENT_KEY"),
        insecure=target.startswith("http://"),
    )


def _headers(text: str) -> dict[str, str]:
    """``key1=value1,key2=value2``, percent-encoded as in W3C Baggage."""
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            # The pair itself may be a key: it is not repeated.
            raise ConfigError("OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value")
        found[name.strip().lower()] = unquote(value.strip())
    return found


def _timeout(text: str | None) -> float:
    """Seconds. The specification counts milliseconds, OpenTelemetry's Python SDK seconds: services
    have either, so a number up to 100 is taken for seconds and a larger one for milliseconds."""
    if text is None:
        return DEFAULT_TIMEOUT_S
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"OTEL_EXPORTER_OTLP_TIMEOUT must be a number above 0, not {text!r}")
    return value if value <= MAX_TIMEOUT_S else value / 1000


def _compression(text: str | None) -> str:
    compression = (text or "none").lower()
    if compression not in ("none", "gzip"):
        raise ConfigError(f"OTEL_EXPORTER_OTLP_COMPRESSION must be gzip or none, not {text!r}")
    return compression


def _flag(text: str | None) -> bool:
    return (text or "").lower() == "true"
