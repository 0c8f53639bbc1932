"""The fast path: a block of clean OTLP-JSON trace lines becomes rows without a loop over spans.

What it does not know for certain it refuses as a whole (``Irregular``): the careful path then
looks at each line. So both give the same rows wherever this one gives any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from agentscope_analyzer.engine.schema import SPANS
from agentscope_analyzer.ingest.attributes import (
    Attributes,
    Irregular,
    attributes_type,
    columns,
)
from agentscope_analyzer.ingest.dialects import RESOURCE_COLUMNS, SPAN_COLUMNS
from agentscope_analyzer.ingest.streams import (
    EVENT,
    names_first_chunks,
    tell_streams,
    unread_first_chunks,
)

__all__ = ["KINDS", "STATUSES", "TraceBlock", "read_clean_traces", "read_traces"]

KINDS: Final = {
    "1": "INTERNAL", "SPAN_KIND_INTERNAL": "INTERNAL",
    "2": "SERVER", "SPAN_KIND_SERVER": "SERVER",
    "3": "CLIENT", "SPAN_KIND_CLIENT": "CLIENT",
    "4": "PRODUCER", "SPAN_KIND_PRODUCER": "PRODUCER",
    "5": "CONSUMER", "SPAN_KIND_CONSUMER": "CONSUMER",
}  # fmt: skip
"""Span kinds by number and by name; anything else is INTERNAL, as OTLP says of unspecified."""

STATUSES: Final = {
    "1": "OK", "STATUS_CODE_OK": "OK",
    "2": "ERROR", "STATUS_CODE_ERROR": "ERROR",
}  # fmt: skip
"""Status codes by number and by name; anything else is UNSET."""

_PARSE_BYTES: Final = 4 << 20
_SNIFFED_BYTES: Final = 256 << 10
"""What a block spells otherwise further on is read in smaller pieces, each with its own schema."""
_SPELLED = {
    name: re.compile(rb'"' + name.encode() + rb'"\s*:\s*(.)', re.DOTALL)
    for name in ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue", "kind", "code")
}
_NUMBERS: Final = ("kind", "code")
"""Numbers where the start of a block does not say; the recorder and the careful path write so."""

_NULL_LINE = re.compile(rb"\}\s*null")
_FEW_LINES: Final = 10_000
_HEX = np.zeros(256, dtype=bool)
_HEX[list(b"0123456789abcdefABCDEF")] = True

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TraceBlock:
    """The spans of so many lines, as Arrow columns of the table ``spans``."""

    lines: int
    spans: pa.Table


def read_traces(block: bytes) -> TraceBlock:
    """Rows for the table ``spans``.

    Raises Irregular, pyarrow.ArrowException or UnicodeError when the block is not clean
    throughout: nothing of it may then be used.
    """
    lines = _lines(block)
    _check(block, lines)
    events = names_first_chunks(block[:_SNIFFED_BYTES])
    table = _parsed(block, lines, _schema(block, events=events))
    if table.num_rows != lines.count:
        msg = f"{lines.count} lines gave {table.num_rows} objects"
        raise Irregular(msg)
    spans = _rows(table.column("resourceSpans").combine_chunks())
    if not events and unread_first_chunks(spans.column("scope"), block):
        table = _parsed(block, lines, _schema(block, events=True))
        spans = _rows(table.column("resourceSpans").combine_chunks())
    # Only spans have this key, and a quote within a text is escaped: an independent count.
    if block.count(b'"endTimeUnixNano"') != spans.num_rows:
        msg = "not every span became a row"
        raise Irregular(msg)
    return TraceBlock(lines.count, spans)


def read_clean_traces(lines: bytes, spans: int) -> pa.Table:
    """Rows of lines that the careful path has written; raises Irregular if they are not all."""
    table = _parsed(lines, _lines(lines), _schema(b"", events=names_first_chunks(lines)))
    rows = _rows(table.column("resourceSpans").combine_chunks())
    if rows.num_rows != spans:
        msg = f"{spans} clean spans gave {rows.num_rows} rows"
        raise Irregular(msg)
    return rows


@dataclass(frozen=True, slots=True)
class _Lines:
    """How many lines a block has, the first byte of each, and the length of the longest."""

    count: int
    first_bytes: np.ndarray[tuple[int], np.dtype[np.uint8]]
    longest: int


def _lines(block: bytes) -> _Lines:
    data = np.frombuffer(block, dtype=np.uint8)
    ends = _newlines(block)
    if not len(ends) or ends[-1] != len(data) - 1:  # the last line lacks its newline
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    # An empty line has the newline behind it for its first byte; behind the last there is none.
    first_bytes = np.append(data, 0)[starts] if starts[-1] == len(data) else data[starts]
    return _Lines(len(ends), first_bytes, int((ends - starts).max()))


def _newlines(block: bytes) -> _Places:
    places: list[int] = []
    at = block.find(b"\n")
    while at >= 0:
        places.append(at)
        if len(places) > _FEW_LINES:  # a loop over so short lines would take longer than columns
            return np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
        at = block.find(b"\n", at + 1)
    return np.array(places, dtype=np.int64)


def _check(block: bytes, lines: _Lines) -> None:
    """Raise Irregular or pyarrow.ArrowInvalid for what the parser must not see."""
    # pyarrow 26 crashes on a null that stands alone, be it behind an object on the same line.
    null = block.rfind(b"null") >= 0  # bytes are searched three times as fast from behind
    if (lines.first_bytes != ord("{")).any() or (null and _NULL_LINE.search(block)):
        msg = "a line that is not a JSON object"
        raise Irregular(msg)
    if not block.isascii():  # the parser lets bytes through that are not UTF-8
        offsets = pa.array([0, len(block)], pa.int64()).buffers()[1]
        text = pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(block))
        text.validate(full=True)


def _parsed(block: bytes, lines: _Lines, schema: pa.Schema) -> pa.Table:
    return pa_json.read_json(
        pa.BufferReader(block),
        read_options=pa_json.ReadOptions(block_size=max(_PARSE_BYTES, lines.longest + 2)),
        parse_options=pa_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )


def _schema(block: bytes, *, events: bool) -> pa.Schema:
    """The block's schema: a 64-bit integer is a string or a number, an enum a number or a name."""

    def spelled(name: str) -> pa.DataType:
        found = _SPELLED[name].search(block, 0, _SNIFFED_BYTES)
        text = name not in _NUMBERS if found is None else found[1] == b'"'
        return pa.string() if text else pa.int64()

    attributes = attributes_type(spelled("intValue"))
    span = pa.struct(
        [
            ("traceId", pa.string()),
            ("spanId", pa.string()),
            ("parentSpanId", pa.string()),
            ("name", pa.string()),
            ("kind", spelled("kind")),
            ("startTimeUnixNano", spelled("startTimeUnixNano")),
            ("endTimeUnixNano", spelled("endTimeUnixNano")),
            ("attributes", attributes),
            ("status", pa.struct([("code", spelled("code"))])),
            *([(EVENT, _event(spelled("timeUnixNano")))] if events else []),
        ]
    )
    scope_spans = pa.struct(
        [("scope", pa.struct([("name", pa.string())])), ("spans", pa.list_(span))]
    )
    resource_spans = pa.struct(
        [
            ("resource", pa.struct([("attributes", attributes)])),
            ("scopeSpans", pa.list_(scope_spans)),
        ]
    )
    return pa.schema([("resourceSpans", pa.list_(resource_spans))])


