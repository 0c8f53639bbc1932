"""Files that a verb writes beside its text: refused before the work, told of after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentscope_analyzer.commands._command import CommandError


def check_writable(files: Mapping[str, str]) -> None:
    """Raise CommandError for a path, by option, that will not take a file: before any analysis."""
    options: dict[Path, str] = {}
    for option, path in files.items():
        why = _why_not(path)
        if why is not None:
            raise CommandError(f"cannot write {path or repr(path)}: {why}")
        other = options.setdefault(Path(path).absolute(), option)
        if other != option:
            raise CommandError(f"{other} and {option} both name {path}; give each its own file")


def _why_not(path: str) -> str | None:
    target, folder = Path(path), Path(path).absolute().parent
    if not path.strip() or target.is_dir():
        return "that is no name of a file; give one"
    if not folder.is_dir():
        return f"there is no folder {folder}; make it first"
    # A file is replaced, which is the folder's to permit; a device or a pipe is written to.
    place = target if target.exists() and not target.is_file() else folder
    return None if os.access(place, os.W_OK) else "permission denied; give another file"


@contextmanager
def written(verb: str, path: str, what_next: str = "") -> Iterator[None]:
    """Say where a file went once it is there; raises CommandError where it could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"cannot write {path}: {reason}; give a file that can be written"
        raise CommandError(msg) from None
    hint = f": {what_next}" if what_next else ""
    print(f"agentscope {verb}: wrote {path}{hint}", file=sys.stderr)
