"""Commands of redis-py through a blocking pool of one connection; once more with asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time

import redis
import redis.asyncio

HOLD_S = 0.25
ADDRESS = {"host": "127.0.0.1", "port": int(os.environ.get("REDIS_PORT", "0"))}


def ask() -> None:
    pool = redis.BlockingConnectionPool(**ADDRESS, max_connections=1)
    with redis.Redis.from_pool(pool) as client:
        held = threading.Event()

        def hold() -> None:
            connection = pool.get_connection()
            held.set()
            time.sleep(HOLD_S)
            pool.release(connection)

        holder = threading.Thread(target=contextvars.copy_context().run, args=(hold,))
        holder.start()
        held.wait()
        client.set("x", 1)
        client.get("x")
        with client.pipeline(transaction=False) as pipeline:
            pipeline.get("x").get("y").execute()
        holder.join()
    asyncio.run(ask_async())


async def ask_async() -> None:
    pool = redis.asyncio.BlockingConnectionPool(**ADDRESS, max_connections=1)
    async with redis.asyncio.Redis.from_pool(pool) as client:
        held = asyncio.Event()

        async def hold() -> None:
            connection = await pool.get_connection()
            held.set()
            await asyncio.sleep(HOLD_S)
            await pool.release(connection)

        holder = asyncio.create_task(hold())
        await held.wait()
        await client.set("x", 1)
        await client.get("x")
        await holder
