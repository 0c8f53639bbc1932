"""One receiver of one signal, as the outbox and the courier see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentscope.export.otlp.payload import Envelope, refused_records
from agentscope.export.otlp.wire import MalformedError
from agentscope.recording.sink import SinkRefused

NAME = "otlp"


class Channel(Protocol):
    """How a request gets there."""

    def send(self, body: bytes) -> bytes:
        """The receiver's answer; raises SinkUnavailable or SinkRefused."""

    def close(self) -> None:
        """Give the connection back."""


class OtlpSink:
    """Sends encoded records of one signal in the envelope of this process."""

    name = NAME

    def __init__(self, channel: Channel, envelope: Envelope) -> None:
        self._channel = channel
        self._envelope = envelope

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Send one request; raises SinkUnavailable, or SinkRefused for what was not taken."""
        self.write(fragments)

    def write(self, fragments: Sequence[bytes]) -> None:
        """Send one request; raises SinkUnavailable, or SinkRefused for what was not taken."""
        answer = self._channel.send(self._envelope.around(fragments))
        try:
            refused, _ = refused_records(answer)
        except MalformedError:
            refused = 0  # a proxy's page; the status said that all is well
        if refused:
            raise SinkRefused("refused_by_receiver", refused)

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()
