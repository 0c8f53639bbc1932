"""What the hooks of databases replace, put back, and leave alone; beside other instrumentations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
import psycopg_pool
import pytest
import redis
import redis.asyncio
import sqlalchemy as sa
import wrapt

import agentscope
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.clients.pools import MAX_NAMED
from agentscope.clients.queries import status_code
from agentscope.testing import Recorded

DATABASES = ("aiosqlite", "asyncpg", "psycopg", "psycopg_pool", "redis", "sqlalchemy", "sqlite3")

METHODS: list[tuple[Any, str]] = [
    (aiosqlite.Connection, "_execute"),
    (asyncpg.Connection, "fetch"),
    (asyncpg.pool.Pool, "_acquire"),
    (psycopg.Cursor.__mro__[1], "_execute_gen"),
    (psycopg.Cursor, "executemany"),
    (psycopg_pool.ConnectionPool, "getconn"),
    (psycopg_pool.AsyncConnectionPool, "putconn"),
    (redis.ConnectionPool, "get_connection"),
    (redis.asyncio.BlockingConnectionPool, "release"),
    (redis.asyncio.client.Pipeline, "_execute_pipeline"),
    (sa.Connection, "_exec_single_context"),
    (sa.Engine, "raw_connection"),
    (sa.pool.SingletonThreadPool, "connect"),
    (sqlite3, "connect"),
    (sqlite3.dbapi2, "connect"),
]

Statements = Callable[[], list[str]]


def methods() -> list[Any]:
    return [vars(owner)[name] for owner, name in METHODS]


@pytest.fixture
def _taken_back() -> Iterator[None]:
    yield
    uninstrument_clients()


@pytest.mark.usefixtures("_taken_back")
def test_everything_is_put_back() -> None:
    """Hooking replaces every method, once; unhooking puts the same objects back."""
    originals = methods()
    assert instrument_clients(DATABASES) == list(DATABASES)
    hooked = methods()
    instrument_clients(DATABASES)
    assert all(now is then for now, then in zip(methods(), hooked, strict=True))
    assert all(now is not then for now, then in zip(hooked, originals, strict=True))
    uninstrument_clients()
    assert all(now is then for now, then in zip(methods(), originals, strict=True))


@pytest.mark.parametrize("theirs_first", [True, False])
def test_beside_another_instrumentation(
    dsn: str, theirs_first: bool, statements: Statements, recorded: Recorded
) -> None:
    """Wherever it stands, above ours or below, it sees each statement once, and so do we."""
    seen: list[str] = []

    class Traced(psycopg.Cursor[Any]):
        """As OpenTelemetry's instrumentation of psycopg: a class of cursors of its own."""

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            seen.append("execute")
            return super().execute(*args, **kwargs)

    def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append("sqlite")
        return wrapped(*args, **kwargs)

    if theirs_first:
        uninstrument_clients()
    original = sqlite3.dbapi2.connect
    sqlite3.dbapi2.connect = wrapt.FunctionWrapper(original, around)  # as its one of DB-API modules
    instrument_clients(DATABASES)
    try:
        with psycopg.connect(dsn, cursor_factory=Traced) as connection, agentscope.turn("turn"):
            connection.execute("SELECT 1")
            engine = sa.create_engine("sqlite://")
            with engine.connect() as other:
                other.execute(sa.text("SELECT 2"))
            engine.dispose()
    finally:
        uninstrument_clients()
        sqlite3.dbapi2.connect = original
        uninstrument_clients()
    assert seen == ["execute", "sqlite"]
    assert [name for name in statements() if name != "ROLLBACK"] == ["SELECT", "SELECT"]


def test_an_engine_for_every_call(
    recorded: Recorded, tmp_path: Path, gauges: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    """Pools of the same name are numbered up to a bound; those beyond add up."""
    engines = [sa.create_engine(f"sqlite:///{tmp_path}/chat.db") for _ in range(MAX_NAMED + 3)]
    connections = [engine.connect() for engine in engines]
    used = {labels[1]: n for labels, n in gauges().items() if labels[0::2] == ("count", "used")}
    assert len(used) == MAX_NAMED + 1
    assert (used["chat.db"], used["chat.db#32"], used["other"]) == (1, 1, 3)
    for connection, engine in zip(connections, engines, strict=True):
        connection.close()
        engine.dispose()


def test_the_databases_own_code_of_a_failure() -> None:
    """From the driver's exception, or from the one that SQLAlchemy wraps; else none."""
    driver = psycopg.errors.DeadlockDetected()
    assert status_code(driver) == "40P01"
    assert status_code(sa.exc.OperationalError("statement", {}, driver)) == "40P01"
    assert status_code(ValueError()) == ""
