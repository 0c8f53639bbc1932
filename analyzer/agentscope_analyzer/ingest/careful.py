"""The careful path: each line is parsed and checked in Python, and what is good is kept.

Good spans are written out again in the recorder's own spelling and then read as any others: so
the two paths cannot disagree about a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agentscope_analyzer.ingest.documents import parse, parse_strictly
from agentscope_analyzer.ingest.load_lines import LoadRows, is_load_line
from agentscope_analyzer.ingest.metrics import MetricRows
from agentscope_analyzer.ingest.otlp import attributes, integer, parts, span_id, trace_id
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally, Unit
from agentscope_analyzer.ingest.streams import first_chunk_event
from agentscope_analyzer.ingest.traces import KINDS, STATUSES

__all__ = ["CarefulReader", "CleanTraces"]

_LINE_SPACE: Final = b" \t\r"
_TORN: Final = frozenset({Reason.NOT_JSON, Reason.NOT_UTF8})
_KIND_NUMBERS = {name: number for number, name in enumerate(dict.fromkeys(KINDS.values()), 1)}
_STATUS_NUMBERS = {name: number for number, name in enumerate(dict.fromkeys(STATUSES.values()), 1)}


@dataclass(frozen=True, slots=True)
class CleanTraces:
    """Trace lines that hold so many good spans and nothing else."""

    lines: bytes
    spans: int


class CarefulReader:
    """Reads lines of any signal; refuses and counts what is wrong, line by line, span by span."""

    def __init__(self, tally: Tally, metrics: MetricRows, load: LoadRows) -> None:
        self._tally = tally
        self._metrics = metrics
        self._load = load

    def read(self, block: bytes, *, file: str) -> CleanTraces:
        """Take metric points and requests, and give back the good spans.

        An unterminated last line is taken if it is whole, and is ``torn_line`` otherwise.
        """
        clean: list[bytes] = []
        spans = 0
        lines = block.split(b"\n")
        for position, line in enumerate(lines, start=1):
            text = line.strip(_LINE_SPACE)
            if not text:
                continue
            self._tally.read[Unit.LINES.value] += 1
            try:
                for batch in self._take(text, file):
                    clean.append(batch.lines)
                    spans += batch.spans
            except Refused as refused:
                # The last of the parts is what stands behind the last newline.
                torn = position == len(lines) and refused.reason in _TORN
                self._tally.refuse(Reason.TORN_LINE if torn else refused.reason)
        return CleanTraces(b"".join(clean), spans)

    def _take(self, line: bytes, file: str) -> list[CleanTraces]:
        document = parse_strictly(line) if b'"resourceSpans"' in line else parse(line)
        if not isinstance(document, dict):
            raise Refused(Reason.NOT_OTLP)
        if "resourceSpans" in document:
            return list(self._traces(document))
        if "resourceMetrics" in document:
            self._metrics.take(document, self._tally)
        elif "resourceLogs" in document:
            self._tally.read["log_lines"] += 1
        elif is_load_line(document):
            self._load.take(document, file, self._tally)
        else:
            raise Refused(Reason.NOT_OTLP)
        return []

    def _traces(self, document: dict[str, Any]) -> Iterator[CleanTraces]:
        batches = [
            (_opening(resource, scope), spans)
            for resource, scope, spans in parts(
                document,
                "resourceSpans",
                ("scopeSpans", "instrumentationLibrarySpans"),
                "spans",
            )
        ]
        for opening, spans in batches:
            good = [encoded for span in spans if (encoded := self._span(span)) is not None]
            if good:
                yield CleanTraces(opening + b",".join(good) + b"]}]}]}\n", len(good))

    def _span(self, span: Any) -> bytes | None:
        self._tally.read[Unit.SPANS.value] += 1
        try:
            return msgspec.json.encode(_clean_span(span))
        except UnicodeEncodeError:
            self._tally.refuse(Reason.LONE_SURROGATE)
        except Refused as refused:
            of_span = refused.reason.unit is Unit.SPANS
            self._tally.refuse(refused.reason if of_span else Reason.BAD_VALUE)
        return None


def _opening(resource: dict[str, Any], scope: dict[str, Any]) -> bytes:
    """The start of a trace line, up to where its first span stands."""
    name = scope.get("name")
    try:
        cleaned = attributes(resource.get("attributes"))
        return (
            b'{"resourceSpans":[{"resource":{"attributes":'
            + msgspec.json.encode(cleaned)
            + b'},"scopeSpans":[{"scope":{"name":'
            + msgspec.json.encode(name if isinstance(name, str) else "")
            + b'},"spans":['
        )
    except UnicodeEncodeError:
        raise Refused(Reason.NOT_UTF8) from None
    except Refused:
        raise Refused(Reason.NOT_OTLP) from None


def _clean_span(span: Any) -> dict[str, Any]:
    if not isinstance(span, dict):
        raise Refused(Reason.BAD_VALUE)
    start_ns, end_ns = _time(span, "startTimeUnixNano"), _time(span, "endTimeUnixNano")
    if end_ns < start_ns:
        raise Refused(Reason.NEGATIVE_DURATION)
    name, status = span.get("name"), span.get("status")
    if not isinstance(name, str | None) or not isinstance(status, dict | None):
        raise Refused(Reason.BAD_VALUE)
    return {
        "traceId": trace_id(span.get("traceId")),
        "spanId": span_id(span.get("spanId")),
        "parentSpanId": span_id(span.get("parentSpanId"), root=True),
        "name": name or "",
        "kind": _KIND_NUMBERS.get(KINDS.get(str(span.get("kind")), "INTERNAL")),
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "attributes": attributes(span.get("attributes")),
        "events": first_chunk_event(span.get("events")),
        "status": {"code": _STATUS_NUMBERS.get(STATUSES.get(str((status or {}).get("code")), ""))},
    }


def _time(span: dict[str, Any], key: str) -> int:
    time_ns = integer(span.get(key))
    if time_ns is None or time_ns <= 0:
        raise Refused(Reason.BAD_TIME)
    return time_ns
