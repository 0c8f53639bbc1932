"""asyncpg on a real PostgreSQL: waiting for connections, holding them, asking."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.clients.asyncpg import name_pool
from agentscope.recording.guard import RAISE_VARIABLE, forget_internal_errors, internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.testing import Recorded, RecordedSpan

NAME = "postgres@localhost"

Use = Callable[[Any], Awaitable[Any]]
SpansOf = Callable[[str], list[RecordedSpan]]
Statements = Callable[[], list[str]]
Gauges = Callable[[], dict[tuple[str, ...], float]]
Counts = Callable[[c.Metric], dict[tuple[str, ...], int]]


def in_turn(dsn: str, use: Use, size: int = 1, **options: Any) -> Any:
    """Run ``use`` in a turn, with a pool of ``size``."""

    async def main() -> Any:
        async with asyncpg.create_pool(dsn, min_size=size, max_size=size, **options) as pool:
            with agentscope.turn("turn"):
                return await use(pool)

    return asyncio.run(main())


@pytest.mark.parametrize("form", ["async with", "await", "pool.execute"])
def test_three_calls_on_one_connection(
    dsn: str, recorded: Recorded, form: str, counts: Counts, spans_of: SpansOf
) -> None:
    """The second waits once, the third twice; waits and holds are observed, however acquired."""

    async def hold(pool: Any) -> None:
        if form == "async with":
            async with pool.acquire():
                await asyncio.sleep(0.1)
        elif form == "await":
            connection = await pool.acquire()
            await asyncio.sleep(0.1)
            await pool.release(connection)
        else:
            await pool.execute("SELECT pg_sleep(0.1)")

    async def use(pool: Any) -> None:
        await asyncio.gather(hold(pool), hold(pool), hold(pool))

    in_turn(dsn, use)
    waits = spans_of("wait db.pool")
    durations = sorted(span.duration_s for span in waits)
    assert [0.0, *durations][-3:] == pytest.approx([0, 0.1, 0.2], abs=0.06)
    assert waits[-1].attributes == {
        "agentscope.wait.kind": "db.pool",
        "agentscope.wait.resource": NAME,
        "db.client.connection.pool.name": NAME,
    }
    assert counts(c.DB_WAIT_TIME) == {(NAME,): 3}
    assert counts(c.DB_USE_TIME) == {(NAME,): 3}
    assert recorded.value(c.DB_WAIT_TIME, NAME) == pytest.approx(sum(durations), abs=0.02)
    assert recorded.value(c.DB_USE_TIME, NAME) == pytest.approx(0.3, abs=0.1)


def test_a_quick_acquire_has_no_span(
    dsn: str, recorded: Recorded, counts: Counts, spans_of: SpansOf
) -> None:
    """Below a millisecond it is an observation only."""

    async def use(pool: Any) -> None:
        for _ in range(5):
            async with pool.acquire():
                pass

    in_turn(dsn, use)
    waits = spans_of("wait db.pool")
    assert len(waits) < 5
    assert counts(c.DB_WAIT_TIME) == {(NAME,): 5}


def test_a_connection_held_without_a_statement(
    dsn: str, recorded: Recorded, spans_of: SpansOf
) -> None:
    """The event belongs where the connection was taken, and names the line that gave it back."""

    async def use(pool: Any) -> None:
        with agentscope.phase("take"):
            connection = await pool.acquire()
            await asyncio.sleep(0.02)
            with agentscope.phase("give back"):
                await connection.execute("SELECT pg_sleep(0.02)")
                await pool.release(connection)
        async with pool.acquire() as connection:
            await connection.execute("SELECT pg_sleep(0.02)")

    in_turn(dsn, use)
    (held,) = spans_of("db.connection.held")
    assert held.parent_id == recorded.span("take").span_id
    assert held.duration_s == pytest.approx(0.04, abs=0.03)
    assert held.attributes["agentscope.db.connection.busy"] == pytest.approx(
        held.duration_s - 0.02, abs=0.01
    )
    assert held.attributes["code.line.number"] == use.__code__.co_firstlineno + 6


def test_a_connection_that_was_lost_while_held(
    dsn: str, recorded: Recorded, spans_of: SpansOf
) -> None:
    """Its place in the pool is the next one's, who is not said to have held it since then."""

    async def use(pool: Any) -> None:
        async with pool.acquire() as connection:
            connection.terminate()  # as when the server goes away
        await asyncio.sleep(0.1)
        async with pool.acquire() as connection:
            await connection.execute("SELECT 1")

    in_turn(dsn, use)
    assert spans_of("db.connection.held") == []
    assert recorded.value(c.DB_USE_TIME, NAME) == pytest.approx(0, abs=0.09)


