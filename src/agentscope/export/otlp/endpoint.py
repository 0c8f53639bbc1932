"""Where to send and how: the standard ``OTEL_EXPORTER_OTLP_*`` variables, read once.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from agentscope.errors import ConfigError

Signal = Literal["traces", "metrics"]

DEFAULT_URL = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 100.0
"""A larger number is meant in milliseconds, see ``_timeout``."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_USER = re.compile(r"(?<=//)[^/]*@")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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
    return any(environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() for name in names)


def is_disabled(environment: Mapping[str, str]) -> bool:
    """Whether who runs the service wants nothing of OpenTelemetry's sent, whoever asks for it."""
    return _flag(environment.get("OTEL_SDK_DISABLED", "").strip())


def endpoint_of(
    signal: Signal,
    environment: Mapping[str, str],
    *,
    url: str | None = None,
    default: bool = True,
) -> Endpoint | None:
    """The receiver of ``signal``; None where ``OTEL_<SIGNAL>_EXPORTER`` names others or ``none``.

    ``url``, from ``configure(otlp_endpoint=…)``, stands in for the endpoint of all signals. Where
    none is named it is the specification's, on this machine, or None without ``default``. Raises
    ConfigError for a value that cannot work.
    """
    exporters = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    # A list: others' names, such as console and prometheus, are their business. Python's SDK has
    # otlp_proto_http and otlp_proto_grpc too.
    if exporters and not any(one.strip().startswith("otlp") for one in exporters.split(",")):
        return None

    def value(name: str) -> str | None:
        own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
        return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() or None

    protocol = (value("PROTOCOL") or "http/protobuf").lower()
    if protocol not in DEFAULT_URL:
        known = " or ".join(DEFAULT_URL)
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {known}, not {protocol!r}")
    target = _target(signal, environment, protocol, url)
    if target is None:
        if not default and not exporters:
            return None
        target = _with_path(DEFAULT_URL[protocol], protocol, signal)
    if protocol == "grpc" and "://" not in target:
        target = f"{'http' if _flag(value('INSECURE')) else 'https'}://{target}"
    _check(target)
    return Endpoint(
        url=target,
        protocol=protocol,
        headers=_headers(value("HEADERS") or ""),
        timeout_s=_timeout(value("TIMEOUT")),
        compression=_compression(value("COMPRESSION")),
        certificate=_file("CERTIFICATE", value("CERTIFICATE")),
        client_certificate=_file("CLIENT_CERTIFICATE", value("CLIENT_CERTIFICATE")),
        client_key=_file("CLIENT_KEY", value("CLIENT_KEY")),
        insecure=urlsplit(target).scheme == "http",
    )


def _target(
    signal: Signal, environment: Mapping[str, str], protocol: str, url: str | None
) -> str | None:
    own_url = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    if own_url and not url:
        return own_url  # as it is, without a path of ours
    base = url or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    return _with_path(base, protocol, signal) if base else None


def _with_path(base: str, protocol: str, signal: Signal) -> str:
    if protocol == "grpc":
        return base
    parts = _check(base)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/v1/{signal}"))


def _check(url: str) -> SplitResult:
    """The parts of a URL; raises ConfigError where it leads nowhere."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        sound = False
    if not sound:
        url = _USER.sub("", url)
        raise ConfigError(f"{url!r} is no endpoint; give a URL such as http://localhost:4318")
    return parts


def _headers(text: str) -> dict[str, str]:
    """``key1=value1,key2=value2``, percent-encoded as in W3C Baggage."""
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, quoted = pair.partition("=")
        name, value = name.strip().lower(), unquote(quoted.strip())
        if not equals or not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            # The pair itself may be a key: it is not repeated.
            raise ConfigError("OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value")
        found[name] = value
    return found


def _file(name: str, path: str | None) -> str | None:
    """A file with certificates or a key: one that cannot be read would fail every request."""
    if path is not None:
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ConfigError(
                f"OTEL_EXPORTER_OTLP_{name}: cannot read {path!r}: {error.strerror}"
            ) from error
    return path


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
