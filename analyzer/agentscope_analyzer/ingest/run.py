"""A run, opened: its tables, its manifests, and what was refused on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest.cache import Cache
from agentscope_analyzer.ingest.manifest import MergedManifest, merge, read_manifests
from agentscope_analyzer.ingest.reader import Reader
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit
from agentscope_analyzer.ingest.sources import Found, HowRead, Source, find_sources

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
    engine = Engine.in_memory(memory_limit=memory_limit, threads=threads)
    try:
        tally = _fill(engine, found, cache=cache)
        tally.read[Unit.FILES.value] += len(found.unreadable)
        tally.refuse(Reason.UNREADABLE_FILE, len(found.unreadable))
        manifests = read_manifests(found.manifests, tally)
    except BaseException:
        engine.close()
        raise
    return Run(
        path=Path(path),
        engine=engine,
        manifests=manifests,
        manifest=merge(manifests, tally),
        sources=found.sources,
        tally=tally,
    )


def _fill(engine: Engine, found: Found, *, cache: bool) -> Tally:
    parquet = Cache(found.folder, found.sources) if cache and found.folder is not None else None
    if parquet is not None and (tally := parquet.load(engine)) is not None:
        for source in found.sources:
            source.how = HowRead.CACHE
        return tally
    tally = Tally()
    Reader(engine, tally).read(found.sources)
    if parquet is not None:
        parquet.save(engine, tally)
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
