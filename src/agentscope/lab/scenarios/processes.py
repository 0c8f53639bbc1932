"""A part of the stack that runs as a process of its own, and never outlives us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TETHER = Path(__file__).with_name("tether.py")
_POLL_S = 0.05
_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


class ComponentError(Exception):
    """A part did not start or ended on its own; the message is one line, with its last words."""


class Component:
    """One child process in a session of its own, its output in a log file.

    Ctrl-C at the terminal does not reach it: it ends when ``stop`` says so, in the order that the
    owner chooses, or, on Linux, when the owner is killed. ``stop`` leaves nothing of its process
    group behind.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._variables = dict(os.environ) if variables is None else dict(variables)
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs or after an unseen end."""
        return None if self._process is None else self._process.returncode

    def start(self) -> None:
        """Start it; raises ComponentError if the program cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [*tether, *self.command],
                    cwd=self._cwd,
                    env=self._variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise ComponentError(f"{self.name} could not be started: {error}") from error

    def wait_ready(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait until a line of its output matches; raises ComponentError with its last words."""
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.ended()  # asked before reading: what it said last is then in the log
            if match := re.search(pattern, self._output()):
                return match
            if ended:
                raise ComponentError(self.epitaph("ended before it was ready"))
            if time.monotonic() > deadline:
                raise ComponentError(self.epitaph(f"was not ready after {timeout_s:g} s"))
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise ComponentError if it has ended on its own."""
        if self.ended():
            raise ComponentError(self.epitaph("ended in the middle of the run"))

    def ended(self) -> bool:
        """Whether its first process has ended. It is not reaped yet, so its id stays its own."""
        if self._process is None or self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, _ENDED) is not None

    def stop(
        self,
        grace_s: float = 10.0,
        *,
        number: int = signal.SIGTERM,
        urgent: Callable[[], bool] = lambda: False,
    ) -> int | None:
        """Ask it to end, insist after ``grace_s`` (or when ``urgent``), and return its exit code.

        A second call does nothing.
        """
        process = self._process
        if process is None or process.returncode is not None:
            return self.exit_code
        if not self.ended():
            process.send_signal(number)
        deadline = time.monotonic() + grace_s
        while not self.ended() and time.monotonic() < deadline and not urgent():
            time.sleep(_POLL_S)
        # Before the first process is reaped its group id cannot have passed to anybody else.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def _output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def epitaph(self, what: str) -> str:
        """One line: its name, what happened, where its log is, and the log's last lines."""
        lines = [line.strip() for line in self._output().splitlines() if line.strip()]
        words = " | ".join(lines[-3:])[-400:] or "it said nothing"
        return f"{self.name} {what} ({self.log}): {words}"
