"""Four statements on PostgreSQL through psycopg's pool of one connection; once more with asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time

import psycopg_pool

HOLD_S = 0.25
SELECT = "SELECT body FROM messages"
UPDATE = ("UPDATE messages SET body = %s", ("new",))
DELETE = ("DELETE FROM messages WHERE id = %s", [(8,), (9,)])
AUTOCOMMIT = {"autocommit": True}  # else BEGIN and COMMIT are statements too


def ask() -> None:
    with psycopg_pool.ConnectionPool(
        os.environ["DSN"], min_size=1, max_size=1, kwargs=AUTOCOMMIT
    ) as pool:
        pool.wait()
        held = threading.Event()

        def hold() -> None:
            with pool.connection() as connection, connection.cursor() as cursor:
                held.set()
                cursor.execute(SELECT)
                connection.execute(*UPDATE)
                time.sleep(HOLD_S)

        holder = threading.Thread(target=contextvars.copy_context().run, args=(hold,))
        holder.start()
        held.wait()
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(SELECT)
            cursor.executemany(*DELETE)
        holder.join()
    asyncio.run(ask_async())


async def ask_async() -> None:
    async with psycopg_pool.AsyncConnectionPool(
        os.environ["DSN"], min_size=1, max_size=1, kwargs=AUTOCOMMIT
    ) as pool:
        await pool.wait()

        async def hold() -> None:
            async with pool.connection() as connection, connection.cursor() as cursor:
                await cursor.execute(SELECT)
                await connection.execute(*UPDATE)
                await asyncio.sleep(HOLD_S)

        async def wait() -> None:
            async with pool.connection() as connection, connection.cursor() as cursor:
                await cursor.execute(SELECT)
                await cursor.executemany(*DELETE)

        await asyncio.gather(hold(), wait())
