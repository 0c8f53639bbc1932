"""DuckDB, locked: it computes on the rows we hand to it and touches nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from agentscope_analyzer.engine.schema import TABLES, arrow_type

__all__ = ["Engine"]

_INCOMING = "agentscope_incoming"

# In this order: the last one forbids every further SET.
_LOCKS = (
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
    in through ``insert`` and ``load`` alone. SQL parameters are written ``$name``. Not for use by
    several threads at a time.

    >>> with Engine.in_memory() as engine:
    ...     engine.insert("metrics", {"name": ["cpu"], "value": [0.5]})
    ...     engine.query("SELECT name, value FROM metrics WHERE value < $limit", limit=1.0)
    1
    [{'name': 'cpu', 'value': 0.5}]
    """

    def __init__(self, memory_limit: str, threads: int) -> None:
        # What does not fit into memory_limit is spilled here; mkdtemp makes it ours alone (0700).
        self._spill = tempfile.TemporaryDirectory(prefix="agentscope-")
        self._connection = duckdb.connect(":memory:", config={"threads": threads})
        self._connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
        self._connection.execute("SET temp_directory = $path", {"path": self._spill.name})
        for statement in _LOCKS:
            self._connection.execute(statement)
        for table in TABLES.values():
            self._connection.execute(table.ddl)

    @classmethod
    def in_memory(cls, *, memory_limit: str = "2GB", threads: int | None = None) -> Engine:
        """An engine with the canonical tables, empty; ``threads`` defaults to the usable cores."""
        return cls(memory_limit, threads or _usable_cores())

    def query(self, sql: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of a query as dicts, by column name."""
        cursor = self._connection.execute(sql, params)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def rows(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """The rows of a query as tuples."""
        return self._connection.execute(sql, params).fetchall()

    def arrow(self, sql: str, /, **params: Any) -> pa.Table:
        """The rows of a query as an Arrow table: the way to numpy without a loop."""
        return self._connection.sql(sql, params=params or None).to_arrow_table()

    def batches(self, sql: str, /, batch_rows: int = 100_000) -> pa.RecordBatchReader:
        """The rows of a query as a stream of Arrow batches, never all of them in memory."""
        return self._connection.sql(sql).to_arrow_reader(batch_rows)

    def execute(self, sql: str, /, **params: Any) -> None:
        """Run a statement that gives no rows."""
        self._connection.execute(sql, params).fetchall()

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

    def close(self) -> None:
        """Give back memory and the spill directory; may be called twice."""
        self._connection.close()
        self._spill.cleanup()

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


def _usable_cores() -> int:
    if sys.platform == "linux":  # elsewhere there is no affinity mask to ask for
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    if pa.types.is_map(kind):
        values = [list(v.items()) if isinstance(v, Mapping) else v for v in values]
    return pa.array(values, type=kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
