"""The span of the hot path: a small slotted object that is also an OpenTelemetry ``Span``.

It records and nothing else. Encoding, metrics and delivery happen later, in one background
thread, from the ended object.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from agentscope import conventions as c
from agentscope.recording.clock import Clock

if TYPE_CHECKING:
    from opentelemetry.util import types

    from agentscope.recording.instruments import Instruments

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""A span's kind as OTLP numbers it: from 1, OpenTelemetry's Python enumeration from 0."""

MAX_ATTRIBUTES = 128
MAX_EVENTS = 16
MAX_VALUE_LENGTH = 4096
"""Longer strings are cut, and the span says so: no value of a user's may fill our memory."""

MAX_TEXT_LENGTH = 16 * 1024
"""Characters that others may put on one span: a queue of spans must not hold gigabytes."""

_MAX_ITEMS = 32

AttributeValue = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]
Deferred: TypeAlias = "Callable[[Span, Instruments], None]"
Event = tuple[int, str, dict[str, AttributeValue]]
"""Monotonic nanoseconds, name, attributes."""


class Role(IntEnum):
    """What a span is to us: decides which metrics it feeds."""

    OTHER = 0
    REQUEST = 1
    """A SERVER span; a turn once the agent works in it."""
    TURN = 2
    PHASE = 3
    INFERENCE = 4
    TOOL = 5
    ATTEMPT = 6
    DATABASE = 7
    WAIT = 8


_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)


class Taker(Protocol):
    """Who takes a span when it ends: the recorder."""

    clock: Clock

    def take(self, span: Span, end_ns: int) -> None:
        """Take ``span``, ended at the monotonic ``end_ns``."""


