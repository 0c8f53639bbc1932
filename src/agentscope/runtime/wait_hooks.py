"""The hooks by which waits for threads and locks are seen: put in place, and taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.runtime import anyio, executors, locks
from agentscope.runtime.threadpool import ThreadPoolSampler

# Of the process: they survive a fork, and a second recorder finds them there.
_undo: list[Callable[[], None]] = []
_awaiting_anyio = False


class WaitMonitor:
    """Sees who waits for a thread or a lock in this process, for one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def start(self) -> None:
        """Begin; in the child of a fork it takes the parent's place."""
        self._recorder.samplers.append(ThreadPoolSampler().sample)
        if not _undo:
            _hook("runtime.locks", locks.patch)
            _hook("runtime.executors", executors.patch)
            _hook_anyio()

    def stop(self) -> None:
        """Put back what was there: the same objects."""
        while _undo:
            _undo.pop()()


def _hook(where: str, patch: Callable[[], Callable[[], None]]) -> None:
    try:
        _undo.append(patch())
    except Exception as error:  # a version that we do not know: nothing is hooked there
        internal_error(where, error)


def _hook_anyio() -> None:
    global _awaiting_anyio
    backend = sys.modules.get(anyio.BACKEND)
    if backend is not None:
        _hook("runtime.anyio", lambda: anyio.patch(backend))
    elif not _awaiting_anyio:
        import wrapt

        _awaiting_anyio = True
        wrapt.register_post_import_hook(_anyio_imported, anyio.BACKEND)


def _anyio_imported(backend: Any) -> None:
    if _undo:
        _hook("runtime.anyio", lambda: anyio.patch(backend))
