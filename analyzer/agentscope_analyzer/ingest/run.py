"""A run, opened: its tables, its manifests, and what was refused on the way."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.ingest.cache import Cache
from agentscope_analyzer.ingest.generators import stages_told
from agentscope_analyzer.ingest.manifest import MergedManifest, merge, read_manifests
from agentscope_analyzer.ingest.reader import Reader
from agentscope_analyzer.ingest.refusals import Tally
from agentscope_analyzer.ingest.sources import (
    Found,
    HowRead,
    IngestError,
    Source,
    count_left_out,
    find_sources,
)
from agentscope_analyzer.ingest.span_files import SpanFiles, StoreError, buckets_for

__all__ = ["Run", "open_run"]


def open_run(
    path: str | Path,
    *,
    cache: bool = True,
    memory_limit: str = "2GB",
    threads: int | None = None,
) -> Run:
    """Read a run directory, a folder, a file or a glob of telemetry into the canonical tables.

    Takes OTLP-JSON lines (traces and metrics; logs are counted only) and the load generator's
    lines, plain, gzip or Zstandard, each file told by its content. With ``cache``, a folder's
    tables are kept as Parquet in ``.agentscope-cache`` beside its files. Bad input is never an
    error: it is counted by reason in ``Run.rejected``. Raises IngestError when there is nothing
    to read.

    >>> with open_run("runs/today") as run:                      # doctest: +SKIP
    ...     run.engine.rows("SELECT count(*) FROM spans")
    """
    found = find_sources(Path(path))
    kept = Cache(found.folder, found.sources) if cache and found.folder is not None else None
    engine = Engine.in_memory(
        memory_limit=memory_limit, threads=threads, readable=None if kept is None else kept.folder
    )
    # A run that is still being written goes on while its spans are read. What manifests promised
    # before that is in the files; what they say afterwards would look like spans that are missing.
    told = Tally()
    manifests = read_manifests(found.manifests, told)
    try:
        tally = _fill(engine, found, kept)
        tally.add(told)
        count_left_out(found, tally)
        manifest = merge(manifests, tally)
        manifest["load"] = manifest["load"] or stages_told(engine)
    except BaseException:
        engine.close()
        raise
    return Run(
        path=Path(path),
        engine=engine,
        manifests=manifests,
        manifest=manifest,
        sources=found.sources,
        tally=tally,
    )


def _fill(engine: Engine, found: Found, cache: Cache | None) -> Tally:
    if cache is not None and (tally := cache.load(engine)) is not None:
        for source in found.sources:
            source.how = HowRead.CACHE
        return tally
    draft = cache.draft() if cache is not None else None
    if cache is not None and draft is not None:
        engine.on_close(partial(shutil.rmtree, draft, ignore_errors=True))
        with suppress(StoreError):  # beside the run there is no room, perhaps elsewhere
            tally = _read(engine, found.sources, draft)
            cache.save(draft, engine, tally)
            return tally
    try:
        return _read(engine, found.sources, engine.folder)
    except StoreError as error:
        msg = f"cannot keep the spans in {engine.folder.parent}: {error}; set TMPDIR to a folder with room"
        raise IngestError(msg) from None


def _read(engine: Engine, sources: list[Source], folder: Path) -> Tally:
    tally = Tally()
    for table in TABLES.values():  # an attempt to read them elsewhere may have gone before
        engine.detach(table.name)
        engine.execute(table.ddl)
    files = SpanFiles(folder, buckets_for(sum(source.text_bytes for source in sources)))
    Reader(engine, files, tally).read(sources)
    return tally


@dataclass(slots=True)
class Run:
    """An opened run; close it, or use it in a ``with`` statement."""

    path: Path
    engine: Engine
    """Holds the tables ``spans``, ``metrics`` and ``load``."""
    manifests: list[dict[str, Any]]
    manifest: MergedManifest
    """All manifests as one."""
    sources: list[Source]
    """The files that the rows came from, and how each was read."""
    tally: Tally = field(repr=False)

    @property
    def rejected(self) -> dict[str, int]:
        """How many records were refused, by reason."""
        return dict(self.tally.rejected)

    @property
    def read(self) -> dict[str, int]:
        """How many files, lines, spans, metric points and load lines were read."""
        return dict(self.tally.read)

    @property
    def damaged(self) -> bool:
        """So much was refused (more than 1 % of a kind of record) that results may mislead."""
        return self.tally.damaged

    def close(self) -> None:
        """Give back the tables' memory."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
