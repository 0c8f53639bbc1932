"""Encoded spans between the encoder and one sink: bounded in bytes, nothing lost silently."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from agentscope.recording import encoding
from agentscope.recording.clock import Clock
from agentscope.recording.ledger import Account, Ledger
from agentscope.recording.sink import SinkRefused, SinkUnavailable
from agentscope.recording.span import Span

_log = logging.getLogger("agentscope")

BATCH_SPANS = 512
BATCH_BYTES = 256 * 1024
"""A line of the run directory holds at most one batch: a kill tears one line, never more."""


class _TakesSpans(Protocol):
    name: str

    def write_spans(self, fragments: list[bytes], /) -> None: ...


class Outbox:
    """What one sink has not taken yet. While it refuses, fragments wait here as bytes.

    One thread puts fragments in, and one, the same or another, sends them.
    """

    def __init__(
        self,
        sink: _TakesSpans,
        max_bytes: int,
        encode: Callable[[Span, Clock], bytes] = encoding.span_fragment,
    ) -> None:
        self.sink = sink
        self.encode = encode
        """Makes a fragment as the sink wants it."""
        self.ledger = Ledger("spans", sink.name)
        # Re-entrant: a signal handler may end a span, and look at accounts, in the middle of it.
        self._lock = threading.RLock()
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._size_bytes = 0
        self._refused_for = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, fragment: bytes) -> None:
        """Queue one span; when the bound is reached it is the newest that goes."""
        with self._lock:
            if self._size_bytes + len(fragment) > self._max_bytes:
                self.ledger.drop("queue_full")
                return
            self._waiting.append(fragment)
            self._size_bytes += len(fragment)

    def send(self, goes_on: Callable[[], bool] = lambda: True) -> SinkUnavailable | None:
        """Give the sink what it takes; the rest stays for the next time, and why is returned.

        At least one batch, and more while ``goes_on``: the sender may have something else to do.
        """
        first = True
        while self._waiting and (first or goes_on()):
            first = False
            batch = self._batch()
            try:
                self.sink.write_spans(batch)
            except SinkUnavailable as refusal:
                self._refuse(refusal.reason)
                return refusal
            except SinkRefused as refusal:
                records = len(batch) if refusal.records is None else refusal.records
                self._settle(batch, min(max(records, 0), len(batch)), refusal.reason)
            else:
                self._settle(batch, 0, "")
                self._accept()
        return None

    def account(self, created: int, unencoded: int) -> Account:
        """Where every span for this sink is, of ``created``, ``unencoded`` not yet in here."""
        with self._lock:
            return self.ledger.account(created, unencoded + len(self._waiting))

    def give_up(self, reason: str) -> None:
        """Count everything that still waits as dropped; at the end of the process."""
        with self._lock:
            if self._waiting:
                self.ledger.drop(self._refused_for or reason, len(self._waiting))
                self._waiting.clear()
                self._size_bytes = 0

    def _batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size_bytes = 0
        with self._lock:
            for fragment in self._waiting:
                size_bytes += len(fragment)
                if batch and (len(batch) == BATCH_SPANS or size_bytes > BATCH_BYTES):
                    break
                batch.append(fragment)
        return batch

    def _settle(self, batch: list[bytes], refused: int, reason: str) -> None:
        with self._lock:
            if len(self._waiting) < len(batch):
                return  # given up meanwhile, and counted so
            for fragment in batch:
                self._size_bytes -= len(fragment)
                self._waiting.popleft()
            self.ledger.deliver(len(batch) - refused)
            if refused:
                self.ledger.drop(reason, refused)
        if refused and self.ledger.dropped[reason] == refused:  # the first time
            _log.warning("agentscope: %s refused spans for good (%s)", self.sink.name, reason)

    def _refuse(self, reason: str) -> None:
        if reason != self._refused_for:
            _log.warning("agentscope: %s takes no spans (%s); they wait", self.sink.name, reason)
            self._refused_for = reason

    def _accept(self) -> None:
        if self._refused_for:
            dropped = sum(self.ledger.dropped.values())
            _log.warning("agentscope: %s takes spans again; %d dropped", self.sink.name, dropped)
            self._refused_for = ""
