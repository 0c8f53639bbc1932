"""SQLAlchemy on real databases: one span a statement whatever is below, and its pools."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc, pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import agentscope
from agentscope import conventions as c
from agentscope.testing import Recorded, RecordedSpan

NAME = "postgres@localhost"
HOLD_S = 0.04
DRIVERS = ("asyncpg", "psycopg_async")

SpansOf = Callable[[str], list[RecordedSpan]]
Statements = Callable[[], list[str]]
Gauges = Callable[[], dict[tuple[str, ...], float]]
AsMeasured = Callable[[list[float], list[float]], bool]
Counts = Callable[[c.Metric], dict[tuple[str, ...], int]]

MESSAGES = sa.Table(
    "messages", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("body", sa.String)
)
ROWS = [{"id": number, "body": "canary"} for number in range(3)]


def url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


def sync_engine(dsn: str, **options: Any) -> sa.Engine:
    return sa.create_engine(url(dsn, "psycopg"), **options)


def on_engine(
    dsn: str, driver: str, use: Callable[[AsyncEngine], Awaitable[None]], **options: Any
) -> None:
    """Run ``use`` in a turn, with an engine of asyncio."""

    async def main() -> None:
        engine = create_async_engine(url(dsn, driver), **options)
        with agentscope.turn("turn"):
            await use(engine)
        await engine.dispose()

    asyncio.run(main())


@pytest.mark.parametrize("driver", DRIVERS)
def test_one_span_a_statement(
    dsn: str, recorded: Recorded, driver: str, statements: Statements
) -> None:
    """Neither the driver's preparing of it nor its own hook adds one."""

    async def use(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(sa.insert(MESSAGES), ROWS)
            rows = await connection.execute(sa.select(MESSAGES).where(MESSAGES.c.id > 0))
            assert len(rows.all()) == 2
            await connection.execute(sa.delete(MESSAGES))

    on_engine(dsn, driver, use)
    assert statements() == ["INSERT messages", "SELECT messages", "DELETE messages", "COMMIT"]
    insert = recorded.span("INSERT messages")
    assert insert.kind == 3
    assert insert.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "messages",
        "db.query.summary": "INSERT messages",
        "db.operation.batch.size": 3,
        "db.client.connection.pool.name": NAME,
    }
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_synchronous_engine(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """The same; a savepoint is a statement."""
    engine = sync_engine(dsn)
    with agentscope.turn("turn"), engine.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
        with connection.begin_nested():
            connection.execute(sa.select(MESSAGES))
    engine.dispose()
    assert statements() == ["SELECT", "SAVEPOINT", "SELECT messages", "RELEASE", "COMMIT"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_three_holders_of_one_connection(
    dsn: str,
    recorded: Recorded,
    driver: str,
    spans_of: SpansOf,
    counts: Counts,
    as_measured: AsMeasured,
) -> None:
    """The first waits for its connecting, the second once, the third twice: as they measure."""
    waited: list[float] = []

    async def hold(engine: AsyncEngine) -> None:
        asked_s = time.monotonic()
        async with engine.connect():
            waited.append(time.monotonic() - asked_s)
            await asyncio.sleep(HOLD_S)

    async def use(engine: AsyncEngine) -> None:
        await hold(engine)  # connects
        waited.clear()
        await asyncio.gather(hold(engine), hold(engine), hold(engine))

    on_engine(dsn, driver, use, pool_size=1, max_overflow=0)
    waits = spans_of("wait db.pool")
    durations = sorted(span.duration_s for span in waits[-2:])
    assert as_measured(durations, sorted(waited)[1:])
    assert durations[0] > HOLD_S - 0.002
    assert durations[1] > 2 * HOLD_S - 0.002
    assert waits[-1].attributes == {
        "agentscope.wait.kind": "db.pool",
        "agentscope.wait.resource": NAME,
        "db.client.connection.pool.name": NAME,
    }
    assert counts(c.DB_WAIT_TIME) == counts(c.DB_USE_TIME) == {(NAME,): 4}


def test_threads_wait_too(
    dsn: str, recorded: Recorded, spans_of: SpansOf, as_measured: AsMeasured
) -> None:
    """A queue of threads is measured as one of tasks."""
    engine = sync_engine(dsn, pool_size=1, max_overflow=0)
    waited: list[float] = []

    def hold() -> None:
        asked_s = time.monotonic()
        with engine.connect():
            waited.append(time.monotonic() - asked_s)
            time.sleep(HOLD_S)

    with agentscope.turn("turn"):
        hold()
        waited.clear()
        threads = [threading.Thread(target=copy_context().run, args=(hold,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    engine.dispose()
    durations = sorted(span.duration_s for span in spans_of("wait db.pool")[-2:])
    assert as_measured(durations, sorted(waited)[1:])


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_pinned_during_a_call_of_a_model(
    dsn: str, recorded: Recorded, driver: str, spans_of: SpansOf
) -> None:
    """Though SQLAlchemy works in a greenlet, the event names the user's line."""

    @agentscope.llm_call
    async def ask() -> None:
        await asyncio.sleep(HOLD_S)

    async def use(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(0.02)"))
            await ask()

    on_engine(dsn, driver, use)
    (held,) = spans_of("db.connection.held")
    call = recorded.span("ask")
    assert held.start_s <= call.start_s
    assert held.start_s + held.duration_s >= call.start_s + call.duration_s
    assert held.parent_id == recorded.span("turn").span_id
    assert held.attributes["agentscope.db.connection.busy"] == pytest.approx(
        held.duration_s - call.duration_s, abs=0.015
    )
    assert held.attributes["code.function.name"] == f"{__name__}.{use.__qualname__}"
    assert held.attributes["db.client.connection.pool.name"] == NAME


def test_gauges_and_overflow(dsn: str, recorded: Recorded, gauges: Gauges, counts: Counts) -> None:
    """What is used beyond the connections that the pool keeps is its overflow."""
    engine = sync_engine(dsn, pool_size=1, max_overflow=1)
    with engine.connect(), engine.connect():
        assert gauges() == {
            ("count", NAME, "used"): 2,
            ("count", NAME, "idle"): 0,
            ("max", NAME): 2,
            ("idle.max", NAME): 1,
            ("pending_requests", NAME): 0,
        }
    assert gauges()["count", NAME, "used"] == 0
    engine.dispose()
    with engine.connect():
        assert gauges()["count", NAME, "used"] == 1, "the next pool has its name"
    engine.dispose()
    assert counts(c.DB_USE_TIME) == {(NAME,): 3}


def test_a_time_out_of_the_pool(dsn: str, recorded: Recorded, spans_of: SpansOf) -> None:
    """SQLAlchemy's own exception; who gave up has waited, and is counted."""
    engine = sync_engine(dsn, pool_size=1, max_overflow=0, pool_timeout=0.03)
    refused = pytest.raises(exc.TimeoutError, match="QueuePool limit of size 1")
    with agentscope.turn("turn"), engine.connect(), refused:
        engine.connect()
    engine.dispose()
    (wait,) = (span for span in spans_of("wait db.pool") if span.status == 2)
    assert wait.attributes["error.type"] == "sqlalchemy.exc.TimeoutError"
    assert recorded.value(c.DB_TIMEOUTS, NAME) == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_cancellation_while_waiting(
    dsn: str, recorded: Recorded, driver: str, gauges: Gauges
) -> None:
    """It goes through; the pool serves on."""

    async def use(engine: AsyncEngine) -> None:
        async def connect() -> None:
            async with engine.connect():
                pass

        async with engine.connect():
            task = asyncio.create_task(connect())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert gauges()["pending_requests", NAME] == 0
        async with asyncio.timeout(2):
            await connect()
        assert gauges()["count", NAME, "used"] == 0

    on_engine(dsn, driver, use, pool_size=1, max_overflow=0)


@pytest.mark.parametrize(
    "pool_class", [pool.NullPool, pool.StaticPool, pool.SingletonThreadPool, pool.QueuePool]
)
def test_every_kind_of_pool(
    recorded: Recorded, tmp_path: Path, pool_class: Any, statements: Statements, counts: Counts
) -> None:
    """Named after the file; a hold ends once, also where a connection is shared."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/chat.db", poolclass=pool_class)
    with agentscope.turn("turn"):
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (x)"))
        with engine.connect() as one, engine.connect() as other:
            one.execute(sa.text("SELECT x FROM t"))
            other.execute(sa.text("SELECT x FROM t"))
    engine.dispose()
    assert [name for name in statements() if name != "ROLLBACK"] == [
        "CREATE t",
        "COMMIT",
        "SELECT t",
        "SELECT t",
    ]
    assert {span.attributes.get("db.system.name") for span in recorded.spans} == {None, "sqlite"}
    shared = pool_class in (pool.StaticPool, pool.SingletonThreadPool)
    assert counts(c.DB_USE_TIME) == {("chat.db",): 2 if shared else 3}


def test_aiosqlite_below(recorded: Recorded, tmp_path: Path, statements: Statements) -> None:
    """One span a statement, though three libraries of ours are hooked one above the other."""

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/chat.db")
        with agentscope.turn("turn"):
            async with engine.begin() as connection:
                await connection.execute(sa.text("CREATE TABLE t (x)"))
                await connection.execute(sa.text("SELECT x FROM t"))
        await engine.dispose()

    asyncio.run(main())
    assert statements() == ["CREATE t", "SELECT t", "COMMIT"]


def test_a_failing_statement(dsn: str, recorded: Recorded) -> None:
    """The caller gets SQLAlchemy's exception; the span says its class and the server's code."""
    engine = sync_engine(dsn)
    refused = pytest.raises(exc.ProgrammingError, match="nothing")
    with agentscope.turn("turn"), engine.connect() as connection, refused:
        connection.execute(sa.text("SELECT * FROM nothing"))
    engine.dispose()
    span = recorded.span("SELECT nothing")
    assert span.attributes["error.type"] == "sqlalchemy.exc.ProgrammingError"
    assert span.attributes["db.response.status_code"] == "42P01"


def test_events_of_other_instrumentations_see_what_they_saw(dsn: str, recorded: Recorded) -> None:
    """Listeners to statements and pools are called as often, with what they are called with."""
    engine = sync_engine(dsn)
    seen: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    sa.event.listen(engine, "checkout", lambda *args: seen.append("checkout"))
    sa.event.listen(engine, "checkin", lambda *args: seen.append("checkin"))
    with agentscope.turn("turn"), engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    engine.dispose()
    assert seen == ["checkout", "SELECT 1", "checkin"]


def test_a_detached_connection_is_nobodys(
    dsn: str, recorded: Recorded, gauges: Gauges, counts: Counts
) -> None:
    """It is held no longer: the pool opens another in its place."""
    engine = sync_engine(dsn, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.detach()
        with engine.connect():
            assert gauges()["count", NAME, "used"] == 1
    engine.dispose()
    assert counts(c.DB_USE_TIME) == {(NAME,): 2}
