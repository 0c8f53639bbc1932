"""One receiver of one signal, as the outbox and the courier see it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from agentscope.export.otlp.payload import Envelope, refused_records
from agentscope.export.otlp.wire import MalformedError
from agentscope.recording.sink import SinkRefused

_log = logging.getLogger("agentscope")

NAME = "otlp"

MAX_WORDS = 200
"""Characters of a receiver's words that are passed on."""


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
        self._heard = ""

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Send one request; raises SinkUnavailable, or SinkRefused for what was not taken."""
        self.write(fragments)

    def write(self, fragments: Sequence[bytes]) -> None:
        """Send one request; raises SinkUnavailable, or SinkRefused for what was not taken."""
        answer = self._channel.send(self._envelope.around(fragments))
        try:
            refused, why = refused_records(answer)
        except MalformedError:
            refused, why = 0, ""  # a proxy's page; the status said that all is well
        if why and why != self._heard:  # a warning too, where nothing was refused
            self._heard = why
            _log.warning("agentscope: the receiver of otlp says: %s", ascii(why[:MAX_WORDS]))
        if refused:
            raise SinkRefused("refused_by_receiver", refused)

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()
