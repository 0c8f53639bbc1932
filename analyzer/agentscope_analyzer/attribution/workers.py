"""Portions of a run on several processors: a worker process each, and this process as one of them.

Workers are started as commands of their own, not forked and not spawned by ``multiprocessing``:
DuckDB has threads, and a caller's script need not be importable. Each reads files of spans, writes
files of rows, and speaks over its two pipes with its parent alone.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agentscope_analyzer.attribution.outcome import Totals
from agentscope_analyzer.attribution.plan import Plan, attribute_file, own_engine
from agentscope_analyzer.errors import AnalysisError

__all__ = ["AttributionError", "attribute_all"]

_MOST_WORKERS: Final = 8
_COMMAND: Final = ("-P", "-m", "agentscope_analyzer.attribution.worker")
"""Without -P Python would import from the folder that it is started in."""


class AttributionError(AnalysisError):
    """A worker process died."""


def attribute_all(
    plan: Plan, paths: Sequence[Path], folder: Path, *, scratch: Path, cores: int
) -> Totals:
    """Attribute every file of spans; rows go to ``folder``. Raises AttributionError.

    What workers cannot hold in memory they write to ``scratch``: it outlives them if they are killed.
    """
    work = _Work(plan, deque(enumerate(paths)), folder, scratch)
    helpers = min(cores, len(paths), _MOST_WORKERS) - 1 if sys.executable else 0
    threads = [
        threading.Thread(target=work.delegate, args=(paths[0].parent,), name="agentscope-worker")
        for _ in range(helpers)
    ]
    for thread in threads:
        thread.start()
    try:
        with own_engine(paths[0].parent) as engine:
            while (portion := work.next()) is not None:
                number, path = portion
                work.totals[number] = attribute_file(plan, engine, path, folder, number).totals
    except BaseException:
        work.stop()
        raise
    finally:
        for thread in threads:
            thread.join()
    if work.failures:
        raise work.failures[0]
    total = Totals()
    for number in sorted(work.totals):
        total.add(work.totals[number])
    return total


@dataclass(slots=True)
class _Work:
    """The portions that nobody has taken yet, and what came of the others."""

    plan: Plan
    waiting: deque[tuple[int, Path]]
    folder: Path
    scratch: Path
    totals: dict[int, Totals] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def next(self) -> tuple[int, Path] | None:
        """The next portion, None if there is none left."""
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def stop(self) -> None:
        """Let nobody begin another portion, nor end the one in hand."""
        self.waiting.clear()
        for process in list(self.processes):
            process.kill()

    def delegate(self, spans: Path) -> None:
        """Have a worker process do portions until none is left."""
        try:
            self._delegate(spans)
        except BaseException as error:  # noqa: BLE001 - told to the caller's thread, which raises it
            self.failures.append(error)
            self.stop()

    def _delegate(self, spans: Path) -> None:
        command = [sys.executable, *_COMMAND, str(spans)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(self.scratch)
        )
        self.processes.append(process)
        try:
            with process:
                _exchange(process, (self.plan, self.folder))
                while (portion := self.next()) is not None:
                    number, path = portion
                    answer = _exchange(process, (number, path))
                    if isinstance(answer, BaseException):
                        raise answer
                    self.totals[number] = answer
        finally:
            process.kill()


def _exchange(process: subprocess.Popen[bytes], message: object) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump(message, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)
    except (OSError, EOFError, pickle.UnpicklingError):
        status = process.wait()
        why = f"signal {-status}" if status < 0 else f"exit code {status}"
        msg = (
            f"a worker process of the analysis died ({why}), perhaps for want of memory; "
            "try again with one processor: taskset -c 0 agentscope analyze RUN"
        )
        raise AttributionError(msg) from None


def _environment(scratch: Path) -> dict[str, str]:
    # A worker finds the packages where this process found them, whatever the caller changed. The
    # threads that numpy starts for matrices would turn idle circles: a worker has none.
    found_in = os.pathsep.join(path for path in sys.path if path)
    told = {"PYTHONPATH": found_in, "TMPDIR": str(scratch), "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **told}
