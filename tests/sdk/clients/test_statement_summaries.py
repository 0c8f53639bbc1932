"""What is said of a SQL statement: what it does, to which table, and nothing of its values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.clients.statements import summarize


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT * FROM messages WHERE id = $1", "SELECT messages"),
        ("  select id\nfrom only public.messages m", "SELECT public.messages"),
        ('SELECT "a" FROM "Order Lines"', "SELECT Order Lines"),
        ("-- from elsewhere\n/* FROM other */ SELECT 1 FROM t;SELECT 2 FROM u", "SELECT t"),
        ("SELECT 1", "SELECT"),
        ("SELECT 'x FROM secret', extract(epoch FROM now()) FROM t", "SELECT t"),
        (r"SELECT E'it\'s FROM secret' FROM t", "SELECT t"),
        ("SELECT $tag$ FROM secret $tag$ FROM t", "SELECT t"),
        ("SELECT * FROM (SELECT * FROM inner_one) AS x", "SELECT"),
        ("SELECT * FROM generate_series(1, 3)", "SELECT"),
        ("SELECT * FROM a JOIN b ON a.id = b.id", "SELECT a"),
        ("INSERT INTO messages (id, body) VALUES ($1, 'secret')", "INSERT messages"),
        ("UPDATE messages SET body = 'secret'", "UPDATE messages"),
        ("DELETE FROM messages", "DELETE messages"),
        ("MERGE INTO stock USING s ON true WHEN MATCHED THEN DELETE", "MERGE stock"),
        ("WITH old AS (SELECT * FROM a) DELETE FROM b USING old", "DELETE b"),
        ("WITH RECURSIVE t(n) AS (VALUES (1)) SELECT n FROM t", "SELECT t"),
        ("CREATE TABLE IF NOT EXISTS messages (id int)", "CREATE messages"),
        ("CREATE INDEX ON messages (id)", "CREATE"),
        ("DROP TABLE messages", "DROP messages"),
        ("TRUNCATE TABLE messages", "TRUNCATE messages"),
        ("BEGIN;", "BEGIN"),
        ("COMMIT;", "COMMIT"),
        ("SELECT FROM", "SELECT"),
        ("secret", ""),
        ("", ""),
        ("SELECT * FROM 'secret'", "SELECT"),
        (None, ""),
    ],
)
def test_summaries(statement: object, summary: str) -> None:
    """Operation and main table, where they are plain."""
    assert summarize(statement).text == summary


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No statement makes it fail, and what it says is short."""
    assert len(summarize(text).text) < 256
    assert len(summarize(f"SELECT * FROM {text}").text) < 256


def test_a_huge_statement_is_read_in_part() -> None:
    """Reading is bounded."""
    assert summarize("SELECT * FROM t WHERE x IN (" + "1," * 1_000_000).text == "SELECT t"
