"""Sessions and their messages in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from .problems import session_busy, unknown_session
from .settings import Settings

Message = dict[str, Any]
"""A chat message as the model's API takes it."""

SCHEMA = Path(__file__).with_name("schema.sql").read_text()
SCHEMA_LOCK = 0x5A97
HISTORY_TURNS = 20
"""Older turns are kept, but no longer sent to the model."""
LONGEST_TURN_S = 600
"""A turn that was claimed longer ago died with its process: the session is free again."""


@asynccontextmanager
async def open_pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Connect and make sure that the tables are there."""
    async with asyncpg.create_pool(
        settings.dsn,
        min_size=settings.pool_size,
        max_size=settings.pool_size,
        command_timeout=60,
        init=_use_json,
        server_settings={"application_name": "support-agent"},
    ) as pool:
        async with pool.acquire() as connection, connection.transaction():
            # Several workers start at once, and CREATE … IF NOT EXISTS alone would collide.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            await connection.execute(SCHEMA)
        yield pool


async def _use_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )


class HeldConnection:
    """One connection in the place of the pool: who acquires it waits until it is let go."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._free = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._free:
            yield self._connection


Database: TypeAlias = asyncpg.Pool | HeldConnection


class Store:
    """Conversations: one turn of a session at a time, stored whole or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_session(self, user_id: str) -> str:
        session_id = uuid4()
        query = "INSERT INTO sessions (id, user_id) VALUES ($1, $2)"
        async with self._database.acquire() as connection:
            await connection.execute(query, session_id, user_id)
        return str(session_id)

    async def delete_session(self, session_id: str) -> None:
        query = "DELETE FROM sessions WHERE id = $1 RETURNING id"
        async with self._database.acquire() as connection:
            if await connection.fetchval(query, _uuid(session_id)) is None:
                raise unknown_session(session_id)

    @asynccontextmanager
    async def turn(self, session_id: str) -> AsyncIterator[int]:
        """Claim the session and yield the turn's number; a turn that fails frees it again.

        The claim is a row's value, not a lock, so no connection is kept while the model works,
        and it holds across processes. Raises Problem for an unknown or a busy session.
        """
        number = await self._claim(session_id)
        try:
            yield number
        except BaseException:
            await self._release(session_id, number)
            raise

    async def _claim(self, session_id: str) -> int:
        claim = """
            UPDATE sessions SET busy_until = now() + make_interval(secs => $2)
            WHERE id = $1 AND (busy_until IS NULL OR busy_until < now())
            RETURNING turns + 1
        """
        known = "SELECT 1 FROM sessions WHERE id = $1"
        key = _uuid(session_id)
        async with self._database.acquire() as connection:
            number: int | None = await connection.fetchval(claim, key, LONGEST_TURN_S)
            if number is not None:
                return number
            if await connection.fetchval(known, key) is None:
                raise unknown_session(session_id)
            raise session_busy()

    async def _release(self, session_id: str, number: int) -> None:
        query = "UPDATE sessions SET busy_until = NULL WHERE id = $1 AND turns = $2"
        async with self._database.acquire() as connection:
            await connection.execute(query, _uuid(session_id), number - 1)

    async def history(self, session_id: str, before: int) -> list[Message]:
        """The messages of the turns before the one numbered ``before``, oldest first."""
        query = """
            SELECT message FROM messages WHERE session_id = $1 AND turn >= $2 AND turn < $3
            ORDER BY turn, position
        """
        async with self._database.acquire() as connection:
            rows = await connection.fetch(query, _uuid(session_id), before - HISTORY_TURNS, before)
        return [row["message"] for row in rows]

    async def save_turn(self, session_id: str, number: int, messages: list[Message]) -> None:
        """Store a turn's messages and free the session."""
        insert = (
            "INSERT INTO messages (session_id, turn, position, message) VALUES ($1, $2, $3, $4)"
        )
        finish = "UPDATE sessions SET turns = $2, busy_until = NULL WHERE id = $1"
        key = _uuid(session_id)
        rows = [(key, number, position, message) for position, message in enumerate(messages)]
        try:
            async with self._database.acquire() as connection, connection.transaction():
                await connection.executemany(insert, rows)
                await connection.execute(finish, key, number)
        except asyncpg.ForeignKeyViolationError:
            raise unknown_session(session_id) from None  # deleted meanwhile
        except asyncpg.UniqueViolationError:
            raise session_busy() from None  # this turn outlived its claim, another took its place


def _uuid(session_id: str) -> UUID:
    try:
        return UUID(session_id)
    except ValueError:
        raise unknown_session(session_id) from None
