"""Settings: one place for ``configure()`` and the ``AGENTSCOPE_*`` variables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentscope import conventions as c
from agentscope.errors import AgentscopeWarning, ConfigError
from agentscope.recording.process import told_attributes
from agentscope.runtime.sessions import MAX_SESSIONS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})

_PREFIX = "AGENTSCOPE_"
_ELSEWHERE = ("RESOURCES_TOKEN", "TESTING_RAISE")
"""Variables of ours that are no settings: a token, and what tests of ours set."""
_ALIKE = 0.7
"""How much a variable must be like one of ours to be taken for it, by difflib's ratio."""

MIB = 1024 * 1024

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable, also in lower case: workers share what they count there."""

_STANDARD = {
    "service_name": "OTEL_SERVICE_NAME",
    "metrics_temporality": "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
}
"""OpenTelemetry's own variables, honoured where ours are not set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose; every field has a variable ``AGENTSCOPE_<FIELD>``."""

    service_name: str = "unknown_service"
    """What the service is called; ``OTEL_SERVICE_NAME`` is honoured too, and the ``service.name``
    of ``OTEL_RESOURCE_ATTRIBUTES``."""
    run_dir: Path | None = None
    """Where to write the run directory; None for none."""
    prometheus: bool = True
    """Serve ``/metrics``."""
    otlp: bool | None = None
    """Send spans and metrics by OTLP, as the standard ``OTEL_EXPORTER_OTLP_*`` variables say; None
    to do so when one of them names an endpoint."""
    otlp_endpoint: str | None = None
    """The receiver, such as ``http://collector:4318``, in place of the standard variables'."""
    metrics_temporality: str = "cumulative"
    """How OTLP metrics count: cumulative | delta;
    ``OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`` is honoured too."""
    sample_ratio: float = 1.0
    """Share of traces whose spans are written, 0 to 1; metrics count every turn."""
    trust_incoming: str = "continue"
    """What an incoming ``traceparent`` does: continue | link | never."""
    genai_metrics: str = "old"
    """Names of the GenAI metrics, by the conventions' older or newer edition: old | new | both."""
    tracer_provider: TracerProvider | None = field(default=None, repr=False)
    """A provider of OpenTelemetry's SDK whose processors get every ended span too; it has no
    variable."""
    session_idle_s: float = 300.0
    """A session without a turn for so long is no longer active."""
    max_sessions: int = MAX_SESSIONS
    """Most sessions told apart at a time; beyond, the one idle longest is forgotten."""
    max_queue_bytes: int = 32 * MIB
    """Most memory that encoded spans may wait in, for each sink."""
    postgres_dsn: str | None = field(default=None, repr=False)  # it may hold a password
    """A PostgreSQL whose sessions are sampled once a second; None for none."""
    strict: bool = False
    """Raise at start where a variable's value would otherwise only be warned about."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, here and nowhere later."""
        if not 0 <= self.sample_ratio <= 1:
            _refuse("sample_ratio", self.sample_ratio, "a number from 0 to 1")
        if self.trust_incoming not in ("continue", "link", "never"):
            _refuse("trust_incoming", self.trust_incoming, "'continue', 'link' or 'never'")
        if self.metrics_temporality not in ("cumulative", "delta"):
            _refuse("metrics_temporality", self.metrics_temporality, "'cumulative' or 'delta'")
        if self.genai_metrics not in ("old", "new", "both"):
            _refuse("genai_metrics", self.genai_metrics, "'old', 'new' or 'both'")
        if self.session_idle_s <= 0:
            _refuse("session_idle_s", self.session_idle_s, "seconds above 0")
        if self.max_sessions < 1:
            _refuse("max_sessions", self.max_sessions, "at least 1")
        if self.max_queue_bytes < MIB:
            _refuse("max_queue_bytes", self.max_queue_bytes, f"at least {MIB}")
        if not self.service_name or len(self.service_name) > 255:
            _refuse("service_name", self.service_name[:40], "1 to 255 characters")


def metrics_directory() -> Path | None:
    """The directory in which workers share what they count; None where they share none."""
    path = os.environ.get(METRICS_DIRECTORY) or os.environ.get(METRICS_DIRECTORY.lower())
    return Path(path) if path else None


