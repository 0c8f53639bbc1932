"""A query without the index it needs: every turn reads the whole table, twice."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI
from openai import AsyncOpenAI

import agentscope

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

client = AsyncOpenAI()

SCHEMA = """
    DROP TABLE IF EXISTS notes;
    CREATE UNLOGGED TABLE notes AS
        SELECT n AS id, md5((n % 50000)::text) AS customer, repeat(md5(n::text), 4) AS body
        FROM generate_series(1, 2500000) AS n;
"""
LATEST = "SELECT body FROM notes WHERE customer = md5($1) ORDER BY id DESC LIMIT 5"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = {"max_parallel_workers_per_gather": "0"}  # one query, one core
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=4, max_size=20, server_settings=settings
    ) as pool:
        await pool.execute(SCHEMA)
        if HEALTHY:
            await pool.execute("CREATE INDEX ON notes (customer, id)")
        await pool.execute("ANALYZE notes")
        app.state.pool = pool
        yield


app = service("A query without its index", lifespan)


@agentscope.context_load
async def load_notes(session_id: str) -> list[str]:
    number = int(session_id[:8], 16)
    own = await app.state.pool.fetch(LATEST, str(number % 50_000))
    team = await app.state.pool.fetch(LATEST, str(number % 500))
    return [row["body"] for row in (*own, *team)]


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    notes = await load_notes(session_id)
    return await ask(client, "\n".join([*notes, new.message]))
