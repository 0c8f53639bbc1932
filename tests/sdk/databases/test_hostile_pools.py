"""Pools under services that close, cancel, kill and forget: nothing of ours is left, nothing changed."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import pytest
import sqlalchemy as sa

import agentscope
from agentscope import conventions as c
from agentscope.clients import pools
from agentscope.testing import Recorded, RecordedSpan

SpansOf = Callable[[str], list[RecordedSpan]]


@pytest.fixture(autouse=True)
def _nothing_left(recorded: Recorded) -> Any:
    """Whatever happened, nobody waits for a connection any more, and no span is open."""
    yield
    assert [record.label for record in pools._pools if record.waiting] == []
    assert not recorded.recorder.open


def test_a_pool_that_is_torn_down_while_somebody_waits(dsn: str, spans_of: SpansOf) -> None:
    """asyncpg's own failure passes, and the wait is as long as it took."""

    async def main() -> None:
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
        held = await pool.acquire()
        with agentscope.turn("turn"):
            asyncio.get_running_loop().call_later(0.02, pool.terminate)
            with pytest.raises(asyncpg.InterfaceError):
                await asyncio.wait_for(pool.acquire(), 5)
        del held

    asyncio.run(main())
    [wait] = spans_of("wait db.pool")
    assert 0.015 < wait.duration_s < 0.5


def test_a_pool_that_is_closed_while_threads_wait(dsn: str, spans_of: SpansOf) -> None:
    """psycopg's waiters get its own exception, and their wait ends with it."""
    pool = psycopg_pool.ConnectionPool(dsn, min_size=1, max_size=1, open=True)
    held, failed = pool.getconn(), []

    def ask() -> None:
        with agentscope.turn("turn"):
            try:
                pool.getconn()
            except psycopg_pool.PoolClosed as error:
                failed.append(error)

    waiters = [threading.Thread(target=ask) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.05)
    pool.close()
    for waiter in waiters:
        waiter.join(5)
    held.close()
    assert len(failed) == 3
    errors = [wait.attributes[c.ERROR_TYPE] for wait in spans_of("wait db.pool")]
    assert errors == ["psycopg_pool.PoolClosed"] * 3


def test_a_thread_that_is_ended_from_outside_while_it_waits(dsn: str, spans_of: SpansOf) -> None:
    """Its ``SystemExit`` passes, and the wait is over."""
    engine = sa.create_engine(
        dsn.replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0
    )
    held, passed = engine.connect(), []

    def ask() -> None:
        try:
            with agentscope.turn("turn"):
                engine.connect()
        except SystemExit as error:
            passed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.05)
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    held.close()  # a thread learns of it when it runs again
    thread.join(5)
    engine.dispose()
    assert len(passed) == 1
    assert len(spans_of("wait db.pool")) == 1


def test_a_stream_of_rows_that_nobody_reads_on(dsn: str, recorded: Recorded) -> None:
    """Dropped in the middle, it gives its connection back when it is collected."""

    async def main() -> None:
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)

        async def rows() -> AsyncIterator[int]:
            async with pool.acquire() as connection, connection.transaction():
                async for row in connection.cursor("SELECT generate_series(1, 1000)"):
                    yield row[0]

        with agentscope.turn("turn"):
            async for row in rows():
                if row == 60:
                    break
            gc.collect()
            await asyncio.sleep(0.02)
            assert await asyncio.wait_for(pool.fetchval("SELECT 7"), 5) == 7
        await pool.close()

    asyncio.run(main())
    turn = recorded.span("turn")
    assert {span.parent_id for span in recorded.spans if c.DB_SYSTEM in span.attributes} == {
        turn.span_id
    }


def test_a_hundred_waits_that_are_given_up_at_once(dsn: str, counts: Any) -> None:
    """Every one is observed, and the pool works on."""

    async def main() -> None:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:

            async def ask() -> None:
                async with asyncio.timeout(0.05):
                    async with pool.acquire():
                        pass

            async with pool.acquire():
                with agentscope.turn("turn"):
                    results = await asyncio.gather(
                        *(ask() for _ in range(100)), return_exceptions=True
                    )
            assert [type(result) for result in results] == [TimeoutError] * 100
            assert await pool.fetchval("SELECT 7") == 7

    asyncio.run(main())
    [(_, seen)] = counts(c.DB_WAIT_TIME).items()
    assert seen == 102


class Fault(Exception):
    """Of the user's own."""


def test_what_the_users_code_raises_inside_a_driver_is_the_same_object(dsn: str) -> None:
    """From a factory of rows, a type's adapter, a function of the database's: nothing is wrapped."""
    fault = Fault("planted")

    def rows(cursor: Any) -> Any:
        def row(values: Any) -> Any:
            raise fault

        return row

    class Unadaptable:
        def __conform__(self, protocol: object) -> Any:
            raise fault

    with agentscope.turn("turn"):
        with psycopg.connect(dsn, row_factory=rows) as connection:
            with pytest.raises(Fault) as caught:
                connection.execute("SELECT 1").fetchone()
            assert caught.value is fault
        with contextlib.closing(sqlite3.connect(":memory:")) as lite:
            with pytest.raises((Fault, sqlite3.Error)) as refused:
                lite.execute("SELECT ?", (Unadaptable(),))
            assert fault in (refused.value, refused.value.__context__, refused.value.__cause__)


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_passes_a_statement(
    leaving: type[BaseException], recorded: Recorded
) -> None:
    """And the statement has ended, without an error of its own."""
    passing = leaving("now")

    def rows(cursor: Any, values: Any) -> Any:
        raise passing

    with agentscope.turn("turn"), contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = rows
        with pytest.raises(leaving) as caught:
            connection.execute("SELECT 1").fetchall()
    assert caught.value is passing
    assert [span.name for span in recorded.spans if c.DB_SYSTEM in span.attributes] == ["SELECT"]


def test_sessions_in_sessions(recorded: Recorded) -> None:
    """The innermost counts, each for its own turns, whatever task goes on."""

    async def ask(session: str) -> None:
        with agentscope.session(session), agentscope.turn(f"turn of {session}"):
            await asyncio.sleep(0.01)

    async def main() -> None:
        with agentscope.session("outer"):
            with agentscope.session("inner"):
                await asyncio.gather(ask("a"), ask("b"))
                with agentscope.turn("inner"):
                    await asyncio.sleep(0)
            with agentscope.turn("outer"):
                pass

    asyncio.run(main())
    said = {span.name: span.attributes.get(c.CONVERSATION_ID) for span in recorded.spans}
    assert said == {
        "inner": "inner",
        "outer": "outer",
        "turn of a": "a",
        "turn of b": "b",
    }
