"""A test kit: record in memory, with a clock moved by hand and ids that count.

>>> from agentscope.testing import recording
>>> with recording() as recorded:
...     with agentscope.phase("rerank"):
...         recorded.clock.advance(0.25)
>>> recorded.tree()
['rerank 0.250s agentscope.phase=rerank']
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.clock import Clock
from agentscope.recording.ids import Ids
from agentscope.recording.instruments import Instruments
from agentscope.recording.ledger import Account
from agentscope.recording.recorder import Recorder

EPOCH_S = 1_700_000_000
"""The date at which a hand-moved clock starts."""


class ManualClock(Clock):
    """A clock that moves only when told to."""

    __slots__ = ("_now_ns",)

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = 1_000_000_000
        self._offset_ns = EPOCH_S * 1_000_000_000 - self._now_ns
        self.monotonic_ns = lambda: self._now_ns

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now_ns += round(seconds * 1e9)


class CountedIds(Ids):
    """Ids 1, 2, 3, …"""

    __slots__ = ("_spans", "_traces")

    def __init__(self) -> None:
        super().__init__()
        self._spans = self._traces = 0

    def trace_id(self) -> int:
        """The next trace id."""
        self._traces += 1
        return self._traces

    def span_id(self) -> int:
        """The next span id."""
        self._spans += 1
        return self._spans


@dataclass
class RecordedSpan:
    """A span as it was written, decoded from its bytes."""

    name: str
    span_id: str
    parent_id: str
    trace_id: str
    kind: int
    start_s: float
    """Seconds since the clock's start."""
    duration_s: float
    attributes: dict[str, Any]
    status: int
    raw: dict[str, Any] = field(repr=False, default_factory=dict)


class MemorySink:
    """A sink that keeps what it is given."""

    name = "memory"

    def __init__(self) -> None:
        self.span_fragments: list[bytes] = []
        self.metric_fragments: list[bytes] = []
        self.manifests: list[Mapping[str, Any]] = []

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Keep them."""
        self.span_fragments += fragments

    def write_metrics(self, fragments: Sequence[bytes]) -> None:
        """Keep them."""
        self.metric_fragments += fragments

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Keep it."""
        self.manifests.append(manifest)

    def close(self) -> None:
        """Nothing is held."""


class Recorded:
    """What was recorded: a live view that works the recorder's queue when it is looked at."""

    def __init__(self, recorder: Recorder, sink: MemorySink, clock: ManualClock | None) -> None:
        self.recorder = recorder
        self.sink = sink
        self._clock = clock

    @property
    def clock(self) -> ManualClock:
        """The hand-moved clock."""
        if self._clock is None:
            raise RuntimeError("recording(real_time=True) has no clock to move")
        return self._clock

    @property
    def spans(self) -> list[RecordedSpan]:
        """The ended spans, in the order in which they ended."""
        self.recorder.work()
        return [_decode(json.loads(fragment)) for fragment in self.sink.span_fragments]

    def span(self, name: str) -> RecordedSpan:
        """The one span called ``name``."""
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = ", ".join(span.name for span in self.spans) or "none"
            raise AssertionError(f"{len(found)} spans are called {name!r}; recorded: {names}")
        return found[0]

    def tree(self) -> list[str]:
        """The spans as indented lines: name, duration, attributes; children under parents."""
        spans = self.spans
        by_parent: dict[str, list[RecordedSpan]] = {}
        known = {span.span_id for span in spans}
        for span in spans:
            parent = span.parent_id if span.parent_id in known else ""
            by_parent.setdefault(parent, []).append(span)
        lines: list[str] = []

        def walk(parent: str, depth: int) -> None:
            for span in sorted(by_parent.get(parent, ()), key=lambda s: (s.start_s, s.span_id)):
                attributes = "".join(f" {k}={v}" for k, v in sorted(span.attributes.items()))
                lines.append(f"{'  ' * depth}{span.name} {span.duration_s:.3f}s{attributes}")
                walk(span.span_id, depth + 1)

        walk("", 0)
        return lines

    @property
    def instruments(self) -> Instruments:
        """The metrics, brought up to date."""
        self.recorder.work()
        return self.recorder.instruments

    def value(self, metric: c.Metric, *labels: str) -> float | None:
        """A counter's or gauge's value, or a histogram's sum; None where there is no series."""
        for one, points in self.instruments.snapshot():
            if one is metric:
                for point in points:
                    if point.labels == labels:
                        return point.value
        return None

    def account(self) -> Account:
        """Where every span is."""
        self.recorder.work()
        return self.recorder.accounts()[0]


@contextmanager
def recording(*, real_time: bool = False, sample_ratio: float = 1.0) -> Iterator[Recorded]:
    """Record into memory for as long as the ``with`` block lasts, instead of anywhere else.

    With ``real_time`` the clock is the process's and ids are random.
    """
    clock = None if real_time else ManualClock()
    sink = MemorySink()
    recorder = Recorder(
        {c.SERVICE_NAME: "test", c.SERVICE_INSTANCE_ID: "test-1"},
        [sink],
        clock=clock,
        ids=None if real_time else CountedIds(),
        sample_ratio=sample_ratio,
        threaded=False,
    )
    before = lifecycle.recorder
    lifecycle.sessions.configure(300, recorder.clock)
    lifecycle.recorder = recorder
    try:
        yield Recorded(recorder, sink, clock)
    finally:
        lifecycle.recorder = before
        lifecycle.sessions.clear()


def _decode(raw: dict[str, Any]) -> RecordedSpan:
    start_ns, end_ns = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
    return RecordedSpan(
        name=raw["name"],
        span_id=raw["spanId"],
        parent_id=raw.get("parentSpanId", ""),
        trace_id=raw["traceId"],
        kind=raw["kind"],
        start_s=(start_ns - EPOCH_S * 1_000_000_000) / 1e9,
        duration_s=(end_ns - start_ns) / 1e9,
        attributes={pair["key"]: _plain(pair["value"]) for pair in raw["attributes"]},
        status=raw.get("status", {}).get("code", 0),
        raw=raw,
    )


def _plain(value: dict[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    if kind == "intValue":
        return int(plain)
    if kind == "arrayValue":
        return [_plain(item) for item in plain["values"]]
    return plain
