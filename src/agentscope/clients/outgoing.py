"""HTTP requests that go out, whichever library sends them.

One library may carry another's request: httpx has transports over aiohttp and over urllib3. The
request is then recorded once, by the library that the caller used; the one below adds only what it
alone sees, the waits for a connection.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from agentscope import conventions as c
from agentscope.clients.attempts import Attempt, attempt_owner
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue, Span

PORTS = {"http": 80, "https": 443}

_carried: ContextVar[Attempt | None] = ContextVar("agentscope_carried", default=None)


def begin(
    recorder: Recorder,
    current: Span,
    method: str,
    host: str,
    port: int | None,
    resent: int | None = None,
) -> Attempt:
    """The attempt, or the call of another service, that begins below ``current``.

    ``resent`` is which attempt of its call it is, where the client says so.
    """
    if method not in c.HTTP_METHODS:
        method = c.UNKNOWN_ERROR
    attributes: dict[str, AttributeValue] = {c.HTTP_REQUEST_METHOD: method, c.SERVER_ADDRESS: host}
    if port is not None:
        attributes[c.SERVER_PORT] = port
    owner = attempt_owner(current)
    if owner is not None and resent is not None:
        attributes[c.HTTP_RESEND_COUNT] = resent
    return Attempt(recorder, owner, method, attributes)


def pool_name(scheme: str, host: str, port: int | None) -> str:
    """What the connections to a server are called: its host, with a port that is not the usual."""
    return host if port is None or port == PORTS.get(scheme) else f"{host}:{port}"


def carry(attempt: Attempt) -> Token[Attempt | None]:
    """A transport is about to send ``attempt``'s request, perhaps with another library of ours."""
    return _carried.set(attempt)


def put_down(token: Token[Attempt | None]) -> None:
    """The transport has answered or failed."""
    try:
        _carried.reset(token)
    except ValueError:  # closed from another context than the one that was entered
        return


def carrier(current: Span) -> Attempt | None:
    """The attempt that a request now going out below ``current`` is the transport of, if any.

    An application called in process (httpx's ``ASGITransport``) runs where its caller's request is
    being sent; what it asks for below spans of its own is its own.
    """
    attempt = _carried.get()
    if attempt is None or attempt.span.end_ns or attempt.span.parent is not current:
        return None
    return attempt
