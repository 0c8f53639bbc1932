"""Attribution's tables, kept beside the spans that they were made from.

They belong to one state of the run (the sealed folder that they lie in) and to one state of the
code that made them: its text is part of their name.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from agentscope import conventions
from agentscope_analyzer.attribution.outcome import AttributionSummary
from agentscope_analyzer.attribution.plan import WRITTEN
from agentscope_analyzer.engine import Engine, Table
from agentscope_analyzer.engine.parquet import open_parquet
from agentscope_analyzer.engine.sealed import Damaged, seal, unseal
from agentscope_analyzer.sql import questions

__all__ = ["Kept"]

_PREFIX: Final = "attribution-"
_TOPICS: Final = ("attribution/", "llm/_")
"""The questions whose answers attribution uses."""
_BATCH_ROWS: Final = 122_880


class Kept:
    """Where the results for one run and this code are, or will be."""

    def __init__(self, entry: Path) -> None:
        self._entry = entry
        self._folder = entry / f"{_PREFIX}{_fingerprint()}"

    def load(self, engine: Engine) -> AttributionSummary | None:
        """Let the engine read the tables; None if they are not there, or not whole."""
        try:
            names, told = unseal(self._folder)
            summary = msgspec.convert(told, AttributionSummary)
            found = {table: self._paths(table, names) for table in WRITTEN}
        except (Damaged, OSError, msgspec.ValidationError, pa.ArrowException):
            return None
        for table, paths in found.items():
            engine.attach(table.name, table.columns, paths)
        engine.remember(self._folder)
        return summary

    def draft(self) -> Path | None:
        """A new private folder for the tables' files, None where there can be none."""
        try:
            return Path(tempfile.mkdtemp(prefix="draft-", dir=self._entry.parent))
        except OSError:
            return None

    def save(self, draft: Path, engine: Engine, summary: AttributionSummary) -> None:
        """Complete a draft and put it in its place; where that cannot be, nothing is kept."""
        try:
            for table in WRITTEN:
                if table.name not in engine.files:
                    _write(engine, table, draft)
            seal(draft, asdict(summary))
            if not self._is_whole():  # else somebody was faster, and may be reading it
                for older in self._entry.glob(f"{_PREFIX}*"):
                    shutil.rmtree(older, ignore_errors=True)
                draft.rename(self._folder)
        except OSError:
            return
        for table in WRITTEN:
            paths = engine.files.get(table.name, ())
            if paths and paths[0].parent == draft:
                moved = [self._folder / path.name for path in paths]
                engine.attach(table.name, table.columns, moved)
        engine.remember(self._folder)

    def _is_whole(self) -> bool:
        try:
            unseal(self._folder)
        except (Damaged, OSError):
            return False
        return True

    def _paths(self, table: Table, names: tuple[str, ...]) -> list[Path]:
        paths = [self._folder / name for name in names if name.startswith(f"{table.name}-")]
        if not paths or any(not pq.read_schema(path).equals(table.arrow) for path in paths):
            raise Damaged(self._folder)
        return paths


def _write(engine: Engine, table: Table, draft: Path) -> None:
    for older in draft.glob(f"{table.name}-*"):  # rows as they were before they were changed
        older.unlink()
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    with open_parquet(draft / f"{table.name}-all.parquet", table.arrow) as writer:
        for batch in engine.batches(f"SELECT {columns} FROM {table.name}", _BATCH_ROWS):
            writer.write_batch(batch.cast(table.arrow))


@cache
def _fingerprint() -> str:
    """Of everything that attribution's results depend on but the run."""
    text = hashlib.sha256(Path(conventions.__file__).read_bytes())
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            text.update(file.read_bytes())
    for question_id, question in sorted(questions().items()):
        if question_id.startswith(_TOPICS):
            text.update(question.body.encode())
    return text.hexdigest()[:16]