def _event(time: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct([("name", pa.string()), ("timeUnixNano", time)]))


def _rows(lines: pa.ListArray) -> pa.Table:
    resources, _ = _flat(lines, required=True)
    scopes, resource_of_scope = _flat(pc.struct_field(resources, "scopeSpans"), required=True)
    spans, scope_of_span = _flat(pc.struct_field(scopes, "spans"), required=False)
    resource_of_span = resource_of_scope.take(scope_of_span)
    attributes = Attributes(pc.struct_field(spans, "attributes"))
    start_ns, end_ns = _times(spans)
    ids = {
        "trace_id": _ids(pc.struct_field(spans, "traceId"), 32),
        "span_id": _ids(pc.struct_field(spans, "spanId"), 16),
        "parent_id": _parents(pc.struct_field(spans, "parentSpanId")),
    }
    resource = columns(
        Attributes(pc.struct_field(resources, ["resource", "attributes"])),
        RESOURCE_COLUMNS,
        SPANS.arrow,
    )
    unknown = pa.array([""] * len(resources), pa.string())
    scope = _or_empty(pc.struct_field(scopes, ["scope", "name"]))
    rows: dict[str, Any] = {
        **ids,
        "name": _or_empty(pc.struct_field(spans, "name")),
        "kind": _named(pc.struct_field(spans, "kind"), KINDS, "INTERNAL"),
        "start_ns": start_ns,
        "end_ns": end_ns,
        "status": _named(pc.struct_field(spans, ["status", "code"]), STATUSES, "UNSET"),
        "service": _or_empty(resource.get("service", unknown)).take(resource_of_span),
        "instance": _or_empty(resource.get("instance", unknown)).take(resource_of_span),
        "scope": scope.take(scope_of_span),
        "attrs": attributes.as_map(),
        **columns(attributes, SPAN_COLUMNS, SPANS.arrow),
    }
    return pa.table(tell_streams(rows, spans))


