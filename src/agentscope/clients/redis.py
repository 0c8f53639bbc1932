"""redis-py, synchronous and asynchronous: commands, pipelines, pools.

A command has one span for each time it is sent, so redis-py's own retries show; a pipeline has one,
with the number of its commands. Keys and values are never read, only the command's name. Patched is
what runs once a connection has been taken from its pool, so that waiting for one is no part of the
command.

A pool is called after the database its connections lead to: ``db0@localhost``. A client with a
connection of its own (``single_connection_client``) makes its callers wait for it in line; that
wait has no span.
"""

from __future__ import annotations

import functools
import re
import sys
import weakref
from collections.abc import Callable
from typing import Any

from agentscope.clients.checkouts import Checkouts
from agentscope.clients.patches import Hook, Patches
from agentscope.clients.pools import PoolRecord, PoolState, new_record
from agentscope.clients.queries import NOWHERE, Described, Place, Queries
from agentscope.clients.statements import NOTHING, Summary

SYSTEM = "redis"
PORT = 6379

_WHERE = "clients.redis"
_NO_LIMIT = 2**31
"""What redis-py takes for a limit where the user gives none, in the versions that take one."""

_NAME = re.compile(r"[A-Z][A-Z0-9._-]{0,31}")

_records: weakref.WeakKeyDictionary[Any, PoolRecord] = weakref.WeakKeyDictionary()


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, redis."""
    checkouts, queries = _hooks()
    _patch(patches, module.__name__, checkouts.acquire, checkouts.release, queries.sync_hook)
    cluster = sys.modules["redis.cluster"].RedisCluster
    patches.wrap(cluster, "_execute_command", queries.sync_hook(_sending))


def patch_asyncio(module: Any, patches: Patches) -> None:
    """Hook ``module``, redis.asyncio."""
    checkouts, queries = _hooks()
    acquire, release = checkouts.acquire_async, checkouts.release_async
    _patch(patches, module.__name__, acquire, release, queries.async_hook)
    node = sys.modules["redis.asyncio.cluster"].ClusterNode
    patches.wrap(node, "execute_command", queries.async_hook(_commanding))


def _hooks() -> tuple[Checkouts, Queries]:
    checkouts = Checkouts(_WHERE, _record, id, _usual_name, _timed_out)
    return checkouts, Queries(_WHERE, SYSTEM, _place_of)


def _patch(
    patches: Patches, package: str, acquire: Hook, release: Hook, query: Callable[[Described], Hook]
) -> None:
    """Hook what both kinds of client have, each in modules of the same names."""
    connections, client = sys.modules[f"{package}.connection"], sys.modules[f"{package}.client"]
    for pool in (connections.ConnectionPool, connections.BlockingConnectionPool):
        patches.wrap(pool, "get_connection", acquire)
        patches.wrap(pool, "release", release)
    patches.wrap(client.Redis, "_send_command_parse_response", query(_sending))
    for name in ("_execute_transaction", "_execute_pipeline"):
        patches.wrap(client.Pipeline, name, query(_pipelining))


# --- pools --------------------------------------------------------------------------------------


def _record(pool: Any) -> PoolRecord:
    record = _records.get(pool)
    if record is None:
        alive = weakref.ref(pool)
        name = _usual_name(pool)
        record = new_record(_records, pool, lambda held: _state(alive(), held), SYSTEM, name)
    return record


def _state(pool: Any, held: int) -> PoolState | None:
    if pool is None:
        return None
    free = getattr(pool, "_available_connections", None)
    # The blocking pool of threads keeps a list of all its connections, and none of the free ones.
    idle = len(free) if free is not None else max(0, len(pool._connections) - held)
    limit = pool.max_connections
    return PoolState(held, idle, limit if limit < _NO_LIMIT else None)


def _usual_name(pool: Any, connection: Any = None) -> str:
    options = pool.connection_kwargs
    name = f"db{options.get('db') or 0}@{options.get('host') or 'localhost'}"
    port = options.get("port") or PORT
    return name if port == PORT else f"{name}:{port}"


def _timed_out(error: BaseException) -> bool:
    # What both blocking pools say, with the exception of a broken connection.
    return str(error) == "No connection available."


# --- commands -----------------------------------------------------------------------------------


def _place_of(client: Any) -> Place:
    pool = getattr(client, "connection_pool", None)
    record = None if pool is None else _records.get(pool)
    return NOWHERE if record is None else Place(record, None)


def _sending(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The first argument says to whom; the second is the command's name; the rest is not read."""
    return _summarize(args[1] if len(args) > 1 else kwargs.get("command_name"))


def _commanding(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return _summarize(args[0] if args else None)


def _pipelining(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    commands = args[1] if len(args) > 1 else kwargs.get("commands", ())
    return Summary("PIPELINE", "", len(commands))


def _summarize(command: object) -> Summary:
    if isinstance(command, bytes):
        command = command[:64].decode(errors="replace")
    return _named(command[:64]) if isinstance(command, str) else NOTHING


@functools.lru_cache(maxsize=512)
def _named(command: str) -> Summary:
    name = command.split(" ", 1)[0].upper()
    return Summary(name, "") if _NAME.fullmatch(name) else NOTHING
