"""Three statements on PostgreSQL through SQLAlchemy on asyncpg, then through SQLAlchemy on psycopg.

Each pool has one connection, which two tasks or threads want.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

HOLD_S = 0.25
SELECT = sa.text("SELECT body FROM messages")
UPDATE = sa.text("UPDATE messages SET body = :body").bindparams(body="new")
ONE = {"pool_size": 1, "max_overflow": 0, "isolation_level": "AUTOCOMMIT"}


def ask() -> None:
    asyncio.run(ask_async())
    engine = sa.create_engine(
        os.environ["DSN"].replace("postgresql:", "postgresql+psycopg:"), **ONE
    )
    held = threading.Event()

    def hold() -> None:
        with engine.connect() as connection:
            held.set()
            connection.execute(SELECT)
            connection.execute(UPDATE)
            time.sleep(HOLD_S)

    holder = threading.Thread(target=contextvars.copy_context().run, args=(hold,))
    holder.start()
    held.wait()
    with engine.connect() as connection:
        connection.execute(SELECT)
    holder.join()
    engine.dispose()


async def ask_async() -> None:
    dsn = os.environ["DSN"].replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(dsn, **ONE)

    async def hold() -> None:
        async with engine.connect() as connection:
            await connection.execute(SELECT)
            await connection.execute(UPDATE)
            await asyncio.sleep(HOLD_S)

    async def wait() -> None:
        async with engine.connect() as connection:
            await connection.execute(SELECT)

    await asyncio.gather(hold(), wait())
    await engine.dispose()