def test_gauges_of_a_pool(dsn: str, recorded: Recorded, gauges: Gauges) -> None:
    """Used, idle, limit and waiting, and nothing once the pool is closed."""

    async def use(pool: Any) -> None:
        async with pool.acquire():
            waiting = asyncio.create_task(pool.execute("SELECT 1"))
            await asyncio.sleep(0.01)
            assert gauges() == {
                ("count", NAME, "used"): 1,
                ("count", NAME, "idle"): 0,
                ("max", NAME): 1,
                ("pending_requests", NAME): 1,
            }
        await waiting
        assert gauges()["count", NAME, "idle"] == 1

    in_turn(dsn, use)
    assert gauges() == {}


def test_two_pools_of_one_database_are_told_apart(
    dsn: str, recorded: Recorded, gauges: Gauges
) -> None:
    """The second is numbered, or called as its user says; a dropped pool is not kept alive."""

    async def use(pool: Any) -> None:
        await pool.execute("SELECT 1")
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as other:
            await other.execute("SELECT 1")
            assert gauges()["max", f"{NAME}#2"] == 2
            name_pool(other, "reads")
            await other.execute("SELECT 1")
            assert gauges()["max", "reads"] == 2

    in_turn(dsn, use)
    pools = {span.attributes.get("db.client.connection.pool.name") for span in recorded.spans}
    assert pools - {None} == {NAME, f"{NAME}#2", "reads"}


def test_a_name_before_the_pool_is_ready_is_refused(dsn: str) -> None:
    """The error says what to do."""

    async def main() -> None:
        pool = asyncpg.create_pool(dsn)
        with pytest.raises(ValueError, match="await it before"):
            name_pool(pool, "reads")

    asyncio.run(main())


def test_statements(dsn: str, recorded: Recorded, statements: Statements) -> None:
    """One span a call of the user's, named by what it does; what asyncpg adds has none."""

    async def use(pool: Any) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO messages VALUES (1, 'canary')")
            await connection.executemany(
                "INSERT INTO messages VALUES ($1, $2)", [(2, "canary"), (3, "canary")]
            )
            assert len(await connection.fetch("SELECT * FROM messages")) == 3
            assert await connection.fetchval("SELECT count(*) FROM messages") == 3
            row = await connection.fetchrow("SELECT body FROM messages WHERE id = $1", 1)
            assert row["body"] == "canary"
            statement = await connection.prepare("SELECT id FROM messages")
            assert len(await statement.fetch()) == 3
            cursor = await connection.cursor("SELECT id FROM messages")
            assert len(await cursor.fetch(2)) == 2
            await connection.copy_records_to_table("messages", records=[(4, "canary")])
            await connection.copy_from_query(
                "SELECT * FROM messages WHERE id = $1", 1, output=os.devnull
            )
            await connection.execute("DELETE FROM messages")
        assert await pool.fetchval("SELECT 1") == 1

    in_turn(dsn, use)
    assert statements() == [
        "BEGIN",
        "INSERT messages",
        "INSERT messages",
        "SELECT messages",
        "SELECT messages",
        "SELECT messages",
        "PREPARE messages",
        "SELECT messages",
        "SELECT messages",
        "COPY messages",
        "COPY",
        "DELETE messages",
        "COMMIT",
        "SELECT",
    ]
    insert = next(span for span in recorded.spans if span.name == "INSERT messages")
    assert insert.kind == 3
    assert insert.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "messages",
        "db.query.summary": "INSERT messages",
        "db.client.connection.pool.name": NAME,
    }
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_failing_statement(dsn: str, recorded: Recorded) -> None:
    """The caller gets asyncpg's exception; the span says its class."""

    async def use(pool: Any) -> None:
        with pytest.raises(asyncpg.UndefinedTableError, match="nothing"):
            await pool.fetch("SELECT * FROM nothing")

    in_turn(dsn, use)
    span = recorded.span("SELECT nothing")
    assert span.attributes["error.type"] == "asyncpg.exceptions.UndefinedTableError"
    assert span.status == 2


