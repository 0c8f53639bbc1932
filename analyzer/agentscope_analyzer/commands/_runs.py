"""Runs on the command line: examples and complaints name one that is there."""

from __future__ import annotations

import glob
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from agentscope_analyzer.commands._command import CommandError

RUNS: Final = Path("runs")
"""Where ``demo`` and ``record`` write, unless they are told otherwise."""
EXAMPLE: Final = "runs/today"
"""The run of examples where there is none yet."""


def checked(run: str | None, example: str) -> str:
    """The run as it was given; raises CommandError where none was, or there is no such thing."""
    if not (run or "").strip():
        said = "no run is named" if run is None else "the name of the run is empty"
        raise CommandError(f"{said}: type {with_run(example)}")
    assert run is not None
    if not Path(run).exists() and not glob.has_magic(run):
        raise CommandError(f"{run} does not exist; {_other_than(Path(run))}")
    return run


def with_run(line: str) -> str:
    """An example line with the newest run that is there in place of ``runs/today``."""
    run = newest_run() if EXAMPLE in line else None
    return line if run is None else line.replace(EXAMPLE, shlex.quote(str(run)))


def newest_run() -> Path | None:
    """The run below ``runs/`` that was changed last; None where there is none."""
    runs = [(run.stat().st_mtime_ns, run) for run in _runs_in(RUNS)]
    return max(runs)[1] if runs else None


def _other_than(absent: Path) -> str:
    """What to type in place of a run that is not there."""
    runs = {run.name: run for folder in (RUNS, absent.parent) for run in _runs_in(folder)}
    near = get_close_matches(absent.name, runs, n=1)
    if near:
        return f"did you mean {runs[near[0]]}?"
    newest = newest_run()
    if newest is not None:
        return f"name a run directory, such as {newest}"
    return "name a run directory; agentscope demo makes one"


def _runs_in(folder: Path) -> list[Path]:
    try:
        return [run for run in folder.iterdir() if next(run.glob("traces-*"), None) is not None]
    except OSError:
        return []
