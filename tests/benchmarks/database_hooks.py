"""What the database hooks cost: the same statements without us, with nothing recorded, and recorded.

    python tests/benchmarks/database_hooks.py [--rounds 5]

sqlite3, aiosqlite and SQLAlchemy work on a database in memory; asyncpg, psycopg and SQLAlchemy on an
embedded PostgreSQL; redis-py on a server in this process, without a socket. Printed is CPU time of this process in µs a statement, the minimum
over the rounds, and what is added by the hooks when recorded. A checkout is a connection taken from
a pool and given back. The recorder's thread is off: what it does later is not the caller's time.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiosqlite
import asyncpg
import fakeredis
import psycopg
import psycopg_pool
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import agentscope
from agentscope import lifecycle
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.lab.postgres import EmbeddedPostgres
from agentscope.testing import recording

STATEMENTS = 400

Run = Callable[[], float]
"""Runs the statements, and returns the CPU seconds they took."""


def _timed(one: Callable[[], Any]) -> float:
    one()
    start_s = time.process_time()
    for _ in range(STATEMENTS):
        one()
    return time.process_time() - start_s


async def _timed_async(one: Callable[[], Awaitable[Any]]) -> float:
    await one()
    start_s = time.process_time()
    for _ in range(STATEMENTS):
        await one()
    return time.process_time() - start_s


def _sqlite() -> float:
    with sqlite3.connect(":memory:") as connection:
        return _timed(lambda: connection.execute("SELECT 1").fetchall())


def _aiosqlite() -> float:
    async def main() -> float:
        async with aiosqlite.connect(":memory:") as connection:
            return await _timed_async(lambda: connection.execute_fetchall("SELECT 1"))

    return asyncio.run(main())


def _sqlalchemy() -> float:
    engine, statement = sa.create_engine("sqlite://"), sa.text("SELECT 1")
    with engine.connect() as connection:
        return _timed(lambda: connection.execute(statement).all())


def _asyncpg(dsn: str) -> float:
    async def main() -> float:
        connection = await asyncpg.connect(dsn)
        try:
            return await _timed_async(lambda: connection.fetch("SELECT 1"))
        finally:
            await connection.close()

    return asyncio.run(main())


def _asyncpg_checkout(dsn: str) -> float:
    async def main() -> float:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:

            async def checkout() -> None:
                async with pool.acquire():
                    pass

            return await _timed_async(checkout)

    return asyncio.run(main())


def _psycopg(dsn: str) -> float:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return _timed(lambda: connection.execute("SELECT 1").fetchall())


def _psycopg_async(dsn: str) -> float:
    async def main() -> float:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            return await _timed_async(lambda: connection.execute("SELECT 1"))

    return asyncio.run(main())


def _psycopg_checkout(dsn: str) -> float:
    with psycopg_pool.ConnectionPool(dsn, min_size=1, open=True) as pool:
        pool.wait()
        return _timed(lambda: pool.putconn(pool.getconn()))


def _sqlalchemy_asyncpg(dsn: str) -> float:
    async def main() -> float:
        engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:"))
        statement = sa.text("SELECT 1")
        try:
            async with engine.connect() as connection:
                return await _timed_async(lambda: connection.execute(statement))
        finally:
            await engine.dispose()

    return asyncio.run(main())


def _sqlalchemy_checkout(dsn: str) -> float:
    engine = sa.create_engine(dsn.replace("postgresql:", "postgresql+psycopg:"))
    try:
        return _timed(lambda: engine.raw_connection().close())
    finally:
        engine.dispose()


def _redis() -> float:
    with fakeredis.FakeRedis() as client:
        return _timed(lambda: client.get("x"))


def _recorded(run: Run) -> float:
    with recording(real_time=True) as recorded, agentscope.turn("turn"):
        taken_s = run()
        assert recorded.recorder.work() is None
    return taken_s


def _cases(dsn: str) -> dict[str, Run]:
    return {
        "sqlite3": _sqlite,
        "aiosqlite": _aiosqlite,
        "sqlalchemy, sqlite3": _sqlalchemy,
        "sqlalchemy, asyncpg": lambda: _sqlalchemy_asyncpg(dsn),
        "sqlalchemy checkout": lambda: _sqlalchemy_checkout(dsn),
        "asyncpg": lambda: _asyncpg(dsn),
        "asyncpg checkout": lambda: _asyncpg_checkout(dsn),
        "psycopg": lambda: _psycopg(dsn),
        "psycopg, async": lambda: _psycopg_async(dsn),
        "psycopg checkout": lambda: _psycopg_checkout(dsn),
        "redis (checks out)": _redis,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the database hooks cost.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    assert lifecycle.recorder is None, "unset AGENTSCOPE_*: nothing else may record"
    print(f"{'µs':<22}{'bare':>8}{'off':>8}{'recorded':>10}{'more':>8}")
    with EmbeddedPostgres() as server:
        for name, run in _cases(server.dsn).items():
            bare, off, recorded = [], [], []
            for _ in range(rounds):
                uninstrument_clients()
                bare.append(run())
                instrument_clients()
                off.append(run())
                recorded.append(_recorded(run))
            uninstrument_clients()
            figures = [min(taken) / STATEMENTS * 1e6 for taken in (bare, off, recorded)]
            print(f"{name:<22}{figures[0]:>8.1f}{figures[1]:>8.1f}{figures[2]:>10.1f}", end="")
            print(f"{figures[2] - figures[0]:>8.1f}")


if __name__ == "__main__":
    main()
