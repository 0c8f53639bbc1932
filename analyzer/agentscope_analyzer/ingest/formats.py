"""What a file is, told by how it begins: names differ, contents do not lie."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from agentscope_analyzer.ingest.frames import frame_start, is_protobuf

__all__ = ["GENERATOR_FORMATS", "Format", "format_of"]


class Format(StrEnum):
    """How the records of a file are written."""

    LINES = "lines"
    """OTLP-JSON or the load generator's own lines, one JSON object a line."""
    FRAMES = "frames"
    """OTLP-JSON as messages of the Collector's file exporter, each behind its length."""
    PROTOBUF = "protobuf"
    """The same with ``format: proto``: known, but not read."""
    LOCUST_HISTORY = "locust_history"
    LOCUST_TOTALS = "locust_totals"
    LOCUST_FAILURES = "locust_failures"
    K6_POINTS = "k6_points"
    K6_SUMMARY = "k6_summary"


GENERATOR_FORMATS: Final = frozenset(
    {
        Format.LOCUST_HISTORY,
        Format.LOCUST_TOTALS,
        Format.LOCUST_FAILURES,
        Format.K6_POINTS,
        Format.K6_SUMMARY,
    }
)
"""Outputs of load generators other than our own."""

_TELEMETRY = re.compile(
    rb"^[ \t\r]*\{"
    rb'(\s*"(resourceSpans|resourceMetrics|resourceLogs)"|[^\n]{0,4000}"t_start")\s*:',
    re.MULTILINE,
)
_LOCUST: Final = {
    b"Timestamp,User Count,Type,Name,": Format.LOCUST_HISTORY,
    b"Type,Name,Request Count,Failure Count,": Format.LOCUST_TOTALS,
    b"Method,Name,Error,Occurrences,": Format.LOCUST_FAILURES,
    b"Method,Name,Error,Occurrences\r": Format.LOCUST_FAILURES,  # until the first and last seen came
    b"Method,Name,Error,Occurrences\n": Format.LOCUST_FAILURES,
}
# A k6 line says what it is in any order of its three keys.
_K6_POINTS = re.compile(
    rb'\A\s*\{(?=[^\n]*"type"\s*:\s*"(Metric|Point)")(?=[^\n]*"metric"\s*:\s*")[^\n]*"data"\s*:\s*\{'
)
_K6_SUMMARY = re.compile(
    rb'\A\s*\{(?=.*"(http_reqs|iterations|vus_max|http_req_duration)"\s*:\s*\{).*"metrics"\s*:\s*\{',
    re.DOTALL,
)


def format_of(start: bytes) -> Format | None:
    """The format of a file that begins so, decompressed; None where it is none of ours."""
    message = frame_start(start)
    if _TELEMETRY.match(message):
        return Format.FRAMES
    if _TELEMETRY.search(start):
        return Format.LINES
    for header, found in _LOCUST.items():
        if start.startswith(header):
            return found
    if _K6_POINTS.match(start):
        return Format.K6_POINTS
    if _K6_SUMMARY.match(start):
        return Format.K6_SUMMARY
    return Format.PROTOBUF if is_protobuf(message) else None
