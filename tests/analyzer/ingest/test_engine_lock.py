"""The engine computes on what it is given and reaches nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.ingest import insert_load, insert_metrics, insert_spans

ESCAPES = [
    "SELECT * FROM read_text('{path}')",
    "SELECT * FROM '{path}'",
    "SELECT * FROM sniff_csv('{path}')",
    "SELECT * FROM glob('/*')",
    "COPY (SELECT 1) TO '{path}.out'",
    "ATTACH '{path}.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '1TB'",
    "SELECT getenv('HOME')",
    "SELECT * FROM outside",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_statement_reaches_outside(tmp_path: Path, escape: str) -> None:
    """Files, network, extensions, settings, the environment and Python's variables are closed."""
    outside = pa.table({"a": [1]})
    path = tmp_path / "secret.csv"
    path.write_text("a,b\n1,2\n")
    with Engine.in_memory() as engine, pytest.raises(duckdb.Error):
        engine.execute(escape.format(path=path))
    assert len(outside) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.csv"]


def test_the_tables_are_those_of_the_schema() -> None:
    """What DuckDB made is what the records say, column by column."""
    with Engine.in_memory() as engine:
        for table in TABLES.values():
            made = engine.rows(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = $name",
                name=table.name,
            )
            assert made == [(column.name, column.type) for column in table.columns]
            assert engine.arrow(f"SELECT * FROM {table.name}").schema.equals(table.arrow)


def test_rows_go_in_by_column_and_come_out_by_name() -> None:
    """Maps are dicts, lists are lists, what is left out is NULL."""
    with Engine.in_memory() as engine:
        point = {"name": ["m"], "attrs": [{"a": "1", "$.b": "2"}], "bounds": [[0.5]]}
        assert engine.insert("metrics", point) == 1
        assert engine.query(
            "SELECT name, attrs[$key] AS b, bounds, value FROM metrics", key="$.b"
        ) == [{"name": "m", "b": "2", "bounds": [0.5], "value": None}]


def test_a_wrong_column_is_named() -> None:
    """The message says what there is."""
    with Engine.in_memory() as engine:
        with pytest.raises(ValueError, match="table load has no column 'nam'; it has t_intended"):
            engine.insert("load", {"nam": ["x"]})
        with pytest.raises(ValueError, match="there is no table 'nothing'"):
            engine.insert("nothing", {"a": [1]})
        with pytest.raises(pa.ArrowException):
            engine.insert("load", {"turn": ["many"]})


def test_more_than_the_memory_limit_spills() -> None:
    """A limit is no failure: what does not fit goes to the private directory."""
    with Engine.in_memory(memory_limit="60MB", threads=1) as engine:
        engine.execute("CREATE TABLE big AS SELECT md5(range::VARCHAR) AS text FROM range(1500000)")
        assert engine.rows("SELECT count(DISTINCT text) FROM big") == [(1_500_000,)]


def test_rows_written_by_hand() -> None:
    """Small integers become ids, the rest gets plain defaults."""
    with Engine.in_memory() as engine:
        insert_spans(
            engine,
            [
                {"start_ns": 0, "end_ns": 9},
                {"parent_id": 1, "start_ns": 1, "end_ns": 2, "phase": "p"},
            ],
        )
        insert_metrics(engine, [{"name": "m", "time_ns": 1, "value": 2}])
        insert_load(engine, [{"t_start": 1, "duration_s": 2}])
        assert engine.rows("SELECT span_id, parent_id, kind, phase FROM spans") == [
            (f"{1:016x}", "", "INTERNAL", None),
            (f"{2:016x}", f"{1:016x}", "INTERNAL", "p"),
        ]
        assert engine.rows("SELECT name, kind, value FROM metrics") == [("m", "gauge", 2.0)]
        assert engine.rows("SELECT t_start, status FROM load") == [(1.0, None)]
