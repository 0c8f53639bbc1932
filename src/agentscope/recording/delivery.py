"""From ended spans and measured points to all the places that they are sent to, with the account."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentscope.conventions import Metric
from agentscope.recording import encoding
from agentscope.recording.clock import Clock
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Point
from agentscope.recording.ledger import Account, Ledger
from agentscope.recording.outbox import Outbox
from agentscope.recording.sink import Remote, Sink, SinkUnavailable
from agentscope.recording.span import Span

_log = logging.getLogger("agentscope")


class Delivery:
    """The ways out of one recorder. But for ``drop`` and ``accounts`` its thread alone calls it."""

    def __init__(self, sinks: Sequence[Sink], max_queue_bytes: int) -> None:
        self.sinks = list(sinks)
        self._remotes: list[Remote] = []
        self._local = [Outbox(sink, max_queue_bytes) for sink in sinks]
        self._outboxes = list(self._local)
        self._metrics_ledgers = [Ledger("metrics", sink.name) for sink in sinks]
        self._metrics_made = 0

    def attach(self, remote: Remote) -> None:
        """Send everything there too; before anything is recorded."""
        self._remotes.append(remote)
        if remote.outbox is not None:
            self._outboxes.append(remote.outbox)

    def start(self) -> None:
        """Start the threads of those that have one of their own."""
        for remote in self._remotes:
            remote.start()

    # --- spans -------------------------------------------------------------------------------

    def drop(self, reason: str) -> None:
        """Count a span that nobody gets."""
        for outbox in self._outboxes:
            outbox.ledger.drop(reason)

    def put(self, span: Span, clock: Clock) -> None:
        """Encode an ended span for everyone."""
        for outbox in self._outboxes:
            try:
                fragment = outbox.encode(span, clock)
            except Exception as error:
                outbox.ledger.drop("not_encodable")
                note_error("encoder", error)
            else:
                outbox.put(fragment)

    def send(self) -> None:
        """Deliver what is encoded; remotes do so on their own."""
        for outbox in self._local:
            outbox.send()

    # --- metrics and manifests ---------------------------------------------------------------

    def write_metrics(
        self, moved: Sequence[tuple[Metric, Sequence[Point]]], started_ns: int, now_ns: int
    ) -> bool:
        """Write the series that moved; False where a sink did not take them."""
        fragments = [
            encoding.metric_fragment(metric, points, started_ns, now_ns) for metric, points in moved
        ]
        points = sum(len(points) for _, points in moved)
        self._metrics_made += points
        taken = True
        for sink, ledger in zip(self.sinks, self._metrics_ledgers, strict=True):
            try:
                sink.write_metrics(fragments)
                ledger.deliver(points)
            except SinkUnavailable as refusal:
                # Not kept: the next second's points say the same and more.
                ledger.drop(refusal.reason, points)
                taken = False
        return taken

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace what the sinks have of the process's account."""
        for sink in self.sinks:
            try:
                sink.write_manifest(manifest)
            except SinkUnavailable as refusal:
                _log.debug("agentscope: no manifest written (%s)", refusal.reason)

    def accounts(self, created: int, unencoded: int) -> list[Account]:
        """Where every record is, of ``created`` spans, ``unencoded`` not yet in here."""
        spans = [outbox.account(created, unencoded) for outbox in self._outboxes]
        metrics = [ledger.account(self._metrics_made, 0) for ledger in self._metrics_ledgers]
        for remote in self._remotes:
            metrics += remote.metrics_accounts()
        return spans + metrics

    # --- the end -----------------------------------------------------------------------------

    def send_everything(self) -> None:
        """Have the remotes send what they have, now."""
        for remote in self._remotes:
            remote.deliver(everything=True)

    def close(self, manifest: Callable[[], Mapping[str, Any]]) -> None:
        """Give up what nobody took, write the last ``manifest``, give back what is held."""
        for outbox in self._local:
            outbox.give_up("shutdown")
        # Before the network, which may take all the time that is left.
        self.write_manifest(manifest())
        if self._remotes:
            for remote in self._remotes:
                remote.close()
            self.write_manifest(manifest())
        for sink in self.sinks:
            sink.close()
