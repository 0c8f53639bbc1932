"""What ended workers leave: their gauges go, what they had counted is folded into one file a kind.

A file is folded and then removed, which are two steps: so the archive notes whose files it has
taken in, and whoever finds such a file still there passes it over.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentscope.export.prometheus import exemplars, merging, values_file
from agentscope.export.prometheus.owners import (
    ARCHIVE,
    LONG_SILENCE_S,
    is_alive,
    is_ours,
    kind_of,
    owner_of,
)
from agentscope.export.prometheus.pace import Pace

LOCK_NAME = ".agentscope-lock"

MAX_NOTED = 4096
"""Names that an archive remembers: a reader may have seen the files a moment ago, not longer."""


def bury(shared: Path, pace: Pace) -> None:
    """Tidy up, unless another worker is at it; raises OSError where nothing can be written."""
    with _alone(shared) as alone:
        if not alone:
            return
        for path in shared.glob("*.draft"):
            if not is_alive(path):
                path.unlink(missing_ok=True)
        told = shared.glob(f"{exemplars.PREFIX}*{exemplars.SUFFIX}")
        archive = shared / f"{exemplars.PREFIX}{ARCHIVE}{exemplars.SUFFIX}"
        exemplars.fold([path for path in told if not is_alive(path)], archive)
        ended: dict[str, list[Path]] = {}
        for path in pace.over(sorted(shared.glob("*.db"))):
            kind = kind_of(path)
            if owner_of(path) == ARCHIVE:
                continue
            if kind.startswith("gauge_live") or _is_empty(path):
                if not is_alive(path):
                    path.unlink(missing_ok=True)
            elif not (kind in merging.FOLDS and is_ours(owner_of(path))):
                continue
            # Longer: were it only stopped, it would go on to count what is folded already.
            elif not is_alive(path, LONG_SILENCE_S):
                ended.setdefault(kind, []).append(path)
        for kind, paths in ended.items():
            _fold(archive_of(shared, kind), paths, pace)


def archive_of(shared: Path, kind: str) -> Path:
    """The file of what ended workers had counted."""
    return shared / f"{kind}_{ARCHIVE}.db"


def _fold(archive: Path, paths: Sequence[Path], pace: Pace) -> None:
    values, noted = merging.read_archive(archive, pace)
    folded = set(noted)
    sums = dict(values)
    sound = [path for path in paths if path.name in folded]
    for path in paths:
        if path.name in folded or (more := merging.read(path, pace)) is None:
            continue
        for key, value in more:
            sums[key] = sums.get(key, 0.0) + value
        sound.append(path)
    new = [path.name for path in sound if path.name not in folded]
    if new:
        values_file.replace(archive, sums, [*noted, *new][-max(MAX_NOTED, len(new)) :], pace)
    for path in sound:
        path.unlink(missing_ok=True)


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:
        return False


@contextmanager
def _alone(shared: Path) -> Iterator[bool]:
    """Whether nobody else is tidying up; while it lasts nobody does."""
    descriptor = os.open(shared / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child of a fork may have it open too
    finally:
        os.close(descriptor)
