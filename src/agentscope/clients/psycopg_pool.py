"""psycopg_pool: waiting for a connection of a pool, and holding it.

A pool is called by the name its user gave it, else ``database@host`` as asyncpg's are. Patched are
``getconn`` and ``putconn`` of both pools, through which ``connection()`` goes and so does the
``close()`` of a pool with ``close_returns``; the null pools inherit them.
"""

from __future__ import annotations

import re
import weakref
from typing import Any

from agentscope.clients.checkouts import Checkouts
from agentscope.clients.patches import Patches
from agentscope.clients.pools import PoolRecord, PoolState, new_record
from agentscope.clients.postgres import SYSTEM, pool_name
from agentscope.clients.queries import NOWHERE, Place

_GIVEN_BY_NOBODY = re.compile(r"pool-\d+")

_records: weakref.WeakKeyDictionary[Any, PoolRecord] = weakref.WeakKeyDictionary()


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, psycopg_pool."""
    timeout = module.PoolTimeout
    checkouts = Checkouts(
        "clients.psycopg_pool", _record, id, _usual_name, lambda error: isinstance(error, timeout)
    )
    patches.wrap(module.ConnectionPool, "getconn", checkouts.acquire)
    patches.wrap(module.ConnectionPool, "putconn", checkouts.release)
    patches.wrap(module.AsyncConnectionPool, "getconn", checkouts.acquire_async)
    patches.wrap(module.AsyncConnectionPool, "putconn", checkouts.release_async)


def place_of(connection: Any) -> Place:
    """The pool that ``connection`` is from, if from any, and who holds it."""
    pool = getattr(connection, "_pool", None)
    record = None if pool is None else _records.get(pool)
    return NOWHERE if record is None else Place(record, record.holds.get(id(connection)))


def _record(pool: Any) -> PoolRecord:
    record = _records.get(pool)
    if record is None:
        alive = weakref.ref(pool)
        name = "" if _GIVEN_BY_NOBODY.fullmatch(pool.name) else pool.name
        record = new_record(_records, pool, lambda held: _state(alive(), held), SYSTEM, name)
    return record


def _state(pool: Any, held: int) -> PoolState | None:
    if pool is None or pool.closed:
        return None
    return PoolState(held, len(pool._pool), pool.max_size or None)


def _usual_name(pool: Any, connection: Any) -> str:
    info = connection.info
    return pool_name(info.dbname, info.host, info.port)
