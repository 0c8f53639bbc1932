"""``load-*.jsonl``: one line a request, one file a process."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

UNFINISHED = "unfinished"
"""``error`` of a request that was sent and cut off by the end of the run."""


class RequestLine(msgspec.Struct, kw_only=True):
    """What the load generator saw of one request.

    Times are epoch seconds, durations seconds. ``t_intended`` is when the user meant to send: the
    end of the previous request plus the think time, so ``t_start - t_intended`` is the generator's
    own lag. ``turn`` counts from 1 and is null where the request is no turn (a session's creation
    or end). ``status`` is 0 and ``ttfb_s`` null where no answer came.
    """

    t_intended: float
    t_start: float
    duration_s: float
    ttfb_s: float | None
    name: str
    session: str | None
    turn: int | None
    status: int
    error: str | None
    bytes: int
    trace_id: str | None
    user: str
    stage: str


class LineWriter:
    """Writes whole lines into a file that no other process writes.

    The file is made at the first line, by the process that has something to say: a Locust process
    that forks its workers leaves them no file of its own. Each line is one ``os.write``, so what
    was written is on its way to disk whatever happens to the process next.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._encode: Callable[[RequestLine], bytes] = msgspec.json.Encoder().encode
        self._pid = 0
        self._fd = -1

    def write(self, line: RequestLine) -> None:
        """Append one line. Raises OSError: a run whose record is lost is no run."""
        if self._pid != os.getpid():
            self._open()
        data = memoryview(self._encode(line) + b"\n")
        while data:  # a short write (disk nearly full) must not tear the line
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file; a later line would open a new one."""
        if self._pid == os.getpid():
            os.close(self._fd)
        self._pid, self._fd = 0, -1

    def _open(self) -> None:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        host = re.sub(r"[^A-Za-z0-9.]+", "-", socket.gethostname())[:40]
        name = f"load-{host}-{os.getpid()}-{time.time_ns():x}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._run_dir / name, flags, 0o600)
        self._pid = os.getpid()
