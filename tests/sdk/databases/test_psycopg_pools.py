"""psycopg 3 and its pools on a real PostgreSQL: waiting for connections, holding them, asking."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg import sql

import agentscope
from agentscope import conventions as c
from agentscope.recording.guard import RAISE_VARIABLE, forget_internal_errors, internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.testing import Recorded, RecordedSpan

NAME = "postgres@localhost"
HOLD_S = 0.04

Use = Callable[[Any], Awaitable[Any]]
SpansOf = Callable[[str], list[RecordedSpan]]
Statements = Callable[[], list[str]]
Gauges = Callable[[], dict[tuple[str, ...], float]]
AsMeasured = Callable[[list[float], list[float]], bool]
Counts = Callable[[c.Metric], dict[tuple[str, ...], int]]


def in_turn(dsn: str, use: Use, size: int = 1, **options: Any) -> Any:
    """Run ``use`` in a turn, with an asynchronous pool of ``size``."""

    async def main() -> Any:
        pool = psycopg_pool.AsyncConnectionPool(dsn, min_size=size, open=False, **options)
        async with pool:
            await pool.wait()
            with agentscope.turn("turn"):
                return await use(pool)

    return asyncio.run(main())


def in_thread(dsn: str, use: Callable[[Any], Any], size: int = 1, **options: Any) -> Any:
    """Run ``use`` in a turn, with a synchronous pool of ``size``."""
    with psycopg_pool.ConnectionPool(dsn, min_size=size, open=False, **options) as pool:
        pool.wait()
        with agentscope.turn("turn"):
            return use(pool)


def together(*calls: Callable[[], Any]) -> None:
    """Call each in a thread of its own, in the caller's context."""
    threads = [threading.Thread(target=copy_context().run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- pools --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_three_holders_of_one_connection(
    dsn: str,
    recorded: Recorded,
    kind: str,
    counts: Counts,
    spans_of: SpansOf,
    as_measured: AsMeasured,
) -> None:
    """The first waits not at all, the second once, the third twice as long: what they measure."""
    waited: list[float] = []
    held: list[float] = []

    async def hold(pool: Any) -> None:
        asked_s = time.monotonic()
        async with pool.connection():
            got_s = time.monotonic()
            await asyncio.sleep(HOLD_S)
            held.append(time.monotonic() - got_s)
        waited.append(got_s - asked_s)

    async def use(pool: Any) -> None:
        await asyncio.gather(hold(pool), hold(pool), hold(pool))

    ready = threading.Barrier(3)

    def hold_sync(pool: Any) -> None:
        ready.wait()
        asked_s = time.monotonic()
        with pool.connection():
            got_s = time.monotonic()
            time.sleep(HOLD_S)
            held.append(time.monotonic() - got_s)
        waited.append(got_s - asked_s)

    if kind == "async":
        in_turn(dsn, use)
    else:
        in_thread(dsn, lambda pool: together(*[lambda: hold_sync(pool)] * 3))
    waits = spans_of("wait db.pool")
    durations = sorted(span.duration_s for span in waits)[-2:]
    assert as_measured(durations, sorted(waited)[1:])
    assert durations[0] > 0.5 * HOLD_S
    assert durations[1] > 1.5 * HOLD_S
    assert waits[0].attributes == {
        "agentscope.wait.kind": "db.pool",
        "agentscope.wait.resource": NAME,
        "db.client.connection.pool.name": NAME,
    }
    assert counts(c.DB_WAIT_TIME) == {(NAME,): 3}
    assert counts(c.DB_USE_TIME) == {(NAME,): 3}
    assert recorded.value(c.DB_USE_TIME, NAME) == pytest.approx(sum(held), abs=0.03)


def test_a_connection_pinned_during_a_call_of_a_model(
    dsn: str, recorded: Recorded, spans_of: SpansOf
) -> None:
    """The event spans the hold, says how much of it were statements, and who gave it back where."""

    @agentscope.llm_call
    async def ask() -> None:
        await asyncio.sleep(HOLD_S)

    async def use(pool: Any) -> None:
        async with pool.connection() as connection:
            await connection.execute("SELECT pg_sleep(0.02)")
            await ask()
        async with pool.connection() as connection:  # nothing but statements
            await connection.execute("SELECT pg_sleep(0.02)")

    in_turn(dsn, use)
    (held,) = spans_of("db.connection.held")
    call, turn = recorded.span("ask"), recorded.span("turn")
    assert held.start_s <= call.start_s
    assert held.start_s + held.duration_s >= call.start_s + call.duration_s
    assert (held.trace_id, held.parent_id) == (turn.trace_id, turn.span_id)
    busy_s = held.attributes.pop("agentscope.db.connection.busy")
    assert busy_s == pytest.approx(held.duration_s - call.duration_s, abs=0.015)
    assert held.attributes.pop("code.line.number") == use.__code__.co_firstlineno + 1
    assert held.attributes == {
        "agentscope.runtime.event": "connection_held",
        "db.client.connection.pool.name": NAME,
        "code.function.name": f"{__name__}.{use.__qualname__}",
        "code.file.path": __file__,
    }


def test_gauges_of_a_pool(dsn: str, recorded: Recorded, gauges: Gauges) -> None:
    """Used, idle, limit and waiting, and nothing once the pool is closed."""

    async def use(pool: Any) -> None:
        async with pool.connection():
            waiting = asyncio.create_task(pool.getconn())
            await asyncio.sleep(0.01)
            assert gauges() == {
                ("count", NAME, "used"): 1,
                ("count", NAME, "idle"): 0,
                ("max", NAME): 1,
                ("pending_requests", NAME): 1,
            }
        await pool.putconn(await waiting)
        assert gauges()["count", NAME, "idle"] == 1

    in_turn(dsn, use)
    assert gauges() == {}


def test_a_pool_with_a_name_keeps_it(dsn: str, recorded: Recorded, counts: Counts) -> None:
    """What the user calls it is what we call it."""
    in_thread(dsn, lambda pool: pool.putconn(pool.getconn()), name="orders")
    assert counts(c.DB_USE_TIME) == {("orders",): 1}


def test_a_null_pool(dsn: str, recorded: Recorded, counts: Counts, spans_of: SpansOf) -> None:
    """Each connection is new: getting one is a wait, holding one a use; there is no limit."""

    def use(pool: Any) -> None:
        with pool.connection() as connection:
            connection.execute("SELECT 1")

    pool = psycopg_pool.NullConnectionPool(dsn, open=True, max_size=2, name="null")
    with pool, agentscope.turn("turn"):
        use(pool)
    assert counts(c.DB_USE_TIME) == {("null",): 1}
    assert spans_of("wait db.pool")[0].attributes["agentscope.wait.resource"] == "null"


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_time_out_of_the_pool(dsn: str, recorded: Recorded, kind: str, spans_of: SpansOf) -> None:
    """Who gave up waiting has waited, and is counted."""

    async def use(pool: Any) -> None:
        async with pool.connection():
            with pytest.raises(psycopg_pool.PoolTimeout, match=r"after 0\.03 sec"):
                await pool.getconn(timeout=0.03)

    def use_sync(pool: Any) -> None:
        with pool.connection(), pytest.raises(psycopg_pool.PoolTimeout, match=r"after 0\.03 sec"):
            pool.getconn(timeout=0.03)

    in_turn(dsn, use) if kind == "async" else in_thread(dsn, use_sync)
    (wait,) = (span for span in spans_of("wait db.pool") if span.status == 2)
    assert wait.attributes["error.type"] == "psycopg_pool.PoolTimeout"
    assert wait.duration_s >= 0.03
    assert recorded.value(c.DB_TIMEOUTS, NAME) == 1


def test_cancellation_while_waiting(
    dsn: str, recorded: Recorded, gauges: Gauges, counts: Counts
) -> None:
    """It goes through, nothing waits any more, and the pool serves on."""

    async def use(pool: Any) -> None:
        async with pool.connection():
            task = asyncio.create_task(pool.getconn())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert gauges()["pending_requests", NAME] == 0
        async with asyncio.timeout(2), pool.connection() as connection:
            await connection.execute("SELECT 1")
        assert pool.get_stats()["pool_available"] == 1

    in_turn(dsn, use)
    assert counts(c.DB_USE_TIME) == {(NAME,): 2}


def test_a_connection_that_is_not_the_pools(
    dsn: str, recorded: Recorded, gauges: Gauges, counts: Counts
) -> None:
    """The pool's own complaint reaches the user; nobody's hold ends."""

    def use(pool: Any) -> None:
        with psycopg.connect(dsn) as other, pool.connection():
            with pytest.raises(ValueError, match="can't return connection"):
                pool.putconn(other)
            assert gauges()["count", NAME, "used"] == 1

    in_thread(dsn, use)
    assert counts(c.DB_USE_TIME) == {(NAME,): 1}


# --- statements ---------------------------------------------------------------------------------

STATEMENTS = [
    "BEGIN",
    "INSERT messages",
    "INSERT messages",
    "SELECT messages",
    "COPY messages",
    "SAVEPOINT",
    "ROLLBACK",
    "SELECT messages",
    "SELECT messages",
    "SELECT messages",
    "DELETE messages",
    "COMMIT",
    "SELECT",
    "COMMIT",
]
INSERT = "INSERT INTO messages VALUES (%s, %s)"


def in_order(names: list[str]) -> list[str]:
    """Each once where it repeats, and no CLOSE: a step that took a millisecond has a span too."""
    return [name for name, _ in itertools.groupby(name for name in names if name != "CLOSE")]


def test_statements(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """One span a call of the user's, named by what it does."""

    async def use(pool: Any) -> None:
        async with pool.connection() as connection:
            cursor = connection.cursor()
            async with connection.transaction():
                await cursor.execute(INSERT, (1, "canary"))
                await cursor.executemany(INSERT, [(2, "canary"), (3, "canary")])
                assert len([row async for row in cursor.stream("SELECT * FROM messages")]) == 3
                async with cursor.copy(b"COPY messages FROM STDIN") as copy:
                    await copy.write_row((4, "canary"))
                with contextlib.suppress(ZeroDivisionError):
                    async with connection.transaction():
                        raise ZeroDivisionError
                async with connection.cursor("named") as named:
                    await named.execute("SELECT id FROM messages")
                    named.itersize = 2
                    assert len(await named.fetchmany(2)) == 2
                    assert await named.fetchone() is not None
                table = sql.Identifier("messages")
                await cursor.execute(sql.SQL("DELETE FROM {}").format(table))
            await connection.execute("SELECT 1")

    in_turn(dsn, use)
    assert in_order(statements()) == in_order(STATEMENTS)
    insert = [span for span in recorded.spans if span.name == "INSERT messages"]
    assert insert[0].kind == 3
    assert insert[0].attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "messages",
        "db.query.summary": "INSERT messages",
        "db.client.connection.pool.name": NAME,
    }
    assert insert[1].attributes["db.operation.batch.size"] == 2
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_synchronous_statements(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """The same, on a synchronous connection."""

    def use(pool: Any) -> None:
        with pool.connection() as connection:
            cursor = connection.cursor()
            with connection.transaction():
                cursor.execute(INSERT, (1, "canary"))
                cursor.executemany(INSERT, [(2, "canary"), (3, "canary")])
                assert len(list(cursor.stream("SELECT * FROM messages"))) == 3
                with cursor.copy("COPY messages FROM STDIN") as copy:
                    copy.write_row((4, "canary"))
                with contextlib.suppress(ZeroDivisionError), connection.transaction():
                    raise ZeroDivisionError
                with connection.cursor("named") as named:
                    named.execute("SELECT id FROM messages")
                    named.itersize = 3
                    assert len(list(named)) == 4
                cursor.execute("DELETE FROM messages")
            connection.execute("SELECT 1")

    in_thread(dsn, use)
    assert in_order(statements()) == in_order(STATEMENTS)


def test_a_statement_takes_as_long_as_the_server(dsn: str, recorded: Recorded) -> None:
    """What a consumer does between two rows of a stream is no part of the statement."""

    def use(pool: Any) -> None:
        with pool.connection() as connection:
            connection.execute("SELECT pg_sleep(0.02)")
            for _ in connection.cursor().stream("SELECT generate_series(1, 3)"):
                time.sleep(0.02)

    in_thread(dsn, use)
    sleep, *stream = (span for span in recorded.spans if span.name == "SELECT")
    assert sleep.duration_s >= 0.02
    assert sum(span.duration_s for span in stream) < 0.03


def test_a_pipeline_is_one_batch(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """Statements are queued; what fetches their results is the span, and says how many."""

    def use(pool: Any) -> None:
        with pool.connection() as connection:
            connection.autocommit = True
            with connection.pipeline() as pipeline:
                for number in range(3):
                    connection.execute("SELECT pg_sleep(0.01), %s", (number,))
                pipeline.sync()
                connection.execute("SELECT 1")
            connection.autocommit = False

    in_thread(dsn, use)
    batches = [span for span in recorded.spans if span.name == "BATCH"]
    assert [span.attributes.get("db.operation.batch.size") for span in batches] == [3, 1]
    assert batches[0].duration_s >= 0.03
    assert set(statements()) == {"BATCH"}


def test_a_failing_statement(dsn: str, recorded: Recorded) -> None:
    """The caller gets psycopg's exception; the span says its class and the server's code."""

    async def use(pool: Any) -> None:
        with pytest.raises(psycopg.errors.UndefinedTable, match="nothing"):
            async with pool.connection() as connection:
                await connection.execute("SELECT * FROM nothing")

    in_turn(dsn, use)
    span = recorded.span("SELECT nothing")
    assert span.attributes["error.type"] == "psycopg.errors.UndefinedTable"
    assert span.attributes["db.response.status_code"] == "42P01"
    assert span.status == 2


def test_cancellation_while_asking(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """It goes through as without us, and the connection is usable as without us."""

    async def use(pool: Any) -> None:
        async def ask() -> None:
            async with pool.connection() as connection:
                await connection.execute("SELECT pg_sleep(5)")

        task = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2), pool.connection() as connection:
            await connection.execute("SELECT 2")

    in_turn(dsn, use)
    assert statements().count("SELECT") == 2


def test_a_single_connection(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """Without a pool there is no pool's name; a commit of nothing is no statement."""
    with psycopg.connect(dsn) as connection, agentscope.turn("turn"):
        connection.commit()
        connection.execute("SELECT 1")
        connection.rollback()
    assert statements() == ["SELECT", "ROLLBACK"]
    assert "db.client.connection.pool.name" not in recorded.span("SELECT").attributes


def test_outside_of_a_turn_only_metrics(dsn: str, recorded: Recorded, counts: Counts) -> None:
    """A statement that belongs to no turn has no span; the pool's figures count it."""
    pool = psycopg_pool.ConnectionPool(dsn, min_size=1, open=True)
    with pool, pool.connection() as connection:
        connection.execute("SELECT 1")
        time.sleep(0.02)
    assert recorded.spans == []
    assert counts(c.DB_USE_TIME) == {(NAME,): 1}


def test_methods_keep_their_signatures(recorded: Recorded) -> None:
    """What inspects them finds what it found."""
    assert inspect.iscoroutinefunction(psycopg_pool.AsyncConnectionPool.getconn)
    assert inspect.iscoroutinefunction(psycopg.AsyncCursor.executemany)
    assert list(inspect.signature(psycopg_pool.ConnectionPool.getconn).parameters) == [
        "self",
        "timeout",
    ]


@pytest.mark.parametrize("broken", ["start", "take", "observe"])
def test_our_faults_are_ours(
    dsn: str,
    recorded: Recorded,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Results and exceptions are psycopg's, whatever fails in here; faults are counted."""

    def use(pool: Any) -> None:
        def fault(*_: Any, **__: Any) -> Any:
            raise RuntimeError("ours")

        with monkeypatch.context() as patched:
            patched.delenv(RAISE_VARIABLE)
            patched.setattr(Recorder, broken, fault)
            with pool.connection() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.errors.UndefinedTable), pool.connection() as connection:
                connection.execute("SELECT * FROM nothing")

    forget_internal_errors()
    in_thread(dsn, use)
    assert sum(internal_errors().values()) > 0
    forget_internal_errors()
    caplog.clear()  # a logged fault keeps the frames it was raised in, and the spans in them
