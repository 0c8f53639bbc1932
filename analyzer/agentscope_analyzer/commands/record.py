"""``agentscope record``: run a service as it is, and record it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from agentscope_analyzer.commands._command import CommandError

_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_ALONE = {
    "I": "ignores PYTHONPATH",
    "E": "ignores PYTHONPATH",
    "S": "imports no sitecustomize",
}
"""Options with which Python does not let us in, and why."""

_DETAILS = """\
The command runs as it would without us: its output, its signals, its exit code. Below it, every
Python process that serves a FastAPI or Starlette application records itself: uvicorn, gunicorn,
fastapi run, python app.py, their workers, reloads included. It needs agentscope in its own Python.
/metrics is added to the application only if AGENTSCOPE_PROMETHEUS=1 is set."""


class Record:
    """Run a command and record the services in it."""

    name: ClassVar[str] = "record"
    summary: ClassVar[str] = "run a Python service as it is, and record it"
    example: ClassVar[str] = "agentscope record -- uvicorn app:app --workers 2"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""
        parser.epilog = _DETAILS
        add = parser.add_argument
        add(
            "-o", "--run-dir", type=Path, metavar="DIR",
            help="run directory (default: AGENTSCOPE_RUN_DIR, else runs/record-TIME)",
        )  # fmt: skip
        add(
            "--service", metavar="NAME", help="what the service is called (AGENTSCOPE_SERVICE_NAME)"
        )
        add("--add", action="store_true", help="record into a directory that holds a run already")
        add("line", nargs=argparse.REMAINDER, metavar="-- COMMAND…", help="what to run")

    def run(self, args: argparse.Namespace) -> int:
        """Run the command; its exit code, or 2 where it was not run."""
        from agentscope.bootstrap import environment
        from agentscope_analyzer.commands._supervision import as_the_command_ended, supervise

        line = args.line[1:] if args.line[:1] == ["--"] else args.line
        program = _program(line)
        run_dir = _run_dir(args.run_dir, add=args.add)
        made = [one for one in (run_dir, *run_dir.parents) if not one.exists()]
        _make(run_dir)
        began_ns = time.time_ns()
        _say(f"recording into {run_dir}")
        try:
            status = supervise(program, line, environment(run_dir, args.service, os.environ))
        except OSError as error:
            _remove_empty(made)
            reason = (error.strerror or str(error)).lower()
            raise CommandError(f"cannot run {line[0]}: {reason}", exit_code=126) from None
        _say_what_is_there(run_dir, began_ns, made)
        return as_the_command_ended(status)


def _program(line: Sequence[str]) -> str:
    """The file to run; raises CommandError where it cannot be recorded."""
    if not line:
        raise CommandError("nothing to run: write the command after --, agentscope record -- CMD")
    program = shutil.which(line[0])
    if program is None and os.sep in line[0] and Path(line[0]).is_file():
        message = f"{line[0]} is not executable: write python {line[0]}, or chmod +x it"
        raise CommandError(message, exit_code=126)
    if program is None:
        message = f"no command {line[0]!r} here or on the PATH; check its spelling"
        raise CommandError(message, exit_code=127)
    for letter in _letters(_python_options(program, line)):
        if letter in _ALONE:
            raise CommandError(
                f"python -{letter} {_ALONE[letter]}, by which the recorder comes in: leave it out, "
                "or write agentscope.instrument(app) in the service"
            )
    return program


def _python_options(program: str, line: Sequence[str]) -> Sequence[str]:
    """Words in which Python's own options may stand: the command's, or its first line's."""
    if _PYTHON.fullmatch(Path(program).name):
        return line[1:]
    try:
        with Path(program).open("rb") as file:
            first = file.readline(512)
    except OSError:
        return ()
    words = first.decode("utf-8", "replace").removeprefix("#!").split()
    for place, word in enumerate(words if first.startswith(b"#!") else ()):
        if _PYTHON.fullmatch(Path(word).name):
            return words[place + 1 :]
    return ()


def _letters(words: Iterable[str]) -> Iterator[str]:
    """The one-letter options before the script: ``-Bc CODE`` ends them, ``-W X`` takes a word."""
    words = iter(words)
    for word in words:
        if not word.startswith("-") or word == "-":
            return
        if word.startswith("--"):
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in "cm":
                return
            if letter in "WX":
                if place == len(word):
                    next(words, None)
                break
            yield letter


def _run_dir(given: Path | None, *, add: bool) -> Path:
    run_dir: Path = given or Path(os.environ.get("AGENTSCOPE_RUN_DIR") or _dated())
    held = any(next(run_dir.glob(f"{kind}-*"), None) for kind in ("traces", "metrics", "manifest"))
    if held and not add:
        raise CommandError(
            f"{run_dir} holds a run already, and two would be analysed as one; choose another "
            "directory with -o, or --add to it"
        )
    return run_dir


def _make(run_dir: Path) -> None:
    from agentscope.export.run_directory import check_writable

    try:
        check_writable(run_dir.absolute())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write {run_dir}: {reason}; choose another with -o") from None


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, as far as nothing is in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _dated() -> str:
    return time.strftime("runs/record-%Y%m%d-%H%M%S")


def _say_what_is_there(run_dir: Path, since_ns: int, made: Iterable[Path]) -> None:
    manifests = [one for one in _manifests(run_dir) if one.get("started_ns", 0) >= since_ns]
    if not manifests:
        _remove_empty(made)
        gone = "" if run_dir.exists() else f", so {run_dir} is removed"
        _say(
            f"nothing was recorded{gone}: the command served no FastAPI or Starlette application, or "
            "not in a Python that has agentscope; pip install agentscope-observability there"
        )
        return
    spans = sum(
        entry["delivered"]
        for manifest in manifests
        for entry in manifest.get("ledger", ())
        if entry["signal"] == "spans" and entry["sink"] == "run_directory"
    )
    cut_off = sum(1 for manifest in manifests if manifest.get("ended_ns") is None)
    processes = f"{len(manifests)} process{'es' if len(manifests) > 1 else ''}"
    _say(
        f"{spans:,} span{'' if spans == 1 else 's'} of {processes}{f' ({cut_off} cut off)' if cut_off else ''}; "
        f"next: agentscope analyze {run_dir}"
    )


def _manifests(run_dir: Path) -> Iterator[dict[str, Any]]:
    for path in run_dir.glob("manifest-*.json"):
        try:
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(manifest, dict):
            yield manifest


def _say(text: str) -> None:
    if sys.stderr is None:  # closed by whoever started us; print would write to stdout
        return
    with contextlib.suppress(OSError):  # nobody reads any more: no reason to stop the service
        print(f"agentscope record: {text}", file=sys.stderr, flush=True)
