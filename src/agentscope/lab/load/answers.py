"""Reading an answer off the wire: when its first byte came, what it held, whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError

MAX_BODY_BYTES = 1 << 20
"""More of a body is read and counted but not kept."""

_BLOCK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Body:
    """What came after the headers. ``broken`` says why it ended early."""

    content: bytes
    size_bytes: int
    first_byte_s: float | None
    """The clock's reading as the first byte came; None when none did."""
    broken: str | None = None


def read_body(response: Any, clock: Callable[[], float]) -> Body:
    """Read a geventhttpclient response to its end.

    Locust's own ``iter_lines`` and ``iter_content`` wait for a full kilobyte before they give
    anything away, so a short first chunk would be seen when the stream is long under way. Here the
    first byte is asked for alone.
    """
    kept: list[bytes] = []
    size_bytes = 0
    first_byte_s: float | None = None
    broken: str | None = None
    try:
        while block := response.read(_BLOCK_BYTES if size_bytes else 1):
            if first_byte_s is None:
                first_byte_s = clock()
            if size_bytes < MAX_BODY_BYTES:
                kept.append(block)
            size_bytes += len(block)
        if not response.message_complete:
            broken = "connection closed before the end of the answer"
    except (OSError, HTTPParseError, gevent.Timeout) as error:
        broken = describe(error)
        response.release()
    return Body(b"".join(kept), size_bytes, first_byte_s, broken)


def describe(error: BaseException) -> str:
    """An error in a few words, for a line and for Locust's table of failures."""
    return f"{type(error).__name__}: {error}".strip(": ")[:200]


def json_of(content: bytes) -> dict[str, Any]:
    """The JSON object of a body; empty where it is none."""
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def events_of(content: bytes) -> list[tuple[str, str]]:
    """The ``(event, data)`` pairs of a server-sent event stream, as the HTML standard reads it."""
    events: list[tuple[str, str]] = []
    name, data = "message", list[str]()
    for line in [*content.decode("utf-8", "replace").splitlines(), ""]:
        key, _, value = line.partition(":")
        if key == "event":
            name = value.strip()
        elif key == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            if data:
                events.append((name, "\n".join(data)))
            name, data = "message", []
    return events