def _flat(lists: pa.ListArray, *, required: bool) -> tuple[pa.StructArray, pa.Array]:
    """The elements of all lists, and for each the position of the list that it stood in."""
    elements = pc.list_flatten(lists)
    if elements.null_count or (required and lists.null_count):
        msg = "a part of the line is missing or has another name"
        raise Irregular(msg)
    return elements, pc.list_parent_indices(lists)


def _times(spans: pa.StructArray) -> tuple[pa.Array, pa.Array]:
    start_ns = pc.struct_field(spans, "startTimeUnixNano").cast(pa.int64())
    end_ns = pc.struct_field(spans, "endTimeUnixNano").cast(pa.int64())
    if start_ns.null_count or end_ns.null_count:
        msg = "a span without start or end"
        raise Irregular(msg)
    start, end = start_ns.to_numpy(), end_ns.to_numpy()
    if (start <= 0).any() or (end < start).any():
        msg = "a span that ends before it starts"
        raise Irregular(msg)
    return start_ns, end_ns


def _ids(ids: pa.Array, digits: int) -> pa.Array:
    """Ids in lower case; raises Irregular unless all of them are hex of that length, not zero."""
    if not len(ids):
        return ids
    if ids.null_count or pc.any(pc.not_equal(pc.binary_length(ids), digits)).as_py():
        msg = "an id of another length"
        raise Irregular(msg)
    _, _, text = ids.buffers()
    first = ids.offset * digits if ids.offset else 0
    data = np.frombuffer(text, dtype=np.uint8)[first : first + len(ids) * digits]
    if not _HEX[data].all():
        msg = "an id that is not hex"
        raise Irregular(msg)
    if (data.reshape(-1, digits) == ord("0")).all(axis=1).any():
        msg = "an id of zeros"
        raise Irregular(msg)
    upper = (data >= ord("A")) & (data <= ord("F"))
    return pc.ascii_lower(ids) if upper.any() else ids


def _parents(ids: pa.Array) -> pa.Array:
    absent = pc.or_(pc.equal(ids, ""), pc.equal(ids, "0" * 16))
    ids = pc.if_else(pc.fill_null(absent, fill_value=True), None, ids)
    _ids(ids.drop_null(), 16)
    return _or_empty(pc.ascii_lower(ids))


def _named(codes: pa.Array, names: dict[str, str], other: str) -> pa.Array:
    known = pc.index_in(codes.cast(pa.string()), pa.array(list(names)))
    position = pc.fill_null(known, len(names)).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(position, pa.array([*names.values(), other]))


def _or_empty(texts: pa.Array) -> pa.Array:
    return pc.fill_null(texts, "")
