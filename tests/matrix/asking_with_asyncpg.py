"""Four statements on PostgreSQL through a pool of one connection that two tasks want."""

from __future__ import annotations

import asyncio
import os

import asyncpg

HOLD_S = 0.25


def ask() -> None:
    asyncio.run(ask_async())


async def ask_async() -> None:
    async with asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=1) as pool:

        async def hold() -> None:
            async with pool.acquire() as connection:
                await connection.fetch("SELECT body FROM messages")
                await connection.execute("UPDATE messages SET body = $1", "new")
                await asyncio.sleep(HOLD_S)

        async def wait() -> None:
            await pool.fetchval("SELECT body FROM messages")
            await pool.executemany("DELETE FROM messages WHERE id = $1", [(8,), (9,)])

        await asyncio.gather(hold(), wait())
