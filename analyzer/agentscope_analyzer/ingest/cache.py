"""The tables as Parquet beside the run: read in a fraction of the time the text takes.

A cache belongs to exactly the files it was made from (names, sizes, times of change) and to the
version of the schema and the dialects. Whatever is wrong with one, it is made anew.
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
from agentscope_analyzer.engine.schema import SCHEMA_VERSION
from agentscope_analyzer.ingest.dialects import RESOURCE_COLUMNS, SPAN_COLUMNS
from agentscope_analyzer.ingest.refusals import Reason, Tally
from agentscope_analyzer.ingest.sources import Source

__all__ = ["CACHE_FOLDER", "Cache"]

CACHE_FOLDER: Final = ".agentscope-cache"
_INDEX: Final = "index.json"
_BATCH_ROWS: Final = 122_880
"""One row group of DuckDB's, and one of the Parquet file's."""

_SETTLED_AFTER_S: Final = 2.0
"""A file that changed later than this ago may change again within one tick of its clock."""


class Cache:
    """The cache of one run directory in its present state."""

    def __init__(self, folder: Path, sources: list[Source]) -> None:
        self._folder = folder / CACHE_FOLDER
        self._sources = sources
        files = [[source.path.name, source.size_bytes, source.mtime_ns] for source in sources]
        version = [SCHEMA_VERSION, repr(TABLES), repr(SPAN_COLUMNS), repr(RESOURCE_COLUMNS)]
        text = json.dumps([version, files])
        self._entry = self._folder / hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, engine: Engine) -> Tally | None:
        """Fill the engine's tables; None, and empty tables, if there is no whole cache."""
        try:
            index = json.loads((self._entry / _INDEX).read_bytes())
            tally = Tally(_counter(index["read"]), _counter(index["rejected"]))
            for reason in tally.rejected:
                Reason(reason)
            for name in TABLES:
                if self._load_table(engine, name) != index["rows"][name]:
                    raise ValueError(name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
            for name in TABLES:
                engine.execute(f"DELETE FROM {name}")
            return None
        return tally

    def _load_table(self, engine: Engine, name: str) -> int:
        with pq.ParquetFile(
            self._entry / f"{name}.parquet", page_checksum_verification=True
        ) as file:
            if not file.schema_arrow.equals(TABLES[name].arrow):
                raise ValueError(name)
            return sum(
                engine.load(name, pa.Table.from_batches([batch]))
                for batch in file.iter_batches(_BATCH_ROWS)
            )

    def save(self, engine: Engine, tally: Tally) -> None:
        """Write the tables, unless files are still changing or the folder cannot be written."""
        if not self._settled():
            return
        with suppress(OSError):
            self._folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._folder))
            try:
                self._write(draft, engine, tally)
                self._remove_others(draft)
                draft.rename(self._entry)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _write(self, draft: Path, engine: Engine, tally: Tally) -> None:
        rows: dict[str, int] = {}
        for name, table in TABLES.items():
            rows[name] = 0
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            with (
                _private(draft / f"{name}.parquet") as file,
                pq.ParquetWriter(
                    file, table.arrow, compression="zstd", write_page_checksum=True
                ) as writer,
            ):
                for batch in engine.batches(f"SELECT {columns} FROM {name}", _BATCH_ROWS):
                    writer.write_batch(batch.cast(table.arrow))
                    rows[name] += batch.num_rows
        index = {"rows": rows, "read": tally.read, "rejected": tally.rejected}
        with _private(draft / _INDEX) as file:
            file.write(json.dumps(index).encode())

    def _remove_others(self, draft: Path) -> None:
        for entry in self._folder.iterdir():
            # A draft may be another process's, writing right now.
            if entry != draft and not entry.name.startswith("draft-"):
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


def _counter(value: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for key, count in value.items():
        if type(count) is not int or count < 0:
            raise ValueError(key)
        counts[key] = count
    return counts


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
