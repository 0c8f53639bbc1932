"""Which files of a path are telemetry: told by their content, not only by their name."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from agentscope_analyzer.errors import AnalysisError
from agentscope_analyzer.ingest.blocks import head
from agentscope_analyzer.ingest.formats import GENERATOR_FORMATS, Format, format_of
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit

__all__ = ["Found", "IngestError", "Source", "find_sources"]

_HEAD_BYTES: Final = 64 << 10
_PACKED_RATIO: Final = 12
MAX_LISTED: Final = 1000
"""Entries of a folder below that are looked at, to say where the telemetry might be."""
_NAMED = re.compile(r"(traces|metrics|load)-.*\.jsonl(\.gz|\.zst)?")
_MANIFEST = re.compile(r"manifest(-.*)?\.json")


class IngestError(AnalysisError):
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
    format: Format = Format.LINES
    start: int = 0
    """A hash of its first bytes, decompressed; 0 where there are none."""
    how: HowRead = HowRead.FAST

    @property
    def text_bytes(self) -> int:
        """About how much text is in it: telemetry is compressed to a tenth or less."""
        packed = self.path.suffix in (".gz", ".zst")
        return self.size_bytes * (_PACKED_RATIO if packed else 1)


@dataclass(slots=True)
class Found:
    """What stands at a path."""

    folder: Path | None
    """The run directory; None where single files were asked for."""
    sources: list[Source] = field(default_factory=list)
    manifests: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    """Files named like telemetry that cannot be opened, pipes and devices among them."""
    protobuf: list[Path] = field(default_factory=list)
    """Telemetry in a form that is not read."""
    repeated: list[Source] = field(default_factory=list)
    """Files that another one holds as well."""


def find_sources(path: Path) -> Found:
    """Find the telemetry files of a folder, a file or a glob; raises IngestError."""
    if path.is_dir():
        found = _sorted_out(path, _entries(path))
    elif path.exists():
        found = _sorted_out(None, [path], must=True)
    else:
        matches = _matches(path)
        if not matches:
            msg = f"{path} does not exist; name a run directory"
            raise IngestError(msg)
        found = _sorted_out(None, matches)
    if not any(source.format not in GENERATOR_FORMATS for source in found.sources):
        raise IngestError(_nothing(path, found))
    found.sources, found.repeated = without_copies(found.sources)
    return found


def count_left_out(found: Found, tally: Tally) -> None:
    """Count the files that are not read as refused."""
    for reason, files in (
        (Reason.UNREADABLE_FILE, len(found.unreadable)),
        (Reason.PROTOBUF_FILE, len(found.protobuf)),
        (Reason.DUPLICATE_FILE, len(found.repeated)),
    ):
        tally.read[Unit.FILES.value] += files
        tally.refuse(reason, files)


def is_named_telemetry(name: str) -> bool:
    """Whether a file is called as the recorder and the load generator call theirs."""
    return _NAMED.fullmatch(name) is not None


def _matches(pattern: Path) -> list[Path]:
    """The files that a pattern names, each once: links among folders may lead to one in circles."""
    files: dict[Path, Path] = {}
    for match in sorted(glob.glob(str(pattern), recursive=True)):  # noqa: PTH207
        path = Path(match)
        if not path.is_dir():
            files.setdefault(path.resolve(), path)
    return list(files.values())


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
            kind = format_of(start) or (Format.LINES if named else None)
            if kind is Format.PROTOBUF:
                found.protobuf.append(path)
            elif kind is not None:
                status = path.stat()
                source = Source(
                    path, status.st_size, status.st_mtime_ns, kind, hash(start) if start else 0
                )
                found.sources.append(source)
        except OSError:
            if named or must:
                found.unreadable.append(path)
    return found


def without_copies(sources: list[Source]) -> tuple[list[Source], list[Source]]:
    """The files to read, and those that begin like one of them: copies, or a part of it.

    Telemetry begins with ids and times of its own: what begins alike is the same recording, kept
    beside its compressed form or copied while it grew. The longest is read.
    """
    kept: dict[int, Source] = {}
    for source in sources:
        other = kept.get(source.start)
        if other is None or source.size_bytes > other.size_bytes:
            kept[source.start] = source
    read = [source for source in sources if not source.start or kept[source.start] is source]
    return read, [source for source in sources if source not in read]


def _nothing(path: Path, found: Found) -> str:
    if found.protobuf:
        return (
            f"{found.protobuf[0]} is protobuf, which is not read: set `format: json` in the "
            "Collector's file exporter and record again"
        )
    if found.unreadable:
        first = found.unreadable[0]
        return f"cannot read {first}: not a regular file, or no permission; try ls -l {first}"
    if found.sources:
        first = found.sources[0].path
        return (
            f"{first} is what a load generator saw: name the folder with the service's traces too"
        )
    runs = sorted(_runs_below(path)) if path.is_dir() else []
    if runs:
        return f"{path} holds runs, not telemetry; name one, such as {runs[0]}"
    below = _telemetry_below(path) if path.is_dir() else None
    if below is not None:
        pattern = f"{path}/**/*{below.suffix}"
        return f"{path} holds its telemetry in folders; name all of it: '{pattern}'"
    return (
        f"{path} holds no OTLP-JSON lines (traces, metrics) and no load-*.jsonl; "
        "record a run: agentscope demo"
    )


def _runs_below(folder: Path) -> list[Path]:
    return [
        below
        for below in _folders(folder)
        if any(is_named_telemetry(entry.name) for entry in _listed(below))
    ]


def _telemetry_below(folder: Path, depth: int = 3) -> Path | None:
    """A file of telemetry somewhere in the folders of a folder, a few levels down."""
    for below in _folders(folder):
        for entry in _listed(below):
            try:
                if entry.is_file() and format_of(head(entry, _HEAD_BYTES)):
                    return entry
            except OSError:
                continue
        if depth > 1 and (found := _telemetry_below(below, depth - 1)) is not None:
            return found
    return None


def _folders(folder: Path) -> list[Path]:
    """Its folders, but no links to folders: they may lead back."""
    return [entry for entry in _listed(folder) if entry.is_dir() and not entry.is_symlink()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:MAX_LISTED]
    except OSError:
        return []
