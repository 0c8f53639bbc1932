"""The account of every record: created = delivered + dropped by reason + pending."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """One signal on its way to one sink, at one moment."""

    signal: str
    sink: str
    created: int
    delivered: int
    dropped: dict[str, int]
    pending: int

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing."""
        return self.created == self.delivered + sum(self.dropped.values()) + self.pending


@dataclass(slots=True)
class Ledger:
    """Counts what happened to the records of one signal on the way to one sink.

    ``created`` is counted where records are made and the rest where they end, so that a record
    lost between the two shows as an account that does not balance.
    """

    signal: str
    sink: str
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """Re-entrant: a signal handler or a finalizer may end a span in the middle of a count."""

    def deliver(self, records: int) -> None:
        """``records`` reached the sink."""
        with self._lock:
            self.delivered += records

    def drop(self, reason: str, records: int = 1) -> None:
        """``records`` were given up."""
        with self._lock:
            self.dropped[reason] += records

    def account(self, created: int, pending: int) -> Account:
        """The account as it stands, given what was made and what is still waiting."""
        with self._lock:
            return Account(
                self.signal, self.sink, created, self.delivered, dict(self.dropped), pending
            )
