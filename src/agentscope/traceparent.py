"""The incoming ``traceparent`` header of W3C Trace Context, level 2."""

from __future__ import annotations

from collections.abc import Iterable

_HEX = frozenset(b"0123456789abcdef")


def parse_traceparent(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    """Trace id and parent id from a request's headers; None unless there is exactly one, valid.

    https://www.w3.org/TR/trace-context-2/#traceparent-header. The sampled flag is not read: a
    client cannot make us record.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"traceparent":
            if found is not None:
                return None
            found = value
    return None if found is None else _parse(found)


def _parse(value: bytes) -> tuple[int, int] | None:
    if len(value) < 55 or value[2:3] != b"-" or value[35:36] != b"-" or value[52:53] != b"-":
        return None
    version, trace_id, parent_id, flags = value[:2], value[3:35], value[36:52], value[53:55]
    if not _HEX.issuperset(version + trace_id + parent_id + flags) or version == b"ff":
        return None
    # Version 00 ends here; later ones may go on after another dash.
    if len(value) > 55 and (version == b"00" or value[55:56] != b"-"):
        return None
    trace, parent = int(trace_id, 16), int(parent_id, 16)
    return (trace, parent) if trace and parent else None
