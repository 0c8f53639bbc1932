"""Starts Locust with the shipped locustfile and waits for it; counts what it wrote."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentscope.lab.load.lines import UNFINISHED

LOCUSTFILE = Path(__file__).with_name("locustfile.py")


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What a load run does.

    With ``stages`` (see ``stages.parse_stages``) ``users`` and ``duration_s`` say nothing. Locust
    counts whole seconds: ``duration_s`` and ``drain_s`` are rounded up.
    """

    host: str
    run_dir: Path
    users: int = 20
    spawn_rate: float = 4.0
    duration_s: float = 45.0
    stages: str = ""
    think_s: tuple[float, float] = (2.0, 8.0)
    stream_share: float = 0.0
    script: Path | None = None
    processes: int = 1
    seed: int | None = None
    turn_timeout_s: float = 120.0
    drain_s: float = 15.0
    """How long running turns may take to end when the time is over; then they are cut off."""

    def command(self) -> list[str]:
        """The command line that runs it."""
        options = {
            "--host": self.host,
            "--run-dir": str(self.run_dir.absolute()),
            "--think": "{:g},{:g}".format(*self.think_s),
            "--stream-share": f"{self.stream_share:g}",
            "--turn-timeout": f"{self.turn_timeout_s:g}",
            "--stop-timeout": f"{math.ceil(self.drain_s)}s",
            "--spawn-rate": f"{self.spawn_rate:g}",
            "--exit-code-on-error": "0",
        }
        if self.stages:
            options["--stages"] = self.stages
        else:
            options |= {"--users": str(self.users), "--run-time": f"{math.ceil(self.duration_s)}s"}
        if self.script is not None:
            options["--script"] = str(self.script.absolute())
        if self.processes > 1:
            options["--processes"] = str(self.processes)
        if self.seed is not None:
            options["--seed"] = str(self.seed)
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)]
        command += ["--headless", "--only-summary"]
        return command + [part for option in options.items() for part in option]

    @staticmethod
    def environment() -> dict[str, str]:
        """Our own environment without what would change Locust's options behind the plan's back."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LOCUST_") and name != "AGENTSCOPE_RUN_DIR"
        }


@dataclass
class LoadTally:
    """Counts of the lines written so far; ``update`` reads on from where it was."""

    run_dir: Path
    turns: int = 0
    errors: int = 0
    """Turns that failed; cut-off ones are not among them."""
    unfinished: int = 0
    users: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    _read: dict[Path, int] = field(default_factory=dict)

    def update(self) -> LoadTally:
        """Count what was written since the last time."""
        for path in sorted(self.run_dir.glob("load-*.jsonl")):
            for line in self._new_lines(path):
                self._count(json.loads(line))
        return self

    def _new_lines(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
        return iter(whole.splitlines())

    def _count(self, line: dict[str, object]) -> None:
        self.users.add(str(line["user"]))
        if line["session"] is not None:
            self.sessions.add(str(line["session"]))
        if line["turn"] is None:
            return
        self.turns += 1
        if line["error"] == UNFINISHED:
            self.unfinished += 1
        elif line["error"] is not None:
            self.errors += 1


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How a load run ended. ``exit_code`` is Locust's: failed requests do not make it non-zero."""

    exit_code: int
    turns: int
    errors: int
    unfinished: int
    sessions: int
    users: int

    @classmethod
    def of(cls, exit_code: int, tally: LoadTally) -> LoadResult:
        """The result after Locust has gone."""
        tally.update()
        return cls(
            exit_code,
            tally.turns,
            tally.errors,
            tally.unfinished,
            len(tally.sessions),
            len(tally.users),
        )


def run_load(plan: LoadPlan, log: Path | None = None) -> LoadResult:
    """Run the plan to its end, Locust's own output going to ``log`` (or nowhere).

    Raises OSError if Locust cannot be started; nothing else: read ``exit_code``.
    """
    plan.run_dir.mkdir(parents=True, exist_ok=True)
    with (log or Path(os.devnull)).open("ab") as output:
        done = subprocess.run(
            plan.command(),
            cwd=plan.run_dir,
            env=plan.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    return LoadResult.of(done.returncode, LoadTally(plan.run_dir))