def test_cancellation_goes_through(
    dsn: str, recorded: Recorded, statements: Statements, gauges: Gauges
) -> None:
    """While waiting and while asking; the pool serves on."""

    async def use(pool: Any) -> None:
        for statement in ("SELECT pg_sleep(5)", "SELECT 1"):
            async with asyncio.timeout(2):
                task = asyncio.create_task(pool.execute("SELECT pg_sleep(5)"))
                await asyncio.sleep(0.05)
                behind = asyncio.create_task(pool.execute(statement))
                await asyncio.sleep(0.05)
                for one in (behind, task):
                    one.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await one
                    assert one.cancelled()
        assert await pool.fetchval("SELECT 1") == 1
        assert gauges()["pending_requests", NAME] == 0

    in_turn(dsn, use)
    assert len(statements()) == 3


def test_a_time_out_of_the_pool(dsn: str, recorded: Recorded) -> None:
    """Who gave up waiting has waited."""

    async def use(pool: Any) -> None:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.05)

    in_turn(dsn, use)
    waits = [span for span in recorded.spans if span.attributes.get("error.type")]
    assert [(span.name, span.attributes["error.type"]) for span in waits] == [
        ("wait db.pool", "TimeoutError")
    ]
    assert waits[0].duration_s == pytest.approx(0.05, abs=0.04)


def test_outside_of_a_turn_only_metrics(dsn: str, recorded: Recorded, counts: Counts) -> None:
    """A statement that belongs to no turn has no span; the pool's figures count it."""

    async def main() -> None:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            await pool.execute("SELECT 1")

    asyncio.run(main())
    assert recorded.spans == []
    assert counts(c.DB_USE_TIME) == {(NAME,): 1}


def test_a_single_connection(dsn: str, recorded: Recorded) -> None:
    """Without a pool there is no pool's name."""

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        with agentscope.turn("turn"):
            await connection.execute("SELECT 1")
        await connection.close()

    asyncio.run(main())
    assert "db.client.connection.pool.name" not in recorded.span("SELECT").attributes


def test_setup_and_reset_are_the_pools(
    dsn: str, recorded: Recorded, statements: Statements
) -> None:
    """What a pool does with a connection before and after is not the user's statement."""

    async def setup(connection: Any) -> None:
        await connection.execute("SET application_name = 'x'")

    async def use(pool: Any) -> None:
        await pool.execute("SELECT 1")

    in_turn(dsn, use, setup=setup)
    assert statements() == ["SELECT"]


def test_a_dropped_pool_is_forgotten(dsn: str, recorded: Recorded, gauges: Gauges) -> None:
    """We keep no pool alive."""

    async def main() -> None:
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
        await pool.execute("SELECT 1")
        assert gauges() != {}
        await pool.close()
        del pool

    asyncio.run(main())
    gc.collect()
    assert gauges() == {}


def test_methods_stay_coroutine_functions(recorded: Recorded) -> None:
    """What inspects them finds what it found."""
    assert inspect.iscoroutinefunction(asyncpg.Connection.fetch)
    assert inspect.iscoroutinefunction(asyncpg.pool.Pool.release)
    assert list(inspect.signature(asyncpg.Connection.execute).parameters) == [
        "self",
        "query",
        "args",
        "timeout",
    ]


@pytest.mark.parametrize("broken", ["start", "take", "observe"])
def test_our_faults_are_ours(
    dsn: str, recorded: Recorded, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results and exceptions are asyncpg's, whatever fails in here; faults are counted."""

    async def use(pool: Any) -> None:
        def fault(*_: Any, **__: Any) -> Any:
            raise RuntimeError("ours")

        with monkeypatch.context() as patched:
            patched.delenv(RAISE_VARIABLE)
            patched.setattr(Recorder, broken, fault)
            assert await pool.fetchval("SELECT 1") == 1
            with pytest.raises(asyncpg.UndefinedTableError):
                await pool.fetch("SELECT * FROM nothing")

    forget_internal_errors()
    in_turn(dsn, use)
    assert internal_errors()["clients.asyncpg"] > 0
    forget_internal_errors()
