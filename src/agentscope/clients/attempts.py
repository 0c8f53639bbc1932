"""Attempts: the HTTP requests that one call of a model is made of, and the waits between them.

A span of attempts covers everything from the moment the client wants to send until the body is
read or given up. What it waited for inside (a connection from the pool, connecting) are spans
below it; the sleep before the next attempt is a span beside it, below the inference.
"""

from __future__ import annotations

import weakref
from functools import partial

from agentscope import conventions as c
from agentscope.clients.bodies import BodyEnd
from agentscope.clients.gaps import Gaps
from agentscope.clients.headers import Line, kept_headers, selected, server_processing_s
from agentscope.clients.ratelimit import publish
from agentscope.recording.clock import Clock
from agentscope.recording.context import attach, detach
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import CLIENT, AttributeValue, Role, Span, error_type

_MIN_WAIT_NS = int(c.MIN_WAIT_S * 1e9)


class Attempts:
    """What is known of the attempts below one span: an inference or an ``llm_call`` phase.

    It refers to no span strongly: spans refer to their parents, and this is kept by the parent.
    """

    __slots__ = ("adopted", "count", "failure", "failure_ns", "gaps", "latest")

    def __init__(self) -> None:
        self.count = 0
        self.failure: c.Wait | None = None
        """What a client waits for after the latest attempt, which failed; None after a success."""
        self.failure_ns = 0
        self.latest: weakref.ref[Attempt] | None = None
        self.adopted = False
        """A client's call fills the user's own inference span; a second one gets its own."""
        self.gaps: Gaps | None = None
        """Of the streamed answers, where there is one."""


def attempts_of(span: Span) -> Attempts:
    """The attempts below ``span``."""
    found: Attempts | None = span.attempts
    if found is None:
        found = span.attempts = Attempts()
    return found


def attempt_owner(span: Span | None) -> Span | None:
    """The inference, or the ``llm_call`` phase without one, that an HTTP request now belongs to."""
    while span is not None and span.role not in (Role.REQUEST, Role.TURN, Role.TOOL):
        if span.role is Role.INFERENCE:
            return span
        if span.role is Role.PHASE and span.attributes.get(c.PHASE) == c.Phase.LLM_CALL.value:
            return span
        span = span.parent
    return None


class Attempt:
    """One HTTP request: an attempt of an inference, or another call where ``owner`` is None."""

    __slots__ = ("__weakref__", "_attempts", "_owner", "_recorder", "span")

    def __init__(
        self,
        recorder: Recorder,
        owner: Span | None,
        method: str,
        attributes: dict[str, AttributeValue],
    ) -> None:
        self._recorder = recorder
        self._owner = owner
        self._attempts: Attempts | None = None
        start_ns = recorder.clock.monotonic_ns()
        role = Role.OTHER
        if owner is not None:
            role = Role.ATTEMPT
            self._attempts = attempts = attempts_of(owner)
            attributes.setdefault(c.HTTP_RESEND_COUNT, attempts.count)
            self._record_sleep(owner, attempts, start_ns)
            attempts.count += 1
            attempts.latest = weakref.ref(self)
        self.span = recorder.start(method, role, attributes, CLIENT, start_ns)

    def answered(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The response's head has come."""
        attributes = self.span.attributes
        attributes[c.HTTP_STATUS_CODE] = status
        owner = self._owner
        if owner is not None:
            clock = self._recorder.clock
            lines, now_ns = selected(headers), clock.monotonic_ns()
            self.span.deferred = partial(_read_headers, lines, owner, clock, now_ns)
        if status >= 400:
            self.span.fail(str(status))
            limited = status in c.RATE_LIMIT_STATUSES
            self._failed(
                c.Wait.RATE_LIMIT if limited else c.Wait.RETRY_BACKOFF,
                self._recorder.clock.monotonic_ns(),
            )

    def over(self, error: BaseException | None = None, end_ns: int = 0) -> None:
        """The body was read or given up, or the request failed with ``error``; once."""
        span = self.span
        if span.end_ns:
            return
        end_ns = end_ns or self._recorder.clock.monotonic_ns()
        if isinstance(error, Exception):
            span.fail(error)
        elif error is not None:  # cancelled: neither the server's fault nor ours
            span.attributes[c.ERROR_TYPE] = error_type(error)
        self._recorder.take(span, end_ns)
        attempts = self._attempts
        if attempts is None or attempts.latest is None or attempts.latest() is not self:
            return
        if error is not None:
            self._failed(c.Wait.RETRY_BACKOFF, end_ns)
        elif attempts.failure is not None:
            attempts.failure_ns = end_ns

    def body_over(self, how: BodyEnd, error: BaseException | None) -> None:
        """What a followed body calls."""
        self.over(error)

    def waited(self, kind: c.Wait, resource: str, start_ns: int, end_ns: int) -> None:
        """Record a wait inside the attempt, where it lasted long enough."""
        _record_wait(self._recorder, self.span, kind, resource, start_ns, end_ns)

    def _failed(self, kind: c.Wait, at_ns: int) -> None:
        if self._attempts is not None:
            self._attempts.failure = kind
            self._attempts.failure_ns = at_ns

    def _record_sleep(self, owner: Span, attempts: Attempts, now_ns: int) -> None:
        kind = attempts.failure
        if kind is None:
            return
        latest = attempts.latest() if attempts.latest is not None else None
        if latest is not None and not latest.span.end_ns:
            # Its body is unread or read later, beside the sleep: nobody waited for it.
            latest.over(end_ns=attempts.failure_ns)
        attempts.failure = None
        provider = owner.attributes.get(c.PROVIDER_NAME, "")
        _record_wait(self._recorder, owner, kind, str(provider), attempts.failure_ns, now_ns)


def _read_headers(
    lines: list[Line],
    owner: Span,
    clock: Clock,
    now_ns: int,
    span: Span,
    instruments: Instruments,
) -> None:
    """Put what a response's headers say on its attempt, and on the gauges of its quotas."""
    attributes = span.attributes
    kept = kept_headers(lines)
    for name, values in kept.items():
        attributes[c.HTTP_RESPONSE_HEADER + name] = values
    processing_s = server_processing_s(kept)
    if processing_s is not None:
        attributes[c.SERVER_PROCESSING] = processing_s
    provider = str(owner.attributes.get(c.PROVIDER_NAME) or attributes.get(c.SERVER_ADDRESS, ""))
    model = str(owner.attributes.get(c.REQUEST_MODEL, ""))
    # Responses of one kind have the same headers, and the last one's numbers are the newest.
    gauges = partial(publish, kept, provider, model, clock.epoch_ns(now_ns) / 1e9)
    instruments.later((provider, model, *kept), gauges)


def _record_wait(
    recorder: Recorder, parent: Span, kind: c.Wait, resource: str, start_ns: int, end_ns: int
) -> None:
    if end_ns - start_ns < _MIN_WAIT_NS:
        return
    attributes: dict[str, AttributeValue] = {c.WAIT_KIND: kind.value, c.WAIT_RESOURCE: resource}
    token = attach(parent)
    try:
        span = recorder.start(f"wait {kind.value}", Role.WAIT, attributes, start_ns=start_ns)
    finally:
        detach(token)
    recorder.take(span, end_ns)
