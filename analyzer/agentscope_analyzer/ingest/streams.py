"""What instrumentations say of a streamed answer in ways of their own.

- OpenInference and OpenLLMetry put an event on the span at the first token, or at each chunk.
- Logfire ends the span of a call at the answer's headers, and writes another one when the stream
  has ended, without length and with the stream's seconds as an attribute: that one is stretched to
  the time it tells of. It is told apart from a call by ``llm/_model_spans``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "EVENT",
    "first_chunk_event",
    "names_first_chunks",
    "tell_streams",
    "unread_first_chunks",
]

_FIRST_CHUNKS: Final = ("First Token Stream Event", "gen_ai.content.completion.chunk")
_QUOTED: Final = tuple(f'"{name}"'.encode() for name in _FIRST_CHUNKS)
_SCOPES: Final = ("openinference.", "opentelemetry.instrumentation.")
"""How the names of those begin who write such events, among others."""
_LOGFIRE: Final = "logfire."
_MOST_S: Final = 1e5
_NEVER_NS: Final = int(np.iinfo(np.int64).max)

EVENT: Final = "events"
"""The field of a span that is read for them."""


def names_first_chunks(lines: bytes) -> bool:
    """Whether such an event is named in the text."""
    return any(name in lines for name in _QUOTED)


def unread_first_chunks(scopes: pa.Array, lines: bytes) -> bool:
    """Whether the text, read without events, has some that tell of first chunks."""
    names = [scope for scope in pc.unique(scopes).to_pylist() if scope]
    return any(name.startswith(_SCOPES) for name in names) and names_first_chunks(lines)


def first_chunk_event(events: Any) -> list[dict[str, str]]:
    """Of a span's events, parsed, the first that tells of a first chunk; at most one."""
    times = [
        str(event.get("timeUnixNano"))
        for event in (events if isinstance(events, list) else ())
        if isinstance(event, dict) and event.get("name") in _FIRST_CHUNKS
    ]
    whole = [int(time) for time in times if time.isascii() and time.isdecimal() and len(time) < 20]
    return [{"timeUnixNano": str(min(whole)), "name": _FIRST_CHUNKS[0]}] if whole else []


def tell_streams(rows: dict[str, Any], spans: pa.StructArray) -> dict[str, Any]:
    """Columns of the table ``spans``, with what these spans say of streams filled in."""
    if EVENT in [field.name for field in spans.type]:
        rows = _with_first_chunks(rows, pc.struct_field(spans, EVENT))
    if any(str(scope).startswith(_LOGFIRE) for scope in pc.unique(rows["scope"]).to_pylist()):
        rows = _with_logged_streams(rows)
    return rows


def _with_first_chunks(rows: dict[str, Any], events: pa.ListArray) -> dict[str, Any]:
    flat = pc.list_flatten(events)
    told = pc.is_in(pc.struct_field(flat, "name"), pa.array(_FIRST_CHUNKS))
    spans = pc.list_parent_indices(events).filter(told).to_numpy()
    times = pc.struct_field(flat, "timeUnixNano").cast(pa.int64()).filter(told)
    first_ns = np.full(len(events), _NEVER_NS)
    np.minimum.at(first_ns, spans, pc.fill_null(times, _NEVER_NS).to_numpy())
    start_ns, end_ns = rows["start_ns"].to_numpy(), rows["end_ns"].to_numpy()
    known = (first_ns >= start_ns) & (first_ns <= end_ns)
    return _streamed(rows, known, np.where(known, first_ns - start_ns, 0) / 1e9)


def _with_logged_streams(rows: dict[str, Any]) -> dict[str, Any]:
    """Logs of streams that have ended, as spans of the time that they took."""
    names = pc.starts_with(rows["scope"].cast(pa.string()), _LOGFIRE)
    asked = pc.is_valid(rows["operation"]) if "operation" in rows else None
    if asked is None:
        return rows
    took_s = np.zeros(len(names))
    for place in np.flatnonzero(pc.and_(names, asked).to_numpy(zero_copy_only=False)):
        attrs = dict(rows["attrs"][int(place)].as_py())
        if attrs.get("logfire.span_type") == "log":
            took_s[place] = _seconds(attrs.get("duration"))
    known = took_s > 0
    start_ns = rows["start_ns"].to_numpy() - np.round(took_s * 1e9).astype(np.int64)
    rows = {**rows, "start_ns": pa.array(start_ns)}
    return _streamed(rows, known, np.zeros(len(names)))


def _streamed(rows: dict[str, Any], known: Any, first_chunk_s: Any) -> dict[str, Any]:
    """The columns with what is known now; what a span says itself stays."""
    told = pa.array(known)
    chunks = pc.if_else(told, pa.array(first_chunk_s), None)
    flags = pc.if_else(told, pa.scalar(value=True), None)
    return {
        **rows,
        "first_chunk_s": pc.coalesce(rows["first_chunk_s"], chunks)
        if "first_chunk_s" in rows
        else chunks,
        "streamed": pc.coalesce(rows["streamed"], flags) if "streamed" in rows else flags,
    }


def _seconds(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if 0 < value < _MOST_S else 0.0
