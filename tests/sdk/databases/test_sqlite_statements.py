"""sqlite3 and aiosqlite on real files: statements, locks, and the queue of a connection's thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

import agentscope
from agentscope.clients import uninstrument_clients
from agentscope.testing import Recorded, RecordedSpan

SpansOf = Callable[[str], list[RecordedSpan]]
Statements = Callable[[], list[str]]
AsMeasured = Callable[[list[float], list[float]], bool]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a table."""
    path = tmp_path / "chat.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT)")
    return path


def test_statements(path: Path, recorded: Recorded, statements: Statements) -> None:
    """One span a call, named by what it does; transactions that end nothing have none."""
    with contextlib.closing(sqlite3.connect(path)) as connection, agentscope.turn("turn"):
        connection.commit()
        connection.execute("INSERT INTO messages VALUES (?, ?)", (1, "canary"))
        connection.executemany("INSERT INTO messages VALUES (?, ?)", [(2, "canary"), (3, "x")])
        connection.commit()
        cursor = connection.cursor()
        assert len(cursor.execute("SELECT * FROM messages").fetchall()) == 3
        with connection:
            cursor.execute("DELETE FROM messages")
        with contextlib.suppress(ZeroDivisionError), connection:
            cursor.execute("REPLACE INTO messages VALUES (1, 'canary')")
            raise ZeroDivisionError
        connection.executescript("PRAGMA user_version; SELECT 1")
    assert statements() == [
        "INSERT messages",
        "INSERT messages",
        "COMMIT",
        "SELECT messages",
        "DELETE messages",
        "COMMIT",
        "REPLACE messages",
        "ROLLBACK",
        "PRAGMA",
    ]
    one, many = (span for span in recorded.spans if span.name == "INSERT messages")
    assert one.attributes == {
        "db.system.name": "sqlite",
        "db.operation.name": "INSERT",
        "db.collection.name": "messages",
        "db.query.summary": "INSERT messages",
    }
    assert many.attributes["db.operation.batch.size"] == 2
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_locked_database(path: Path, recorded: Recorded) -> None:
    """The wait for another's lock is part of the statement, and says that it was in vain."""
    with (
        contextlib.closing(sqlite3.connect(path)) as other,
        contextlib.closing(sqlite3.connect(path, timeout=0.05)) as connection,
        agentscope.turn("turn"),
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("INSERT INTO messages VALUES (1, 'x')")
    span = recorded.span("INSERT messages")
    assert span.attributes["error.type"] == "sqlite3.OperationalError"
    assert span.attributes["db.response.status_code"] == "SQLITE_BUSY"
    assert span.duration_s >= 0.04


def test_a_connection_is_what_it_was(path: Path, recorded: Recorded) -> None:
    """Of its class, with its own errors; a class that the user asked for stays his."""

    class Own(sqlite3.Connection):
        pass

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert isinstance(connection, sqlite3.Connection)
        assert isinstance(connection.cursor(), sqlite3.Cursor)
        assert repr(connection).startswith("<sqlite3.Connection object at")
        connection.row_factory = sqlite3.Row
        assert connection.execute("SELECT 1 AS one").fetchone()["one"] == 1
        with pytest.raises(TypeError, match="expected at least 1 argument, got 0"):
            connection.execute()  # type: ignore[call-arg]  # as a user might
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            connection.execute("SELECT * FROM nobody")
    with contextlib.closing(sqlite3.connect(path, factory=Own)) as own:
        assert type(own) is Own
        assert type(own.cursor()) is sqlite3.Cursor


def test_a_connection_outlives_the_hooks(path: Path, recorded: Recorded) -> None:
    """Made while they were there, it works without them, and has no spans."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        uninstrument_clients()
        with agentscope.turn("turn"), connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        assert type(plain) is sqlite3.Connection
    assert [span.name for span in recorded.spans] == ["turn"]


def test_rows_that_are_computed_when_fetched(
    path: Path, recorded: Recorded, as_measured: AsMeasured
) -> None:
    """Fetching has a span where it took a millisecond."""
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) SELECT i FROM n"
    )
    with contextlib.closing(sqlite3.connect(path)) as connection, agentscope.turn("turn"):
        cursor = connection.execute(query)
        start_s = time.monotonic()
        rows = cursor.fetchall()
        taken_s = time.monotonic() - start_s
        connection.execute("SELECT 1").fetchall()
    fetch = recorded.span("FETCH")
    assert len(rows) == 9999
    assert as_measured([fetch.duration_s], [taken_s])


# --- aiosqlite ----------------------------------------------------------------------------------


def test_asynchronous_statements(path: Path, recorded: Recorded, statements: Statements) -> None:
    """One span a call, though two libraries of ours are hooked one above the other."""

    async def main() -> None:
        async with aiosqlite.connect(path) as connection:
            with agentscope.turn("turn"):
                await connection.execute("INSERT INTO messages VALUES (?, ?)", (1, "canary"))
                await connection.executemany("INSERT INTO messages VALUES (?, ?)", [(2, "x")])
                await connection.commit()
                await connection.commit()
                async with connection.execute("SELECT * FROM messages") as cursor:
                    assert len([row async for row in cursor]) == 2
                rows = await connection.execute_fetchall("SELECT body FROM messages")
                assert len(list(rows)) == 2

    asyncio.run(main())
    assert [name for name in statements() if name != "FETCH"] == [
        "INSERT messages",
        "INSERT messages",
        "COMMIT",
        "SELECT messages",
        "SELECT messages",
    ]
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_three_callers_of_one_connection(path: Path, recorded: Recorded, spans_of: SpansOf) -> None:
    """A call waits while its connection's thread is at work on the ones before it."""

    async def main() -> None:
        async with aiosqlite.connect(path) as connection:
            await connection.create_function("pause", 0, lambda: time.sleep(0.04))
            with agentscope.turn("turn"):
                asks = (connection.execute_fetchall("SELECT pause()") for _ in range(3))
                await asyncio.gather(*asks)

    asyncio.run(main())
    selects, waits = spans_of("SELECT"), spans_of("wait db.pool")
    took = [span.duration_s for span in selects]
    assert len(took) == 3
    assert min(took) >= 0.04
    durations = sorted(span.duration_s for span in waits)[-2:]
    assert durations == pytest.approx([took[0], took[0] + took[1]], abs=0.01)
    assert waits[-1].attributes == {
        "agentscope.wait.kind": "db.pool",
        "agentscope.wait.resource": "chat.db",
        "db.client.connection.pool.name": "chat.db",
    }
    for before, after in itertools.pairwise(selects):
        assert after.start_s >= before.start_s + before.duration_s


def test_cancellation_while_queued(path: Path, recorded: Recorded, spans_of: SpansOf) -> None:
    """It goes through; what was given up before it ran has waited and has not run."""
    begun = threading.Event()

    def pause() -> None:
        begun.set()
        time.sleep(0.05)

    async def main() -> None:
        async with aiosqlite.connect(path) as connection:
            await connection.create_function("pause", 0, pause)
            with agentscope.turn("turn"):
                running = asyncio.create_task(connection.execute_fetchall("SELECT pause()"))
                await asyncio.to_thread(begun.wait)
                queued: asyncio.Task[Any] = asyncio.create_task(
                    connection.execute_fetchall("SELECT 2")
                )
                await asyncio.sleep(0.01)
                queued.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await queued
                await running
                assert list(await connection.execute_fetchall("SELECT 3")) == [(3,)]

    asyncio.run(main())
    assert len(spans_of("SELECT")) == 2
    assert max(span.duration_s for span in spans_of("wait db.pool")) < 0.05
