"""The headers of the SQL questions say what the questions really read and answer."""

import re
from collections.abc import Iterator

import duckdb
import pytest

from agentscope_analyzer.attribution.tables import BOUNDS, SECTIONS, SWEEP_SPANS, TURNS
from agentscope_analyzer.engine import TABLES
from agentscope_analyzer.sql import HeaderError, Question, ask, expanded, parse, questions


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        for table in (*TABLES.values(), TURNS, SECTIONS, BOUNDS, SWEEP_SPANS):
            opened.execute(table.ddl)
        yield opened


def bound(question: Question, sql: str) -> str:
    for param in question.params:
        sql = sql.replace(f"${param.name}", f"CAST(NULL AS {param.type})")
    return sql


@pytest.mark.parametrize("question", questions().values(), ids=lambda question: question.id)
def test_a_header_names_the_true_columns_and_their_types(
    question: Question, connection: duckdb.DuckDBPyConnection
) -> None:
    """@column lists what the question answers, in order, with DuckDB's types."""
    described = connection.execute(f"DESCRIBE {bound(question, expanded(question))}").fetchall()
    assert [(c.name, c.type) for c in question.columns] == [(row[0], row[1]) for row in described]


@pytest.mark.parametrize("question", questions().values(), ids=lambda question: question.id)
def test_a_header_names_the_tables_that_are_read(
    question: Question, connection: duckdb.DuckDBPyConnection
) -> None:
    """@reads lists the tables and helpers of the question itself, all of them and no others."""
    helpers = {q.table for q in questions().values() if q.is_helper}
    stubs = "".join(
        f"{'WITH ' if i == 0 else ', '}{name} AS (SELECT 1 FROM {name}_table)"
        for i, name in enumerate(sorted(helpers))
    )
    body = bound(question, question.body)
    text = f"{stubs}, {body[5:]}" if body.startswith("WITH ") else f"{stubs} {body}"
    read = {name.removesuffix("_table") for name in connection.get_table_names(text)}
    mentioned = {name for name in helpers if f" {name}" in body}
    assert set(question.reads) == (read - helpers) | mentioned


@pytest.mark.parametrize("question", questions().values(), ids=lambda question: question.id)
def test_parameters_in_the_header_are_those_in_the_text(question: Question) -> None:
    """Every @param is used, and nothing else is asked for."""
    assert {p.name for p in question.params} == set(re.findall(r"\$(\w+)", question.body))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1", "the first line of the header must be a sentence"),
        ("-- What\n-- @reads spans\nSELECT 1", "the first line of the header must be a sentence"),
        ("-- What?\n-- @column a BIGINT  b\nSELECT 1", "the header needs @reads"),
        ("-- What?\n-- @reads spans\n-- @column a\nSELECT 1", "cannot read 'a'"),
        ("-- What?\n-- @writes spans\nSELECT 1", "@writes is none of @reads, @param, @column"),
    ],
)
def test_an_incomplete_header_is_refused(text: str, complaint: str) -> None:
    """A question without a sentence, its tables or its columns cannot be loaded."""
    with pytest.raises(HeaderError, match=complaint):
        parse("topic/question", text)


class Echo:
    def query(self, sql: str, /, **params: object) -> list[dict[str, object]]:
        return [params]


def test_parameters_take_their_defaults_and_unknown_ones_are_refused() -> None:
    """A parameter is the given value, else the header's default; a typing mistake is loud."""
    assert ask(Echo(), "turns/exemplars") == [{"top": 3}]
    assert ask(Echo(), "turns/exemplars", top=1) == [{"top": 1}]
    with pytest.raises(TypeError, match=r"unknown parameters \['topp'\]"):
        ask(Echo(), "turns/exemplars", topp=1)
    with pytest.raises(TypeError, match=r"missing \['cause'\]"):
        ask(Echo(), "turns/cause_times")
