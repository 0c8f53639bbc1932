"""Which files of a path are telemetry: told by their content, not only by their name."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from agentscope_analyzer.ingest.blocks import head

__all__ = ["Found", "IngestError", "Source", "find_sources"]

_HEAD_BYTES: Final = 64 << 10
_TELEMETRY = re.compile(
    rb"^[ \t\r]*\{"
    rb'(\s*"(resourceSpans|resourceMetrics|resourceLogs)"|[^\n]{0,4000}"t_start")\s*:',
    re.MULTILINE,
)
_NAMED = re.compile(r"(traces|metrics|load)-.*\.jsonl(\.gz|\.zst)?")
_MANIFEST = re.compile(r"manifest(-.*)?\.json")


class IngestError(Exception):
    """The path holds nothing to analyze; the message is one line that says what to type next."""


class HowRead(StrEnum):
    """How the rows of a file came into the tables."""

    FAST = "fast"
    CAREFUL = "careful"
    """At least a part of it needed a look at each line."""
    CACHE = "cache"


@dataclass(slots=True)
class Source:
    """A telemetry file as it was found, and how it was then read."""

    path: Path
    size_bytes: int
    mtime_ns: int
    how: HowRead = HowRead.FAST


@dataclass(slots=True)
class Found:
    """What stands at a path."""

    folder: Path | None
    """The run directory; None where single files were asked for."""
    sources: list[Source] = field(default_factory=list)
    manifests: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    """Files named like telemetry that cannot be opened, pipes and devices among them."""


def find_sources(path: Path) -> Found:
    """Find the telemetry files of a folder, a file or a glob; raises IngestError."""
    if path.is_dir():
        found = _sorted_out(path, _entries(path))
    elif path.exists():
        found = _sorted_out(None, [path], must=True)
    else:
        matches = [Path(match) for match in sorted(glob.glob(str(path)))]  # noqa: PTH207
        if not matches:
            msg = f"{path} does not exist; name a run directory: agentscope analyze RUN"
            raise IngestError(msg)
        found = _sorted_out(None, [match for match in matches if not match.is_dir()])
    if not found.sources:
        raise IngestError(_nothing(path, found))
    return found


def is_named_telemetry(name: str) -> bool:
    """Whether a file is called as the recorder and the load generator call theirs."""
    return _NAMED.fullmatch(name) is not None


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        msg = f"cannot read {folder}: {error.strerror}; check its permissions with ls -ld"
        raise IngestError(msg) from None
    return [entry for entry in entries if not entry.name.startswith(".") and not entry.is_dir()]


def _sorted_out(folder: Path | None, paths: list[Path], *, must: bool = False) -> Found:
    found = Found(folder)
    for path in paths:
        if _MANIFEST.fullmatch(path.name):
            found.manifests.append(path)
            continue
        named = is_named_telemetry(path.name)
        try:
            start = head(path, _HEAD_BYTES)
            if named or _TELEMETRY.search(start):
                status = path.stat()
                found.sources.append(Source(path, status.st_size, status.st_mtime_ns))
        except OSError:
            if named or must:
                found.unreadable.append(path)
    return found


def _nothing(path: Path, found: Found) -> str:
    if found.unreadable:
        first = found.unreadable[0]
        return f"cannot read {first}: not a regular file, or no permission; try ls -l {first}"
    runs = sorted(_runs_below(path)) if path.is_dir() else []
    if runs:
        return f"{path} holds runs, not telemetry; name one: agentscope analyze {runs[0]}"
    return (
        f"{path} holds no OTLP-JSON lines (traces, metrics) and no load-*.jsonl; "
        "record a run: agentscope demo"
    )


def _runs_below(folder: Path) -> list[Path]:
    return [
        below
        for below in folder.iterdir()
        if below.is_dir() and any(is_named_telemetry(entry.name) for entry in below.iterdir())
    ]
