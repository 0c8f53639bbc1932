"""Where encoded records go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class SinkUnavailable(Exception):
    """Nothing can be written now; what was given stays with the giver, who may try again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sink(Protocol):
    """A way out. Every method is called by the recorder's one background thread only."""

    name: str

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Write encoded spans, all or none; raises SinkUnavailable."""

    def write_metrics(self, fragments: Sequence[bytes]) -> None:
        """Write encoded metrics, all or none; raises SinkUnavailable."""

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Keep the account of this process; raises SinkUnavailable."""

    def close(self) -> None:
        """Give back what is held."""
