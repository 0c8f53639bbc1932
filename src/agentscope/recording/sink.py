"""Where encoded records go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agentscope.recording.ledger import Account
    from agentscope.recording.outbox import Outbox


class SinkUnavailable(Exception):
    """Nothing can be written now; what was given stays with the giver, who may try again."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        """When the sink itself says so: how long to wait."""


class SinkRefused(Exception):
    """What was given was taken for the last time: trying again would end the same way."""

    def __init__(self, reason: str, records: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.records = records
        """How many of the records given were refused; None for all of them."""


class Sink(Protocol):
    """A way out. Every method is called by one background thread only."""

    name: str

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Write encoded spans; raises SinkUnavailable for all of them, or SinkRefused."""

    def write_metrics(self, fragments: Sequence[bytes]) -> None:
        """Write encoded metrics; raises SinkUnavailable for all of them, or SinkRefused."""

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Keep the account of this process; raises SinkUnavailable."""

    def close(self) -> None:
        """Give back what is held."""


class Remote(Protocol):
    """A way out that is too slow for the recorder's thread and has one of its own."""

    outbox: Outbox | None
    """Where the recorder's thread puts encoded spans; None where none are wanted."""

    def start(self) -> None:
        """Start the thread, once."""

    def metrics_accounts(self) -> list[Account]:
        """Where the metric points are that were made for it."""

    def deliver(self, *, everything: bool = False) -> float:
        """Send what is due, or all that there is; in how many seconds there is more to do."""

    def close(self) -> None:
        """Send everything, once, and give back what is held."""
