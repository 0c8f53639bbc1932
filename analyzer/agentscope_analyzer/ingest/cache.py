"""The tables as Parquet beside the run: read in a fraction of the time the text takes.

An entry belongs to exactly the files it was made from (names, sizes, times of change) and to the
version of the schema and the dialects. Its index has the digest of every file of it. Whatever is
wrong with an entry, it is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.engine.parquet import open_parquet
from agentscope_analyzer.engine.schema import SCHEMA_VERSION, SPANS
from agentscope_analyzer.engine.sealed import Damaged, seal, unseal
from agentscope_analyzer.ingest.dialects import RESOURCE_COLUMNS, SPAN_COLUMNS
from agentscope_analyzer.ingest.refusals import Reason, Tally
from agentscope_analyzer.ingest.sources import Source

__all__ = ["CACHE_FOLDER", "Cache"]

CACHE_FOLDER: Final = ".agentscope-cache"
_LAYOUT: Final = 2
"""Raised when the files of an entry are divided or written otherwise."""
_BATCH_ROWS: Final = 122_880
"""One row group of DuckDB's, and one of the Parquet file's."""
_LOADED: Final = tuple(name for name in TABLES if name != SPANS.name)
"""Tables that are small enough to be held in memory."""

_SETTLED_AFTER_S: Final = 2.0
"""A file that changed later than this ago may change again within one tick of its clock."""
_IN_USE_S: Final = 600.0
"""For so long after it was opened, an entry of other files may still be read by somebody."""
_ABANDONED_S: Final = 86_400.0
"""A draft this old was left by a process that was killed."""


class Cache:
    """The cache of one run directory in its present state."""

    def __init__(self, folder: Path, sources: list[Source]) -> None:
        self.folder = folder.resolve() / CACHE_FOLDER
        self._sources = sources
        files = [[source.path.name, source.size_bytes, source.mtime_ns] for source in sources]
        version = [SCHEMA_VERSION, _LAYOUT, repr(TABLES), repr(SPAN_COLUMNS)]
        text = json.dumps([version, repr(RESOURCE_COLUMNS), files])
        self.entry = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, engine: Engine) -> Tally | None:
        """Fill the engine's tables; None, and empty tables, if there is no whole entry."""
        try:
            files, told = unseal(self.entry)
            tally = Tally(_counter(told["read"]), _counter(told["rejected"]))
            for reason in tally.rejected:
                Reason(reason)
            for name in _LOADED:
                _load_table(engine, name, self.entry / f"{name}.parquet")
            spans = [self.entry / name for name in files if name.startswith("spans-")]
            for path in spans:
                if not pq.read_schema(path).equals(SPANS.arrow):
                    raise Damaged
        except (
            Damaged,
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            pa.ArrowException,
        ):
            for name in _LOADED:
                engine.execute(f"DELETE FROM {name}")
            return None
        with suppress(OSError):
            os.utime(self.entry)  # it is in use
        engine.attach(SPANS.name, SPANS.columns, spans)
        engine.kept = self.entry
        return tally

    def draft(self) -> Path | None:
        """A new private folder for the files of an entry; None if there can be none."""
        if not self._settled():
            return None
        try:
            self.folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="draft-", dir=self.folder))
        except OSError:
            return None

    def save(self, draft: Path, engine: Engine, tally: Tally) -> None:
        """Complete a draft that holds the spans and make it the entry, unless files have changed."""
        with suppress(OSError):
            for name in _LOADED:
                _save_table(engine, name, draft / f"{name}.parquet")
            seal(draft, {"read": tally.read, "rejected": tally.rejected})
            if self._settled():
                self._put(draft)
                paths = [self.entry / path.name for path in engine.files[SPANS.name]]
                engine.attach(SPANS.name, SPANS.columns, paths)
                engine.kept = self.entry

    def _put(self, draft: Path) -> None:
        with suppress(Damaged, OSError):
            unseal(self.entry)
            return  # somebody else was faster: the same rows, and they may be reading them
        self._remove_others(draft)
        draft.rename(self.entry)

    def _remove_others(self, draft: Path) -> None:
        shutil.rmtree(self.entry, ignore_errors=True)  # it is damaged
        for entry in self.folder.iterdir():
            # A draft may be another process's, writing right now; an entry, being read.
            is_draft = entry.name.startswith("draft-")
            unused_s = time.time() - entry.stat().st_mtime
            if entry != draft and unused_s > (_ABANDONED_S if is_draft else _IN_USE_S):
                shutil.rmtree(entry, ignore_errors=True)

    def _settled(self) -> bool:
        for source in self._sources:
            try:
                status = source.path.stat()
            except OSError:
                return False
            if (status.st_size, status.st_mtime_ns) != (source.size_bytes, source.mtime_ns):
                return False
        newest = max(source.mtime_ns for source in self._sources)
        return time.time() - newest / 1e9 > _SETTLED_AFTER_S


def _load_table(engine: Engine, name: str, path: Path) -> None:
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(TABLES[name].arrow):
            raise Damaged
        for batch in file.iter_batches(_BATCH_ROWS):
            engine.load(name, pa.Table.from_batches([batch]))


def _save_table(engine: Engine, name: str, path: Path) -> None:
    schema = TABLES[name].arrow
    columns = ", ".join(f'"{column.name}"' for column in TABLES[name].columns)
    with open_parquet(path, schema) as writer:
        for batch in engine.batches(f"SELECT {columns} FROM {name}", _BATCH_ROWS):
            writer.write_batch(batch.cast(schema))


def _counter(value: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for key, count in value.items():
        if type(count) is not int or count < 0:
            raise ValueError(key)
        counts[key] = count
    return counts
