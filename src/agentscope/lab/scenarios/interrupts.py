"""Ctrl-C and SIGTERM, when stopping must be orderly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user, or the system, wants it to stop now. Like KeyboardInterrupt, nobody's error."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """Turns signals into ``Interrupted``, or counts them where code asks to be left alone.

    >>> with Interrupts() as interrupts:
    ...     with interrupts.deferred():
    ...         pass  # a signal here is only counted
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._deferred = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Count signals instead of raising: for work that must not be torn, or that polls."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    @property
    def early_end(self) -> bool:
        """One Ctrl-C so far: end what runs, keep what there is."""
        return self.received == [signal.SIGINT]

    @property
    def urgent(self) -> bool:
        """More than one Ctrl-C: wait for nothing."""
        return self.received.count(signal.SIGINT) > 1

    def check(self, *, early_end_is_fine: bool = False) -> None:
        """Raise Interrupted for what was counted, one Ctrl-C excepted where that is fine."""
        if self.received and not (early_end_is_fine and self.early_end):
            raise Interrupted(self.received[-1])

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        if not self._deferred:
            raise Interrupted(number)
