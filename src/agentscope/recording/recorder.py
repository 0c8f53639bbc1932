"""The recorder: spans in on the service's threads, encoded spans and metrics out on one of ours."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.context import current_span, foreign_parent, get_context
from agentscope.recording.deadline import in_time
from agentscope.recording.delivery import Delivery
from agentscope.recording.genai_names import Names, respelled
from agentscope.recording.guard import internal_errors, note_error
from agentscope.recording.ids import Ids
from agentscope.recording.instruments import Instruments, Labels, Sampler, ValueAt, run_samplers
from agentscope.recording.ledger import Account
from agentscope.recording.metering import meter
from agentscope.recording.process import process_of
from agentscope.recording.sink import Remote, Sink
from agentscope.recording.span import INTERNAL, AttributeValue, Role, Span
from agentscope.recording.worker import Worker

MAX_UNENCODED = 4096
"""Spans that may wait as objects: a fraction of a second's worth. The rest waits as bytes, which
cost the garbage collector nothing."""

WAKE_AT = 512
"""Waiting spans that wake the thread before its time."""

POLL_S = 0.2
"""How long an ended span waits at most before it is encoded and written. While there is none the
thread sleeps until the next point of the gauges is due: what wakes it is the first."""

TICK_S = 1.0
"""Seconds between two points of a gauge."""

MANIFEST_EVERY = 5
"""Points after which the manifest is written again although nothing happened but the points."""

SLICE = 64
"""Spans encoded at least between two releases of the interpreter lock, about 0.2 ms. When more
wait, it is half of them: a service that keeps the lock busy leaves us one slice every 5 ms."""

_TURN = Role.TURN  # looked up once: an enumeration's member costs more than a global

Measurement = tuple[Callable[[c.Metric, Labels, float], None], c.Metric, Labels, float]


class Recorder:
    """Everything that one process records.

    ``start`` and ``take`` are the hot path and may be called from any thread; the rest happens in
    one daemon thread, made when the first span ends, so that a process which forks before it
    serves has no thread to lose.
    """

    def __init__(
        self,
        resource: Mapping[str, AttributeValue],
        sinks: Sequence[Sink] = (),
        *,
        config: Mapping[str, Any] | None = None,
        sample_ratio: float = 1.0,
        max_queue_bytes: int = 32 * 1024 * 1024,
        clock: Clock | None = None,
        ids: Ids | None = None,
        threaded: bool = True,
    ) -> None:
        self.clock = clock or Clock()
        self.instruments = Instruments()
        self.samplers: list[Sampler] = []
        self.genai_names: Names = "old"
        self.each_second: list[Callable[[], None]] = []
        """Called after the samplers, in the recorder's thread."""
        self.listeners: list[Callable[[Span, Clock], None]] = []
        """Called with every ended span that is sampled, in the recorder's thread."""
        self.started_ns = self.clock.epoch_ns(self.clock.monotonic_ns())
        self.open: dict[int, Span] = {}
        """Turns and inferences that have not ended, by span id."""
        self._resource = dict(resource)
        self._config = dict(config or {})
        self._ids = ids or Ids()
        # A trace is kept when the low 63 bits of its id, which are random, fall below this.
        self._sample_below = int(sample_ratio * (1 << 63))
        self._delivery = Delivery(sinks, max_queue_bytes)
        # What the last manifest told of, and how many points ago.
        self._manifest_of: tuple[int, int, int] | None = None
        self._manifest_age = 0
        self._ended: deque[Span] = deque()
        self._measured: deque[Measurement] = deque()
        self._measurements_dropped = 0
        self._sequence: Iterator[int] = count(1)
        self._newest = 0
        # Re-entrant, all of them: a signal handler or a finalizer may end a span in the middle of
        # anything, also of our own code.
        self._drop_lock = threading.RLock()
        self._work_lock = threading.RLock()
        self._flushing = threading.Lock()  # taken by who asks, given back by the thread that does
        self._worker = Worker(self.work, self._waiting, self._until_tick_s, POLL_S)
        if not threaded:
            self._worker.stop()
        self._next_tick_s = 0.0

    def attach(self, remote: Remote) -> None:
        """Send everything there too; before anything is recorded."""
        self._delivery.attach(remote)

    # --- the hot path ------------------------------------------------------------------------

    def start(
        self,
        name: str,
        role: Role,
        attributes: dict[str, AttributeValue],
        kind: int = INTERNAL,
        start_ns: int = 0,
    ) -> Span:
        """Start a span under the current one. It is not current itself until it is attached."""
        context = get_context()
        parent = current_span(context)
        if role is _TURN and parent is not None and parent.end_ns:
            # A worker that the first request left running: what it serves is no part of that, and
            # a chain from each turn to the next would never be freed.
            parent = None
        ids = self._ids
        if parent is not None:
            # Also where another instrumentation's span lies between: theirs is not in our run, and
            # a tree without it would be torn.
            trace_id, parent_id = parent.trace_id, parent.span_id
        elif (foreign := foreign_parent(context)) is not None:
            trace_id, parent_id = foreign.trace_id, foreign.span_id
        else:
            trace_id, parent_id = ids.trace_id(), 0
        if parent is not None:
            sampled = parent.sampled
        else:
            sampled = (trace_id & 0x7FFFFFFFFFFFFFFF) < self._sample_below
        return Span(
            self, name, kind, role, trace_id, ids.span_id(), parent_id, parent, sampled,
            start_ns or self.clock.monotonic_ns(), attributes,
        )  # fmt: skip

    def start_remote(
        self,
        name: str,
        role: Role,
        attributes: dict[str, AttributeValue],
        kind: int,
        trace_id: int,
        parent_id: int,
    ) -> Span:
        """Start a span that continues a trace from another process; 0 for a trace of its own."""
        ids = self._ids
        if not trace_id:
            trace_id = ids.trace_id()
        sampled = (trace_id & 0x7FFFFFFFFFFFFFFF) < self._sample_below
        return Span(
            self, name, kind, role, trace_id, ids.span_id(), parent_id, None, sampled,
            self.clock.monotonic_ns(), attributes,
        )  # fmt: skip

    def runtime_event(
        self,
        event: c.RuntimeEvent,
        start_ns: int,
        end_ns: int,
        attributes: dict[str, AttributeValue],
    ) -> None:
        """Record what stopped the whole process from ``start_ns`` to ``end_ns`` (monotonic).

        A root of its own trace: it belongs to no turn and delays many. Never sampled away.
        """
        attributes[c.RUNTIME_EVENT] = event.value
        ids = self._ids
        span = Span(
            self, c.RUNTIME_SPAN_NAMES[event], INTERNAL, Role.OTHER, ids.trace_id(), ids.span_id(),
            0, None, True, start_ns, attributes,
        )  # fmt: skip
        self.take(span, end_ns)

    def take(self, span: Span, end_ns: int) -> None:
        """Take an ended span; called by ``Span.end``."""
        span.end_ns = end_ns
        span.sequence = next(self._sequence)
        self.open.pop(span.span_id, None)
        if span.turn is span:
            # A cycle, and through ``session_of`` a whole request: work for the collector.
            span.turn = span.session_of = None
        ended = self._ended
        waiting = len(ended)
        if waiting >= MAX_UNENCODED:
            self._drop(span, "queue_full")
            return
        ended.append(span)
        worker = self._worker
        if worker.resting or waiting == WAKE_AT:
            worker.rouse(self._delivery.start)

    def end(self, span: Span) -> None:
        """End ``span`` now, once."""
        if not span.end_ns:
            self.take(span, self.clock.monotonic_ns())

    def observe(self, metric: c.Metric, labels: Labels, value: float) -> None:
        """Add an observation to a histogram, from any thread."""
        self._measure((self.instruments.observe, metric, labels, value))

    def add(self, metric: c.Metric, labels: Labels, value: float) -> None:
        """Move a counter, from any thread."""
        self._measure((self.instruments.add, metric, labels, value))

    def set(self, metric: c.Metric, labels: Labels, value: float) -> None:
        """Set a gauge, from any thread; the last value before a point is written is the one."""
        self._measure((self.instruments.set, metric, labels, value))

    def set_passing(self, metric: c.Metric, labels: Labels, value_at: ValueAt) -> None:
        """Set a gauge whose value passes with time, from any thread."""
        now_s = self.clock.epoch_ns(self.clock.monotonic_ns()) / 1e9
        self._measure(
            (
                lambda metric, labels, _: self.instruments.set_passing(
                    metric, labels, value_at, now_s
                ),
                metric, labels, 0.0,
            )
        )  # fmt: skip

    def forget(self, metric: c.Metric, labels: Labels) -> None:
        """Drop a gauge's series that is true no longer, from any thread."""
        self._measure(
            (lambda metric, labels, _: self.instruments.forget(metric, labels), metric, labels, 0.0)
        )

    def _measure(self, measurement: Measurement) -> None:
        waiting = len(self._measured)
        if waiting < MAX_UNENCODED:
            self._measured.append(measurement)
            if waiting == WAKE_AT:
                self._worker.wake()
        else:
            with self._drop_lock:
                self._measurements_dropped += 1

    def _drop(self, span: Span, reason: str) -> None:
        with self._drop_lock:
            self._newest = max(self._newest, span.sequence)
        self._delivery.drop(reason)
        self._worker.wake()

    # --- the thread --------------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start the thread now, for the sake of the gauges; ``take`` starts it otherwise."""
        self._worker.rouse(self._delivery.start)

    @property
    def running(self) -> bool:
        """Whether anything has been recorded or served."""
        return self._worker.running

    def _waiting(self) -> bool:
        return bool(self._ended)

    def _until_tick_s(self) -> float:
        return min(self._next_tick_s - self.clock.monotonic_ns() / 1e9, TICK_S)

    def work(self) -> None:
        """Encode and deliver what has ended, and once a second sample the gauges."""
        with self._work_lock:
            self._drain()
            self._delivery.send()
            now_s = self.clock.monotonic_ns() / 1e9
            if now_s >= self._next_tick_s:
                self._next_tick_s = now_s + TICK_S
                self._tick()

    def _drain(self) -> None:
        ended, instruments = self._ended, self.instruments
        while ended or self._measured:
            with instruments.lock:
                for _ in range(len(self._measured)):
                    record, metric, labels, value = self._measured.popleft()
                    record(metric, labels, value)
                for _ in range(min(max(SLICE, len(ended) // 2), len(ended))):
                    span = ended.popleft()
                    self._newest = max(self._newest, span.sequence)
                    try:
                        meter(span, instruments)
                    except Exception as error:  # the span itself is not lost for it
                        note_error("metering", error)
                    self._deliver(span)
            time.sleep(0)  # let the event loop have the interpreter lock

    def _deliver(self, span: Span) -> None:
        if not span.sampled:
            self._delivery.drop("not_sampled")
            return
        self._delivery.put(span, self.clock)
        for listener in self.listeners:
            try:
                listener(span, self.clock)
            except Exception as error:
                note_error("listener", error)

    def _tick(self) -> None:
        instruments = self.instruments
        run_samplers(self.samplers, instruments)
        instruments.pass_time(self.clock.epoch_ns(self.clock.monotonic_ns()) / 1e9)
        with instruments.lock:
            for account in self.accounts():
                labels = (account.signal, account.sink)
                instruments.set(c.SDK_CREATED, labels, account.created)
                instruments.set(c.SDK_DELIVERED, labels, account.delivered)
                instruments.set(c.SDK_PENDING, labels, account.pending)
                for reason, records in account.dropped.items():
                    instruments.set(c.SDK_DROPPED, (*labels, reason), records)
            if self._measurements_dropped:
                instruments.set(
                    c.SDK_DROPPED,
                    ("measurements", "metrics", "queue_full"),
                    self._measurements_dropped,
                )
            for metric, folded in instruments.folded.items():
                instruments.set(c.SDK_FOLDED, (metric,), folded)
            for where, errors in internal_errors().items():
                instruments.set(c.SDK_INTERNAL_ERRORS, (where,), errors)
        for act in self.each_second:
            try:
                act()
            except Exception as error:
                note_error(f"each second: {getattr(act, '__qualname__', act)}", error)
        if self._delivery.sinks:
            self._write_metrics()
            self._keep_manifests()

    def _write_metrics(self) -> None:
        now_ns = self.clock.epoch_ns(self.clock.monotonic_ns())
        moved = respelled(self.instruments.snapshot(changed_only=True), self.genai_names)
        if not self._delivery.write_metrics(moved, self.started_ns, now_ns):
            self.instruments.owe_all()

    def _keep_manifests(self) -> None:
        """Write the manifest, now and then only where nothing happens: it is a file each time."""
        now = self._newest, len(self.open), sum(internal_errors().values())
        self._manifest_age += 1
        if now != self._manifest_of or self._manifest_age >= MANIFEST_EVERY:
            self._manifest_of, self._manifest_age = now, 0
            self._delivery.write_manifest(self.manifest(ended=False))

    # --- the account -------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """Where every record is: one account a signal and sink."""
        # Lengths first, then the newest sequence number: a span that ends meanwhile is in
        # neither, or in both.
        unencoded = list(self._ended)
        created = max([self._newest, *(span.sequence for span in unencoded)])
        return self._delivery.accounts(created, len(unencoded))

    def manifest(self, ended: bool) -> dict[str, Any]:
        """What the run directory's manifest says of this process."""
        now_ns = self.clock.epoch_ns(self.clock.monotonic_ns())
        return {
            **process_of(self._resource),
            "started_ns": self.started_ns,
            "updated_ns": now_ns,
            "ended_ns": now_ns if ended else None,
            "config": self._config,
            "ledger": [asdict(account) for account in self.accounts()],
            "open_turns": self.turns_open(),
            "internal_errors": internal_errors(),
        }

    def turns_open(self) -> int:
        """Turns in flight: requests in which the agent has begun to work, and explicit turns."""
        return sum(1 for span in list(self.open.values()) if span.attributes.get(c.TURN))

    # --- the end -----------------------------------------------------------------------------

    def catch_up(self, timeout_s: float) -> bool:
        """Count what has ended so far, and write it here; False when that took too long.

        Receivers over the network get it in their own time: who looks at the counts, however
        often, makes no request of theirs.
        """
        # Where a disk hangs already, one thread more would hang with it at every scrape.
        deadline_s = time.monotonic() + timeout_s
        if not self._work_lock.acquire(timeout=timeout_s):
            return False
        self._work_lock.release()
        return in_time("work", self.work, deadline_s - time.monotonic())

    def flush(self, timeout_s: float) -> bool:
        """Deliver what has ended so far; False when that took longer than ``timeout_s``.

        Blocks: call it from a thread when an event loop is running.
        """
        # One thread at a time: where a disk or a receiver hangs, each would hang with it.
        deadline_s = time.monotonic() + timeout_s
        if not self._flushing.acquire(timeout=max(timeout_s, 0.0)):
            return False
        return in_time("flush", self._flush, deadline_s - time.monotonic())

    def _flush(self) -> None:
        try:
            self.work()
            self._delivery.send_everything()
        finally:
            self._flushing.release()

    def shutdown(self, timeout_s: float) -> bool:
        """End what is open as ``open``, deliver everything, close the sinks; bounded in time."""
        self._worker.stop()
        for span in list(self.open.values()):
            span.attributes[c.OUTCOME] = c.Outcome.OPEN.value
            self.end(span)
        return in_time("shutdown", self._close, timeout_s)

    def _close(self) -> None:
        with self._work_lock:
            self._next_tick_s = 0.0
            self.work()
            self._delivery.close(lambda: self.manifest(ended=True))
