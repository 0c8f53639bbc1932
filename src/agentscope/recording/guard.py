"""Our own faults: caught as ``Exception``, counted, logged once a place, raised in tests."""

from __future__ import annotations

import logging
import os
import threading

_log = logging.getLogger("agentscope")
_lock = threading.RLock()  # a finalizer or a signal handler may fail inside of another's failure
_errors: dict[str, int] = {}

RAISE_VARIABLE = "AGENTSCOPE_TESTING_RAISE"


def internal_error(where: str, error: Exception) -> None:
    """Take note of a fault of ours at ``where``; call it from an ``except Exception`` clause.

    The service must not feel it, so this returns; with ``AGENTSCOPE_TESTING_RAISE=1`` it raises
    the fault again, so that no test passes over one.
    """
    note_error(where, error)
    if os.environ.get(RAISE_VARIABLE) == "1":
        raise error


def note_error(where: str, error: Exception) -> None:
    """Count a fault of ours and log the first at each place; for threads of our own."""
    with _lock:
        seen = _errors.get(where, 0)
        _errors[where] = seen + 1
    if not seen:
        _log.warning(
            "agentscope failed in %s and goes on without this record; later ones are only counted",
            where,
            exc_info=error,
        )


def internal_errors() -> dict[str, int]:
    """How often we failed, by place, since the process started."""
    with _lock:
        return dict(_errors)


def forget_internal_errors() -> None:
    """Start counting anew; for the child of a fork and for tests."""
    global _lock
    _lock = threading.RLock()  # in a child the old one may be held, by a thread that is not here
    _errors.clear()
