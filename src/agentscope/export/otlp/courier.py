"""Deliveries over a network, by a thread of their own: a slow receiver delays nobody else."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from agentscope.export.otlp.feed import Feed
from agentscope.export.otlp.payload import span_fragment
from agentscope.export.otlp.sink import NAME, OtlpSink
from agentscope.recording.genai_names import Names, respelled
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Instruments
from agentscope.recording.ledger import Account, Ledger
from agentscope.recording.outbox import BATCH_SPANS, Outbox
from agentscope.recording.sink import SinkRefused, SinkUnavailable

_log = logging.getLogger("agentscope")

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 64.0
POLL_S = 1.0
"""How often a thread looks whether a batch is full."""

MAX_RETRY_AFTER_S = 300.0
"""A receiver that asks for more is asked again sooner."""


class Courier:
    """Takes encoded spans from the recorder's thread and snapshots of the instruments itself.

    Spans wait in an outbox, bounded in bytes, while the receiver is away, and are sent again after
    1, 2, 4, … 64 seconds, each shortened at random by up to a half so that a fleet does not come
    back at one time; a ``Retry-After`` is obeyed. Metrics are not kept: the next snapshot says the
    same and more.
    """

    def __init__(
        self,
        spans: OtlpSink | None,
        metrics: OtlpSink | None,
        *,
        instruments: Instruments,
        feed: Feed,
        epoch_ns: Callable[[], int],
        max_queue_bytes: int,
        genai_names: Names = "old",
        delay_s: float = 5.0,
        interval_s: float = 60.0,
        monotonic_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.outbox = None if spans is None else Outbox(spans, max_queue_bytes, span_fragment)
        self._sinks = [sink for sink in (spans, metrics) if sink is not None]
        self._metrics = metrics
        self._metrics_ledger = Ledger("metrics", NAME)
        self._metrics_made = 0
        self._instruments = instruments
        self._feed = feed
        self._epoch_ns = epoch_ns
        self._genai_names = genai_names
        self._delay_s = delay_s
        self._interval_s = interval_s
        self._monotonic_s = monotonic_s
        self._jitter = jitter
        self._failures = 0
        self._metrics_refused_for = ""
        self._spans_due_s = self._monotonic_s() + delay_s
        self._metrics_due_s = self._monotonic_s() + interval_s
        self._sending = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None and not self._ending.is_set():
            self._thread = threading.Thread(target=self._run, name="agentscope-otlp", daemon=True)
            self._thread.start()

    def metrics_accounts(self) -> list[Account]:
        """Where the metric points are that were made for this receiver."""
        if self._metrics is None:
            return []
        return [self._metrics_ledger.account(self._metrics_made, 0)]

    def deliver(self, *, everything: bool = False) -> float:
        """Send what is due, or all that there is; in how many seconds there is more to do."""
        with self._sending:
            now_s = self._monotonic_s()
            waits = len(self.outbox or ()) >= BATCH_SPANS and not self._failures
            if self.outbox is not None and (everything or waits or now_s >= self._spans_due_s):
                refusal = self.outbox.send(lambda: everything or not self._metrics_are_due())
                # From when it ended: a receiver that takes long to refuse is to have its pause.
                self._spans_due_s = self._monotonic_s() + self._pause_s(refusal)
            now_s = self._monotonic_s()
            if self._metrics is not None and (everything or now_s >= self._metrics_due_s):
                wait_s = self._send_metrics(self._metrics)
                self._metrics_due_s = now_s + max(self._interval_s, wait_s)
            due_s = [self._spans_due_s] * (self.outbox is not None)
            due_s += [self._metrics_due_s] * (self._metrics is not None)
            return max(0.0, min(due_s) - self._monotonic_s())

    def close(self) -> None:
        """Send everything, once; count what did not arrive; give the connections back."""
        self._ending.set()
        self.deliver(everything=True)
        if self.outbox is not None:
            self.outbox.give_up("shutdown")
        for sink in self._sinks:
            sink.close()

    def _run(self) -> None:
        wait_s = POLL_S
        while not self._ending.wait(min(wait_s, POLL_S)):
            try:
                wait_s = self.deliver()
            except Exception as error:
                note_error("otlp", error)
                wait_s = POLL_S

    def _metrics_are_due(self) -> bool:
        return self._metrics is not None and self._monotonic_s() >= self._metrics_due_s

    def _pause_s(self, refusal: SinkUnavailable | None) -> float:
        if refusal is None:
            self._failures = 0
            return self._delay_s
        pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        pause_s = self._jitter(pause_s / 2, pause_s)
        return max(pause_s, _asked_for_s(refusal))

    def _send_metrics(self, sink: OtlpSink) -> float:
        """Send a snapshot; how many seconds the receiver wants to be left alone."""
        wait_s = 0.0
        taken = respelled(self._instruments.snapshot(), self._genai_names)
        now_ns = self._epoch_ns()
        fragments, points = self._feed.fragments(taken, now_ns)
        if not fragments:
            return wait_s
        self._metrics_made += points
        refused, reason = 0, ""
        try:
            sink.write(fragments)
        except SinkUnavailable as refusal:
            refused, reason, wait_s = points, refusal.reason, _asked_for_s(refusal)
        except SinkRefused as refusal:
            told = points if refusal.records is None else refusal.records
            refused, reason = min(told, points), refusal.reason
        if refused < points:
            self._feed.delivered(taken, now_ns)
            self._metrics_ledger.deliver(points - refused)
        if refused:
            self._metrics_ledger.drop(reason, refused)
        if reason != self._metrics_refused_for:
            if reason:
                _log.warning("agentscope: otlp took %d metric points less (%s)", refused, reason)
            self._metrics_refused_for = reason
        return wait_s


def _asked_for_s(refusal: SinkUnavailable) -> float:
    return min(refusal.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
