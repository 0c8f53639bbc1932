"""Encoded spans between the encoder and one sink: bounded in bytes, nothing lost silently."""

from __future__ import annotations

import logging
from collections import deque

from agentscope.recording.ledger import Ledger
from agentscope.recording.sink import Sink, SinkUnavailable

_log = logging.getLogger("agentscope")

BATCH_SPANS = 512
BATCH_BYTES = 256 * 1024
"""A line of the run directory holds at most one batch: a kill tears one line, never more."""


class Outbox:
    """What one sink has not taken yet. While it refuses, fragments wait here as bytes."""

    def __init__(self, sink: Sink, max_bytes: int) -> None:
        self.sink = sink
        self.ledger = Ledger("spans", sink.name)
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._size_bytes = 0
        self._refused_for = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, fragment: bytes) -> None:
        """Queue one span; when the bound is reached it is the newest that goes."""
        if self._size_bytes + len(fragment) > self._max_bytes:
            self.ledger.drop("queue_full")
            return
        self._waiting.append(fragment)
        self._size_bytes += len(fragment)

    def send(self) -> None:
        """Give the sink what it takes; the rest stays for the next time."""
        while self._waiting:
            batch = self._batch()
            try:
                self.sink.write_spans(batch)
            except SinkUnavailable as refusal:
                self._refuse(refusal.reason)
                return
            for fragment in batch:
                self._size_bytes -= len(fragment)
                self._waiting.popleft()
            self.ledger.deliver(len(batch))
            self._accept()

    def give_up(self, reason: str) -> None:
        """Count everything that still waits as dropped; at the end of the process."""
        if self._waiting:
            self.ledger.drop(self._refused_for or reason, len(self._waiting))
            self._waiting.clear()
            self._size_bytes = 0

    def _batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size_bytes = 0
        for fragment in self._waiting:
            if batch and (len(batch) == BATCH_SPANS or size_bytes + len(fragment) > BATCH_BYTES):
                break
            batch.append(fragment)
            size_bytes += len(fragment)
        return batch

    def _refuse(self, reason: str) -> None:
        if reason != self._refused_for:
            _log.warning("agentscope: %s takes no spans (%s); they wait", self.sink.name, reason)
            self._refused_for = reason

    def _accept(self) -> None:
        if self._refused_for:
            dropped = sum(self.ledger.dropped.values())
            _log.warning("agentscope: %s takes spans again; %d dropped", self.sink.name, dropped)
            self._refused_for = ""
