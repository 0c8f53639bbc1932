"""asyncpg: waiting for a connection of a pool, holding it, and the statements on it.

A pool is called ``database@host`` (``:port`` where it is not 5432, ``localhost`` for a unix
socket), a second one of that name ``database@host#2``; ``name_pool`` gives another name.

Patched are ``Pool._acquire``, through which ``acquire()`` goes in both its forms and so do
``pool.fetch`` and its kin, ``Pool.release``, and the methods of ``Connection``,
``PreparedStatement`` and ``Cursor`` that talk to the server. A connection from a pool is a proxy
that looks each method up on the connection's class when it is called, so it meets the patch too.
"""

from __future__ import annotations

import weakref
from typing import Any

from agentscope.clients.checkouts import Checkouts
from agentscope.clients.patches import Patches
from agentscope.clients.pools import PoolRecord, PoolState, new_record
from agentscope.clients.postgres import SYSTEM, pool_name
from agentscope.clients.queries import NOWHERE, Place, Queries, batch_of
from agentscope.clients.statements import Summary, summarize

_WHERE = "clients.asyncpg"

_STATEMENTS = ("execute", "fetch", "fetchval", "fetchrow")
_BATCHES = ("executemany", "fetchmany")
_COPIES = ("copy_from_table", "copy_from_query", "copy_to_table", "copy_records_to_table")
_CURSOR = ("fetch", "fetchrow", "forward")

# asyncpg's pools take neither attributes nor weak references; their queues do.
_records: weakref.WeakKeyDictionary[Any, PoolRecord] = weakref.WeakKeyDictionary()


def name_pool(pool: Any, name: str) -> None:
    """Call ``pool`` by ``name`` in spans and metrics; raises ValueError before its first use.

    >>> pool = await asyncpg.create_pool(dsn)
    >>> agentscope.clients.asyncpg.name_pool(pool, "orders")
    """
    record = _record(pool)
    if record is None:
        raise ValueError("the pool is not initialized; await it before name_pool()")
    record.rename(name)


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, asyncpg."""
    checkouts = Checkouts(_WHERE, _record, _place, _usual_name, _timed_out)
    patches.wrap(module.pool.Pool, "_acquire", checkouts.acquire_async)
    patches.wrap(module.pool.Pool, "release", checkouts.release_async)
    queries = Queries(_WHERE, SYSTEM, _place_of)
    connection, prepared = module.connection.Connection, module.prepared_stmt.PreparedStatement
    for owner, names, described in (
        (connection, _STATEMENTS, _given),
        (connection, _BATCHES, _given_batch),
        (connection, ("prepare",), _preparing),
        (connection, _COPIES, _copying),
        (prepared, _STATEMENTS, _kept),
        (prepared, _BATCHES, _kept_batch),
        (module.cursor.Cursor, _CURSOR, _kept),
    ):
        for name in names:
            if name in vars(owner):  # fetchmany came with asyncpg 0.30
                patches.wrap(owner, name, queries.async_hook(described))


# --- the pool -----------------------------------------------------------------------------------


def _record(pool: Any) -> PoolRecord | None:
    """What is known of ``pool``; None before it is initialized."""
    queue = pool._queue
    if queue is None:
        return None
    record = _records.get(queue)
    if record is None:
        alive = weakref.ref(queue)
        record = new_record(_records, queue, lambda held: _state(alive()), SYSTEM)
    return record


def _place(connection: Any) -> int | None:
    """What a connection is known by while it is held: its place in the pool, as long as it has it."""
    holder = getattr(connection, "_holder", None)
    return id(holder) if holder is not None and holder._proxy is connection else None


def _state(queue: Any) -> PoolState | None:
    if queue is None:
        return None
    try:
        place = queue._queue[-1]  # the places that are free know their pool
    except IndexError:
        return PoolState(queue.maxsize, 0, queue.maxsize)
    pool = place._pool
    if pool.is_closing():
        return None
    idle = pool.get_idle_size()
    return PoolState(pool.get_size() - idle, idle, pool.get_max_size())


def _usual_name(pool: Any, connection: Any) -> str:
    connection = connection._con
    address = connection._addr
    host, port = address[:2] if isinstance(address, tuple) else ("", 0)
    return pool_name(connection._params.database, host, port)


def _timed_out(error: BaseException) -> bool:
    return isinstance(error, TimeoutError)


# --- statements ---------------------------------------------------------------------------------


def _place_of(target: Any) -> Place:
    proxy = getattr(target, "_connection", target)._proxy
    if proxy is None:
        return NOWHERE
    holder = proxy._holder
    record = _record(holder._pool)
    return NOWHERE if record is None else Place(record, record.holds.get(id(holder)))


def _given(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the first argument."""
    return summarize(args[0] if args else kwargs.get("query", kwargs.get("command")))


def _given_batch(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    rows = args[1] if len(args) > 1 else kwargs.get("args")
    return _given(target, args, kwargs)._replace(batch=batch_of(rows))


def _preparing(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return Summary("PREPARE", _given(target, args, kwargs).collection)


def _copying(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    table = args[0] if args else kwargs.get("table_name")
    if isinstance(table, str) and table.isidentifier():
        return Summary("COPY", table)
    return Summary("COPY", "")  # from a query


def _kept(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the prepared statement's, or the cursor's."""
    return summarize(target._query)


def _kept_batch(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    rows = args[0] if args else kwargs.get("args")
    return summarize(target._query)._replace(batch=batch_of(rows))