@dataclass(frozen=True, slots=True)
class _Sources:
    """Settings and which of them came from the environment."""

    settings: Settings
    from_environment: frozenset[str] = field(default_factory=frozenset)


def load(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> _Sources:
    """Settings from arguments, then the environment, then defaults; raises ConfigError."""
    environment = os.environ if environment is None else environment
    known = {one.name: one for one in fields(Settings)}
    for name in given:
        if name not in known:
            raise ConfigError(
                f"configure() has no setting {name!r}; it has: {', '.join(sorted(known))}"
            )
    values = {name: value for name, value in given.items() if value is not None}
    from_environment = set()
    strict = _flag(environment.get("AGENTSCOPE_STRICT", "")) or bool(given.get("strict"))
    for name in known.keys() - values.keys() - {"tracer_provider"}:
        variable = f"{_PREFIX}{name.upper()}"
        text = environment.get(variable)
        if text is None and name in _STANDARD:
            variable, text = _STANDARD[name], environment.get(_STANDARD[name])
        if not text and name == "service_name":
            variable = "OTEL_RESOURCE_ATTRIBUTES"
            text = told_attributes(environment).get(c.SERVICE_NAME)
        if not text:
            continue
        try:
            value: Any = _parse(name, text)
            Settings(**{name: value})
        except (ConfigError, ValueError) as error:
            if strict:
                raise ConfigError(f"{variable}={text!r}: {error}") from error
            warnings.warn(
                f"agentscope ignores {variable}={text!r}: {error}", AgentscopeWarning, stacklevel=4
            )
        else:
            values[name] = value
            from_environment.add(name)
    for message in _misspelt(known, environment):
        if strict:
            raise ConfigError(message)
        warnings.warn(message, AgentscopeWarning, stacklevel=4)
    if isinstance(values.get("run_dir"), str | os.PathLike):
        values["run_dir"] = Path(values["run_dir"]).expanduser().absolute()
    try:
        settings = Settings(**values)
    except TypeError as error:
        raise ConfigError(f"configure(): {error}") from error
    return _Sources(replace(settings, strict=strict), frozenset(from_environment))


def _misspelt(known: Iterable[str], environment: Mapping[str, str]) -> Iterator[str]:
    """What to say of variables that are like one of ours and are none.

    Others may begin like ours: those of Kubernetes for a service of that name, ``…_SERVICE_HOST``.
    """
    ours = [f"{_PREFIX}{name.upper()}" for name in known if name != "tracer_provider"]
    ours += [f"{_PREFIX}{name}" for name in _ELSEWHERE]
    for variable in sorted(environment):
        if variable.startswith(_PREFIX) and variable not in ours:
            import difflib  # here, because it is hardly ever needed

            meant = [one for one in ours if one.startswith(variable)]
            plain = {one.removeprefix(_PREFIX): one for one in ours}
            word = variable.removeprefix(_PREFIX)
            meant += [plain[one] for one in difflib.get_close_matches(word, plain, 1, _ALIKE)]
            if meant and word:
                yield f"agentscope has no variable {variable}, did you mean {meant[0]}?"


def _parse(name: str, text: str) -> object:
    match name:
        case "run_dir":
            return Path(text)
        case "metrics_temporality":
            # OpenTelemetry's third choice: deltas of what we count by, histograms and counters.
            text = text.strip().lower()
            return "delta" if text == "lowmemory" else text
        case "prometheus" | "strict" | "otlp":
            flag = _flag(text)
            if flag is None:
                raise ConfigError("must be 1 or 0")
            return flag
        case "sample_ratio" | "session_idle_s":
            return _number(float, text, "a number")
        case "max_queue_bytes" | "max_sessions":
            return _number(int, text, "a whole number")
        case _:
            return text


def _number(kind: type[float], text: str, wanted: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"must be {wanted}") from None


def _flag(text: str) -> bool | None:
    lowered = text.strip().lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


def _refuse(name: str, value: object, wanted: str) -> None:
    raise ConfigError(f"{name} must be {wanted}, not {value!r}")
