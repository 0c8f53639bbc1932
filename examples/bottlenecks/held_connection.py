"""Three database connections, each held while the model thinks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI
from openai import AsyncOpenAI

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

client = AsyncOpenAI()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=3, max_size=3) as pool:
        app.state.pool = pool
        yield


app = service("A connection held during the call", lifespan)


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    async with app.state.pool.acquire() as connection:
        count = await connection.fetchval("SELECT count(*) FROM pg_class")
        if not HEALTHY:
            return await ask(client, f"{count}: {new.message}")
    return await ask(client, f"{count}: {new.message}")
