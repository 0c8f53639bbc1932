"""Whose a shared file is, and whether its process still runs.

What stands behind the last underscore of a file's name: the pid alone, as prometheus_client has it,
or of ours ``pid-start-namespace-number``. A pid comes again, in containers soon; with when it was
started it does not, and containers that share a directory see each its own processes.
"""

from __future__ import annotations

import os
import secrets
import time
from functools import cache
from pathlib import Path

import psutil

ARCHIVE = "agentscope-ended"
"""Stands for the process in the name of the files that hold what ended workers had counted."""

MAX_CLOCK_DOUBT_S = 5
"""When a process was started is reckoned from the wall clock, which may have been set since."""

SILENCE_S = 60.0
"""A worker that cannot be seen from here is gone when it has written nothing for so long: they all
write each second. The container that it was in may have been started again, on the same volume."""

LONG_SILENCE_S = 3600.0
"""For what is not found again when it was only stopped: see ``burial``."""


def new_owner() -> str:
    """A name for files of this process, another one at each call: a process may record anew."""
    started_s = int(psutil.Process().create_time())
    return f"{os.getpid()}-{started_s}-{pid_namespace()}-{secrets.randbelow(1 << 32)}"


def owner_of(path: Path) -> str:
    """Whose a file is."""
    return path.stem.rpartition("_")[2]


def kind_of(path: Path) -> str:
    """What a file holds, as prometheus_client says it: ``counter``, ``gauge_livesum``, …"""
    return path.stem.rpartition("_")[0]


def is_ours(owner: str) -> bool:
    """Whether it is a worker of ours, living or dead, and not one of prometheus_client's alone."""
    return owner == ARCHIVE or owner.count("-") == 3


@cache
def pid_namespace() -> int:
    """Which processes can be seen."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def is_alive(path: Path, silence_s: float = SILENCE_S) -> bool:
    """Whether the process of a file still runs; one of which that cannot be told is taken to.

    One that cannot be seen is, unless it has not written to ``path`` for ``silence_s``.
    """
    pid, *ours = owner_of(path).split("-")
    try:
        number, told = int(pid), [int(part) for part in ours]
    except ValueError:
        return True
    if len(told) == 3 and told[1] != pid_namespace():
        return _was_written(path, silence_s)
    try:
        started_s = psutil.Process(number).create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return len(told) != 3 or abs(started_s - told[0]) <= MAX_CLOCK_DOUBT_S


def _was_written(path: Path, within_s: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime < within_s
    except OSError:
        return False