class Span(ApiSpan):
    """One recorded span. ``start_ns`` and ``end_ns`` are monotonic; 0 means not ended."""

    __slots__ = (
        "_room",
        "_span_context",
        "_taker",
        "attempts",
        "attributes",
        "deferred",
        "dropped_attributes",
        "end_ns",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "parent_id",
        "role",
        "sampled",
        "sequence",
        "session_of",
        "span_id",
        "start_ns",
        "status",
        "trace_id",
        "turn",
    )

    def __init__(
        self,
        taker: Taker,
        name: str,
        kind: int,
        role: Role,
        trace_id: int,
        span_id: int,
        parent_id: int,
        parent: Span | None,
        sampled: bool,
        start_ns: int,
        attributes: dict[str, AttributeValue],
    ) -> None:
        self._taker = taker
        self._span_context: SpanContext | None = None
        self.name = name
        self.kind = kind
        self.role = role
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.parent = parent
        self.turn: Span | None = parent.turn if parent is not None else None
        self.sampled = sampled
        self.start_ns = start_ns
        self.end_ns = 0
        self.attributes = attributes
        self.dropped_attributes = 0
        self.events: list[Event] | None = None
        self.links: list[tuple[int, int]] | None = None
        self.status = 0
        self.sequence = 0
        self.session_of: Callable[[], str | None] | None = None
        """On the span of a request: finds the session once the agent begins to work."""
        self.attempts: Any = None
        """On the span of a call of a model: what its client knows of the attempts below it."""
        self.deferred: Deferred | None = None
        """Work on the ended span that can wait for the recorder's thread: done there, once."""

    @property
    def error(self) -> str | None:
        """The type of error that the work failed with, if it failed."""
        value = self.attributes.get(c.ERROR_TYPE)
        return value if isinstance(value, str) else None

    def fail(self, error: BaseException | str) -> None:
        """Say that the work failed, and with what type of error; never with its text.

        An exception's text can hold prompts and secrets, so only its class is kept.
        """
        self.status = StatusCode.ERROR.value
        self.attributes[c.ERROR_TYPE] = error if isinstance(error, str) else error_type(error)

    # OpenTelemetry's own interface, for code that finds this span in the context.

    def end(self, end_time: int | None = None) -> None:
        """End the span once; later calls do nothing. ``end_time`` is epoch nanoseconds."""
        if self.end_ns:
            return
        taker = self._taker
        if end_time is None:
            taker.take(self, taker.clock.monotonic_ns())
        else:
            taker.take(self, max(self._monotonic_ns(end_time), self.start_ns))

    def get_span_context(self) -> SpanContext:
        """The ids that a propagator writes into an outgoing request."""
        if self._span_context is None:
            flags = _SAMPLED if self.sampled else _NOT_SAMPLED
            self._span_context = SpanContext(self.trace_id, self.span_id, False, flags)
        return self._span_context

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        """Set one attribute; values of other types than OpenTelemetry's are left out, counted."""
        if self.end_ns:
            return
        try:
            kept = self._keep(self.attributes, key, value, MAX_ATTRIBUTES)
        except Exception:  # an object of the user's that is not what it says
            kept = False
        if not kept:
            self.dropped_attributes += 1

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        """Set several attributes."""
        for key, value in _pairs(attributes):
            self.set_attribute(key, value)

    def add_event(
        self,
        name: str,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
    ) -> None:
        """Add an event, dated now; the first ``MAX_EVENTS`` are kept."""
        if self.events is None:
            self.events = []
        if self.end_ns or len(self.events) >= MAX_EVENTS:
            return
        kept: dict[str, AttributeValue] = {}
        for key, value in _pairs(attributes):
            with contextlib.suppress(Exception):
                self._keep(kept, key, value, _MAX_ITEMS)
        self.events.append((self._monotonic_ns(timestamp), text_of(name), kept))

    def _keep(
        self, attributes: dict[str, AttributeValue], key: str, value: object, most: int
    ) -> bool:
        """Set one attribute within our bounds; False where it does not fit or is none."""
        key = str.__str__(key)[:MAX_VALUE_LENGTH]
        before = attributes.get(key)
        bounded = _bounded(value, attributes)
        if bounded is None or (before is None and len(attributes) >= most):
            return False
        room = getattr(self, "_room", MAX_TEXT_LENGTH)
        room += len(key) + _length(before) if before is not None else 0
        room -= len(key) + _length(bounded)
        if room < 0:
            attributes[c.TRUNCATED] = True
            return False
        self._room = room
        attributes[key] = bounded
        return True

    def _monotonic_ns(self, epoch_ns: int | None) -> int:
        """The monotonic reading that belongs to a date of the user's; now, where it is none."""
        clock = self._taker.clock
        if isinstance(epoch_ns, int | float) and math.isfinite(epoch_ns):
            return clock.from_epoch_ns(int(epoch_ns))
        return clock.monotonic_ns()

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with the exception's class, without its text."""
        self.add_event("exception", {"exception.type": error_type(exception)}, timestamp)

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if not self.end_ns:
            self.name = text_of(name)

    def is_recording(self) -> bool:
        """Whether the span has not ended."""
        return not self.end_ns

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; as the specification says, OK is final and UNSET is ignored."""
        code = status.status_code if isinstance(status, Status) else status
        if self.end_ns or self.status == StatusCode.OK.value or code is StatusCode.UNSET:
            return
        if isinstance(code, StatusCode):
            self.status = code.value


def error_type(error: BaseException) -> str:
    """The class of an exception as ``error.type`` wants it: dotted, builtins bare."""
    cls = type(error)
    name = cls.__qualname__
    return name if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{name}"


def text_of(name: object) -> str:
    """A name or an id of the user's as text within our bounds: a number or a UUID is one too."""
    try:
        return (name if type(name) is str else str(name))[:MAX_VALUE_LENGTH]
    except Exception:
        return type(name).__name__


def _pairs(attributes: object) -> list[tuple[Any, Any]]:
    try:
        return list(attributes.items())  # type: ignore[attr-defined]  # whatever the user gave
    except Exception:
        return []


def _length(value: AttributeValue) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(_length, value)) if isinstance(value, list) else 0


def _bounded(value: object, beside: dict[str, AttributeValue]) -> AttributeValue | None:
    """``value`` within our bounds, or None where its type is none of OpenTelemetry's.

    ``str()`` of a user's object is never called: it may raise, sleep or return a gigabyte.
    """
    if isinstance(value, str):
        if len(value) > MAX_VALUE_LENGTH:
            beside[c.TRUNCATED] = True
        return str.__str__(value)[:MAX_VALUE_LENGTH]
    if isinstance(value, bool | int | float):
        return _plain(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        if len(value) > _MAX_ITEMS:
            beside[c.TRUNCATED] = True
        items = [
            _plain(item)
            for item in value[:_MAX_ITEMS]
            if isinstance(item, str | bool | int | float)
        ]
        if len({type(item) for item in items}) > 1 or (value and not items):
            return None
        return [
            item[: MAX_VALUE_LENGTH // _MAX_ITEMS] if isinstance(item, str) else item
            for item in items
        ]  # type: ignore[return-value]  # one type throughout, which mypy cannot follow
    return None


def _plain(value: str | float) -> str | float:
    """The builtin that an enumeration's member or a number of numpy's is underneath."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return value if isinstance(value, bool) else int.__int__(value)
