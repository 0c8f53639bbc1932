"""Answers that are kept: asked once for each state of a run's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentscope_analyzer.engine import Engine

FILE = "answers.msgpack"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return opened(tmp_path, 1)


def opened(folder: Path, value: float) -> Engine:
    """An engine whose only metric has this value, and that believes it was always so."""
    engine = Engine.in_memory(threads=1)
    engine.insert("metrics", {"name": ["m"], "value": [value], "attrs": [{"a": "b"}]})
    engine.remember(folder)
    return engine


SQL = "SELECT name, value, attrs, [1, NULL] AS list FROM metrics WHERE value > $least"


def test_a_question_is_asked_once(tmp_path: Path, engine: Engine) -> None:
    """The same text with the same parameters has the answer that it had, types included."""
    with engine:
        first = engine.query(SQL, least=0.5)
    assert first == [{"name": "m", "value": 1.0, "attrs": {"a": "b"}, "list": [1, None]}]
    with opened(tmp_path, 2) as later:
        assert later.query(SQL, least=0.5) == first
        assert later.query(SQL, least=1.5)[0]["value"] == 2.0
        assert later.query(SQL + " ", least=0.5)[0]["value"] == 2.0
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_an_answer_belongs_to_the_tables_that_were_prepared_for_it(
    tmp_path: Path, engine: Engine
) -> None:
    """A temporary table is made when a question needs it, and its text is part of the question."""

    def answer(engine: Engine, factor: int) -> float:
        sql = f"CREATE OR REPLACE TEMP TABLE more AS SELECT value * {factor} AS v FROM metrics"
        engine.query(sql)
        return float(engine.query("SELECT v FROM more")[0]["v"])

    with engine:
        assert [answer(engine, 2), answer(engine, 3)] == [2, 3]
        assert engine.rows("SELECT v FROM more") == [(3,)]
    with opened(tmp_path, 10) as later:
        assert [answer(later, 2), answer(later, 3)] == [2, 3]
        assert later.rows("SELECT v FROM more") == [(30,)]
        assert answer(later, 4) == 40


def test_a_changed_table_is_asked_anew(tmp_path: Path, engine: Engine) -> None:
    """What was kept holds for the tables as they were."""
    with engine:
        engine.query("SELECT count(*) AS n FROM metrics")
    with opened(tmp_path, 1) as later:
        assert later.query("SELECT count(*) AS n FROM metrics") == [{"n": 1}]
        later.insert("metrics", {"name": ["another"]})
        assert later.query("SELECT count(*) AS n FROM metrics") == [{"n": 2}]
    with opened(tmp_path, 1) as last:
        assert last.query("SELECT count(*) AS n FROM metrics") == [{"n": 1}]


def test_values_that_no_file_gives_back_are_asked_for_each_time(
    tmp_path: Path, engine: Engine
) -> None:
    """Decimals, times and integers beyond 64 bits come from the engine as what they are."""
    sql = "SELECT 1.5::DECIMAL(4, 2) AS d, DATE '2026-01-01' AS t, (2**70)::HUGEINT AS n, value FROM metrics"
    with engine:
        first = engine.query(sql)[0]
    with opened(tmp_path, 2) as later:
        second = later.query(sql)[0]
    assert (first["value"], second["value"]) == (1, 2)
    assert [(type(a), a) for a in list(first.values())[:3]] == [
        (type(b), b) for b in list(second.values())[:3]
    ]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_is_no_answer(tmp_path: Path, engine: Engine, damage: str) -> None:
    """Whatever is wrong with it, the answer is that of the tables, and is kept again."""
    with engine:
        engine.query(SQL, least=0.5)
    file = tmp_path / FILE
    data = file.read_bytes()
    flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    file.write_bytes({"flip": flipped, "cut": data[:-1], "empty": b"", "other": b"{}"}[damage])
    with opened(tmp_path, 2) as later:
        assert later.query(SQL, least=0.5)[0]["value"] == 2
    with opened(tmp_path, 3) as last:
        assert last.query(SQL, least=0.5)[0]["value"] == 2


def test_answers_that_cannot_be_kept_are_answers(tmp_path: Path) -> None:
    """The folder has gone: no complaint."""
    with opened(tmp_path / "gone", 1) as engine:
        assert engine.query(SQL, least=0.5)[0]["value"] == 1
    assert not (tmp_path / "gone").exists()
