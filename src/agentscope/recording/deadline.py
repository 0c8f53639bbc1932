"""Work that must not keep anybody waiting for longer than a given time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agentscope.recording.guard import note_error


def in_time(where: str, work: Callable[[], None], timeout_s: float) -> bool:
    """Do ``work`` in a thread of its own: a disk that hangs must not hang the caller too.

    False where it takes longer than ``timeout_s``; it goes on all the same.
    """
    done = threading.Event()

    def working() -> None:
        try:
            work()
        except Exception as error:
            note_error(where, error)
        finally:
            done.set()

    try:
        threading.Thread(target=working, name=f"agentscope-{where}", daemon=True).start()
    except RuntimeError:  # no more threads, or the interpreter is about to end
        working()
    return done.wait(timeout_s)
