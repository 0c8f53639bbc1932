"""DuckDB, locked: it computes on the rows we hand to it and touches nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from agentscope_analyzer.engine.answers import Answers
from agentscope_analyzer.engine.schema import TABLES, Column, Table, arrow_type

__all__ = ["Engine", "usable_cores"]

_INCOMING = "agentscope_incoming"
_CHUNK_ROWS = 1 << 20

# In this order: the last one forbids every further SET.
_LOCKS = (
    "SET enable_progress_bar = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class Engine:
    """An embedded DuckDB that holds the canonical tables of one run.

    Files, network, extensions and settings are closed off from its first statement on: data comes
    in through ``insert`` and ``load``, or stays in Parquet files that ``attach`` names, of its own
    ``folder`` and of ``readable`` alone. SQL parameters are written ``$name``. Not for use by
    several threads at a time.

    >>> with Engine.in_memory() as engine:
    ...     engine.insert("metrics", {"name": ["cpu"], "value": [0.5]})
    ...     engine.query("SELECT name, value FROM metrics WHERE value < $limit", limit=1.0)
    1
    [{'name': 'cpu', 'value': 0.5}]
    """

    def __init__(self, memory_limit: str, threads: int, readable: Path | None) -> None:
        self._closing = ExitStack()
        # What does not fit into memory_limit is spilled here; mkdtemp makes it ours alone (0700).
        spill = tempfile.TemporaryDirectory(prefix="agentscope-")
        self._closing.callback(spill.cleanup)
        self.folder = Path(spill.name).resolve()
        """A private folder, removed on closing."""
        self.memory_limit, self.threads = memory_limit, threads
        self.files: dict[str, tuple[Path, ...]] = {}
        """The Parquet files of the tables that are read from files."""
        self.kept: Path | None = None
        """A sealed folder that the tables were read from; what follows from them may be kept in it."""
        self._answers: Answers | None = None
        self._connection = duckdb.connect(":memory:", config={"threads": threads})
        self._connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
        self._connection.execute("SET temp_directory = $path", {"path": str(self.folder)})
        # A large run's files say where each column lies in megabytes, which every question needs.
        self._connection.execute("SET parquet_metadata_cache = true")
        folders = [str(self.folder), *([str(readable.resolve())] if readable is not None else [])]
        self._connection.execute("SET allowed_directories = $folders", {"folders": folders})
        for statement in _LOCKS:
            self._connection.execute(statement)
        for table in TABLES.values():
            self._connection.execute(table.ddl)

    @classmethod
    def in_memory(
        cls,
        *,
        memory_limit: str = "2GB",
        threads: int | None = None,
        readable: Path | None = None,
    ) -> Engine:
        """An engine with the canonical tables, empty; ``threads`` defaults to the usable cores."""
        return cls(memory_limit, threads or usable_cores(), readable)

    def query(self, sql: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of a query as dicts, by column name."""
        if self._answers is not None:
            return self._answers.of(sql, params, self._query)
        return self._query(sql, params)

    def rows(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """The rows of a query as tuples."""
        self._prepare()
        return self._connection.execute(sql, params).fetchall()

    def arrow(self, sql: str, /, **params: Any) -> pa.Table:
        """The rows of a query as an Arrow table: the way to numpy without a loop.

        Up to a million of them are one chunk of memory.
        """
        self._prepare()
        return self._connection.sql(sql, params=params or None).to_arrow_table(_CHUNK_ROWS)

    def batches(self, sql: str, /, batch_rows: int = 100_000) -> pa.RecordBatchReader:
        """The rows of a query as a stream of Arrow batches, never all of them in memory."""
        self._prepare()
        return self._connection.sql(sql).to_arrow_reader(batch_rows)

    def execute(self, sql: str, /, **params: Any) -> None:
        """Run a statement that gives no rows."""
        self.forget()
        self._connection.execute(sql, params).fetchall()

    def remember(self, folder: Path) -> None:
        """Take ``query``'s answers from a folder that stands for the tables as they are now.

        New answers are kept there on closing. Any change of a table but a temporary one ends this.
        """
        self._answers = Answers(folder)

    def forget(self) -> None:
        """Ask anew from now on."""
        self._prepare()
        if self._answers is not None:
            self._answers.save()
            self._answers = None

    def _prepare(self) -> None:
        if self._answers is not None:
            self._answers.prepare(self._query)

    def _query(self, sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        cursor = self._connection.execute(sql, params)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> int:
        """Append rows given as columns; columns left out are NULL. Returns how many rows.

        Values of a MAP column are dicts (or lists of pairs). Raises ValueError for a table or
        column that does not exist, and pyarrow.ArrowInvalid for a value of the wrong type.
        """
        types = self._types(table)
        unknown = sorted(set(columns) - set(types))
        if unknown:
            msg = f"table {table} has no column {unknown[0]!r}; it has {', '.join(types)}"
            raise ValueError(msg)
        arrays = {name: _array(values, arrow_type(types[name])) for name, values in columns.items()}
        return self.load(table, pa.table(arrays))

    def load(self, table: str, rows: pa.Table) -> int:
        """Append the rows of an Arrow table, by column name; returns how many rows."""
        names = ", ".join(_quoted(name) for name in rows.column_names)
        self._connection.register(_INCOMING, rows)
        try:
            self.execute(f"INSERT INTO {_quoted(table)} ({names}) SELECT {names} FROM {_INCOMING}")
        finally:
            self._connection.unregister(_INCOMING)
        return int(rows.num_rows)

    def attach(self, table: str, columns: Sequence[Column], files: Sequence[Path]) -> None:
        """Let a table be read from Parquet files, in place of the rows that it held.

        Whoever names the files has made them, or has proved that they are unchanged.
        """
        self.detach(table)
        self.files[table] = tuple(path.resolve() for path in files)
        names = ", ".join(_quoted(column.name) for column in columns)
        listed = ", ".join(_text(str(path)) for path in self.files[table])
        self.execute(
            f"CREATE VIEW {_quoted(table)} AS SELECT {names} FROM read_parquet([{listed}])"
        )

    def detach(self, table: str) -> None:
        """Drop a table, whether it was read from files or held rows."""
        kind = "VIEW" if self.files.pop(table, None) is not None else "TABLE"
        self.execute(f"DROP {kind} IF EXISTS {_quoted(table)}")

    def hold(self, table: Table) -> None:
        """Take the rows of a table that is read from files into it, so that they can be changed."""
        if table.name in self.files:
            held = _quoted(f"{table.name} held")
            names = ", ".join(_quoted(column.name) for column in table.columns)
            self.execute(f"CREATE TABLE {held} AS SELECT {names} FROM {_quoted(table.name)}")
            self.detach(table.name)
            self.execute(f"ALTER TABLE {held} RENAME TO {_quoted(table.name)}")

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have something done when the engine is closed."""
        self._closing.callback(callback)

    def close(self) -> None:
        """Give back memory and the spill directory; may be called twice."""
        if self._answers is not None:
            self._answers.save()
            self._answers = None
        self._connection.close()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _types(self, table: str) -> dict[str, str]:
        types = dict(
            self.rows(
                "SELECT column_name, data_type FROM duckdb_columns() "
                "WHERE table_name = $table ORDER BY column_index",
                table=table,
            )
        )
        if not types:
            msg = f"there is no table {table!r}"
            raise ValueError(msg)
        return types


def usable_cores() -> int:
    """How many processors this process may use."""
    if sys.platform == "linux":  # elsewhere there is no affinity mask to ask for
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    if pa.types.is_map(kind):
        values = [list(v.items()) if isinstance(v, Mapping) else v for v in values]
    return pa.array(values, type=kind)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
