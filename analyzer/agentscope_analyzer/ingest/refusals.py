"""What ingest refused and why: every record that was read is good or counted here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["Reason", "Refused", "Tally", "Unit"]


class Unit(StrEnum):
    """What is counted: read = good + rejected holds for each of them."""

    FILES = "files"
    LINES = "lines"
    SPANS = "spans"
    METRIC_POINTS = "metric_points"
    LOAD_LINES = "load_lines"
    GENERATOR_ROWS = "generator_rows"
    """Rows and points of Locust's and k6's own outputs."""


class Reason(StrEnum):
    """Why a record was refused."""

    TORN_LINE = "torn_line"
    """The last line of a file that was cut in the middle, as a kill leaves it."""
    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    NOT_OTLP = "not_otlp"
    """JSON, but neither traces, metrics, logs nor a request of the load generator."""
    DUPLICATE_KEY = "duplicate_key"
    """One JSON object says the same key twice: which of the two is meant is anybody's guess."""
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    BAD_ID = "bad_id"
    BAD_TIME = "bad_time"
    NEGATIVE_DURATION = "negative_duration"
    BAD_VALUE = "bad_value"
    """An attribute or field of a span that OTLP does not allow, integers beyond 64 bits included."""
    LONE_SURROGATE = "lone_surrogate"
    """Half of a UTF-16 pair in a span's text: no character at all."""
    DUPLICATE_SPAN = "duplicate_span"
    """The same span once more."""
    CONFLICTING_SPAN = "conflicting_span"
    """The ids of an earlier span with other content; the earlier one is kept."""
    BAD_POINT = "bad_point"
    UNSUPPORTED_METRIC = "unsupported_metric"
    """A point of an exponential histogram or a summary."""
    BAD_REQUEST = "bad_request"
    """A line of the load generator without a usable start or duration."""
    BAD_COMPRESSION = "bad_compression"
    DECOMPRESSION_LIMIT = "decompression_limit"
    """A compressed file that grew beyond the limit; what came before is kept."""
    BAD_ROW = "bad_row"
    """A row of Locust's or a point of k6's own output that cannot be what it should be."""
    BAD_MESSAGE = "bad_message"
    """A message of the Collector's file exporter that cannot be decompressed."""
    PROTOBUF_FILE = "protobuf_file"
    """Telemetry as protobuf: the Collector's file exporter writes JSON with ``format: json``."""
    DUPLICATE_FILE = "duplicate_file"
    """A file that begins like another one: a copy of it, or a part."""
    UNREADABLE_FILE = "unreadable_file"
    BAD_MANIFEST = "bad_manifest"

    @property
    def unit(self) -> Unit:
        """What is refused for this reason: a line, a span, …"""
        return _UNITS[self]


_UNITS: Final[dict[Reason, Unit]] = {
    Reason.TORN_LINE: Unit.LINES,
    Reason.NOT_JSON: Unit.LINES,
    Reason.NOT_UTF8: Unit.LINES,
    Reason.NOT_OTLP: Unit.LINES,
    Reason.DUPLICATE_KEY: Unit.LINES,
    Reason.TOO_DEEP: Unit.LINES,
    Reason.TOO_LARGE: Unit.LINES,
    Reason.BAD_ID: Unit.SPANS,
    Reason.BAD_TIME: Unit.SPANS,
    Reason.NEGATIVE_DURATION: Unit.SPANS,
    Reason.BAD_VALUE: Unit.SPANS,
    Reason.LONE_SURROGATE: Unit.SPANS,
    Reason.DUPLICATE_SPAN: Unit.SPANS,
    Reason.CONFLICTING_SPAN: Unit.SPANS,
    Reason.BAD_POINT: Unit.METRIC_POINTS,
    Reason.UNSUPPORTED_METRIC: Unit.METRIC_POINTS,
    Reason.BAD_REQUEST: Unit.LOAD_LINES,
    Reason.BAD_COMPRESSION: Unit.FILES,
    Reason.DECOMPRESSION_LIMIT: Unit.FILES,
    Reason.BAD_ROW: Unit.GENERATOR_ROWS,
    Reason.BAD_MESSAGE: Unit.LINES,
    Reason.PROTOBUF_FILE: Unit.FILES,
    Reason.DUPLICATE_FILE: Unit.FILES,
    Reason.UNREADABLE_FILE: Unit.FILES,
    Reason.BAD_MANIFEST: Unit.FILES,
}

_HARMLESS: Final = frozenset(
    {Reason.TORN_LINE, Reason.DUPLICATE_SPAN, Reason.DUPLICATE_FILE, Reason.BAD_ROW}
)
"""Kills, retried exports and copies leave these behind, or another program wrote them beside the
run: they say nothing against the rest."""

_MOST_REJECTED = 0.01


class Refused(Exception):
    """A record cannot be taken, for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Tally:
    """How many records were read, and how many refused by reason."""

    read: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def refuse(self, reason: Reason, count: int = 1) -> None:
        """Count records as refused; they are counted as read elsewhere, like all others."""
        if count:
            self.rejected[reason.value] += count

    def add(self, other: Tally) -> None:
        """Count what was counted apart."""
        self.read += other.read
        self.rejected += other.rejected

    def good(self, unit: Unit) -> int:
        """How many records of a unit were taken."""
        refused = (n for reason, n in self.rejected.items() if Reason(reason).unit is unit)
        return self.read[unit.value] - sum(refused)

    @property
    def damaged(self) -> bool:
        """More than 1 % of the lines, spans, points or requests were refused as unusable."""
        bad: Counter[Unit] = Counter()
        for reason, count in self.rejected.items():
            if Reason(reason) not in _HARMLESS:
                bad[Reason(reason).unit] += count
        return any(count > _MOST_REJECTED * self.read[unit.value] for unit, count in bad.items())
