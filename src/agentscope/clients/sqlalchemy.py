"""SQLAlchemy 2: the statements of its connections, and its pools.

One execution has one span, whatever driver is below and however many calls of it SQLAlchemy makes
(the asyncpg dialect prepares every statement; rows inserted together are sent in batches). What the
driver's own hook would see inside of it is part of it; what a driver does outside of it, such as
reading the pages of a server-side cursor, is seen by the driver's.

Waiting for a connection includes opening one, and pinging one that has been idle; a pool is called
by its ``pool_logging_name``, else after the engine's URL, ``database@host``. An engine of asyncio
runs all of this in a greenlet, which has its task's context.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentscope import lifecycle
from agentscope.clients.checkouts import Checkouts
from agentscope.clients.patches import Patches
from agentscope.clients.pools import PoolRecord, PoolState, new_record
from agentscope.clients.queries import Described, Place, Queries, batch_of
from agentscope.clients.statements import Summary, summarize
from agentscope.recording.guard import internal_error

_WHERE = "clients.sqlalchemy"
_UNNAMED = "sqlalchemy"

_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
"""Dialects that the semantic conventions call otherwise."""

_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}

_records: weakref.WeakKeyDictionary[Any, PoolRecord] = weakref.WeakKeyDictionary()


def patch_engine(module: Any, patches: Patches) -> None:
    """Hook ``module``, sqlalchemy.engine.base."""
    queries = Queries(_WHERE, _UNNAMED, _place_of)
    for name, described in (
        ("_exec_single_context", _executing),
        ("_exec_insertmany_context", _executing),
        ("_cursor_execute", _given),
        ("_commit_impl", _ending("COMMIT")),
        ("_rollback_impl", _ending("ROLLBACK")),
    ):
        patches.wrap(module.Connection, name, queries.sync_hook(described))
    patches.wrap(module.Engine, "raw_connection", _connect)
    patches.wrap(module.Engine, "dispose", _dispose)


def patch_pool(module: Any, patches: Patches) -> None:
    """Hook ``module``, sqlalchemy.pool."""
    timeout = sys.modules["sqlalchemy.exc"].TimeoutError
    sharing = (module.StaticPool, module.SingletonThreadPool)
    checkouts = Checkouts(
        _WHERE,
        _record,
        _place,
        lambda *_: _UNNAMED,
        lambda error: isinstance(error, timeout),
        lambda pool: isinstance(pool, sharing),
    )
    base = sys.modules["sqlalchemy.pool.base"]
    patches.wrap(base.Pool, "connect", checkouts.acquire)
    patches.wrap(module.SingletonThreadPool, "connect", checkouts.acquire)

    def give_back(
        wrapped: Callable[..., Any], entry: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        pool = None if recorder is None else _pool_of(entry)
        if recorder is None or pool is None:
            return wrapped(*args, **kwargs)
        return checkouts.giving_back(recorder, pool, entry, wrapped, args, kwargs)

    patches.wrap(base._ConnectionRecord, "checkin", give_back)
    patches.wrap(base._ConnectionFairy, "detach", give_back)


# --- pools --------------------------------------------------------------------------------------


def _record(pool: Any) -> PoolRecord:
    record = _records.get(pool)
    if record is None:
        alive = weakref.ref(pool)
        name = pool._orig_logging_name or ""
        record = new_record(_records, pool, lambda held: _state(alive(), held), _UNNAMED, name)
    return record


def _state(pool: Any, held: int) -> PoolState | None:
    if pool is None:
        return None
    if not hasattr(pool, "checkedout"):  # a pool that does not queue
        return PoolState(held, 0, None)
    size = pool.size()
    limit = size + pool._max_overflow if pool._max_overflow >= 0 else None
    return PoolState(pool.checkedout(), pool.checkedin(), limit, size or None)


def _place(connection: Any) -> int | None:
    """What a connection is known by: the pool's entry, which outlives the proxy the user has."""
    entry = getattr(connection, "_connection_record", connection)
    return None if entry is None else id(entry)


def _pool_of(entry: Any) -> Any:
    """The pool of an entry or of the proxy of one; None where we do not find it."""
    return getattr(entry, "_ConnectionRecord__pool", None) or getattr(entry, "_pool", None)


def _connect(
    wrapped: Callable[..., Any], engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Name the pool before its first connection is waited for: it does not know where it leads."""
    if lifecycle.recorder is not None:
        try:
            record = _record(engine.pool)
            if not record.name:
                record.rename(_usual_name(engine.url))
        except Exception as error:
            internal_error(_WHERE, error)
    return wrapped(*args, **kwargs)


def _dispose(
    wrapped: Callable[..., Any], engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The engine's next pool is called as its first one."""
    before = engine.pool
    try:
        return wrapped(*args, **kwargs)
    finally:
        record = _records.get(before)
        if record is not None and engine.pool is not before:
            record.retire()


def _usual_name(url: Any) -> str:
    database = url.database or ""
    if url.get_backend_name() == "sqlite":
        return Path(database).name or ":memory:"
    host = url.host or "localhost"
    name = f"{database}@{host}" if database else str(host)
    return (
        f"{name}:{url.port}" if url.port not in (None, _PORTS.get(url.get_backend_name())) else name
    )


# --- statements ---------------------------------------------------------------------------------


def _place_of(connection: Any) -> Place:
    engine = connection.engine
    dialect = engine.dialect.name
    record = _records.get(engine.pool)
    hold = None
    if record is not None:
        proxy = connection._dbapi_connection
        hold = record.holds.get(id(getattr(proxy, "_connection_record", None)))
    return Place(record, hold, _SYSTEMS.get(dialect, dialect))


def _executing(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the execution context's."""
    context = args[1] if len(args) > 1 else kwargs["context"]
    summary = summarize(context.statement)
    if context.executemany:
        return summary._replace(batch=batch_of(context.compiled_parameters or context.parameters))
    return summary


def _given(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return summarize(args[1] if len(args) > 1 else kwargs.get("statement"))


def _ending(operation: str) -> Described:
    def ending(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
        # Where every statement stands for itself the driver has nothing to send.
        alone = getattr(target, "_is_autocommit_isolation", None)
        return None if alone is not None and alone() else Summary(operation, "")

    return ending
