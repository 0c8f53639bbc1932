"""sqlite3: the statements of its connections.

Its classes are written in C and take no patches, so a connection made while we record is of a
subclass, and so are its cursors, unless their user asked for a class of his own (``factory=``).
Waiting for a lock of another connection happens inside of SQLite, which sleeps until its
``timeout``: it is part of the statement, and one that waited in vain says ``SQLITE_BUSY``.

SQLite computes rows as they are fetched: ``fetchone``, ``fetchmany`` and ``fetchall`` have a span
where they took a millisecond or more. A loop over a cursor has none.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentscope.clients.patches import Patches
from agentscope.clients.queries import Described, Queries, batch_of
from agentscope.clients.statements import Summary, summarize

SYSTEM = "sqlite"

_FACTORY = 5
"""The position of ``factory`` among the arguments of ``connect``."""


class Cursor(sqlite3.Cursor):
    """A cursor whose methods can be patched."""

    execute = sqlite3.Cursor.execute
    executemany = sqlite3.Cursor.executemany
    executescript = sqlite3.Cursor.executescript
    fetchone = sqlite3.Cursor.fetchone
    fetchmany = sqlite3.Cursor.fetchmany
    fetchall = sqlite3.Cursor.fetchall


class Connection(sqlite3.Connection):
    """A connection whose methods can be patched, and that makes such cursors."""

    agentscope_database = SYSTEM

    commit = sqlite3.Connection.commit
    rollback = sqlite3.Connection.rollback
    __exit__ = sqlite3.Connection.__exit__

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor, of the class that is asked for."""
        return super().cursor(*args, **kwargs) if args or kwargs else super().cursor(Cursor)

    # In C these make a cursor of the base class.

    def execute(self, *args: Any) -> Any:
        """Execute a statement on a cursor of its own."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Execute a statement many times, on a cursor of its own."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """Execute many statements, on a cursor of their own."""
        return self.cursor().executescript(*args)


for _subclass in (Cursor, Connection):  # they say that they are what they stand for
    _subclass.__module__ = "sqlite3"


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, sqlite3."""
    patches.wrap(module, "connect", _connect)
    patches.wrap(module.dbapi2, "connect", _connect)  # SQLAlchemy and Django ask here
    queries = Queries("clients.sqlite3", SYSTEM)
    for owner, name, described in (
        (Cursor, "execute", _given),
        (Cursor, "executemany", _given_batch),
        (Cursor, "executescript", _given),
        (Connection, "commit", _ending("COMMIT")),
        (Connection, "rollback", _ending("ROLLBACK")),
        (Connection, "__exit__", _leaving),
    ):
        patches.wrap(owner, name, queries.sync_hook(described))
    for name in ("fetchone", "fetchmany", "fetchall"):
        patches.wrap(Cursor, name, queries.sync_step(_fetching))


def database_of(connection: object) -> str:
    """What the database of a connection is called; ``sqlite`` where we did not see it made."""
    name = getattr(connection, "agentscope_database", SYSTEM)
    return name if isinstance(name, str) else SYSTEM


def _connect(
    wrapped: Callable[..., Any], module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    factory = kwargs.get("factory", sqlite3.Connection)
    if len(args) > _FACTORY or factory is not sqlite3.Connection:
        return wrapped(*args, **kwargs)
    connection = wrapped(*args, **{**kwargs, "factory": Connection})
    connection.agentscope_database = _name(args[0] if args else kwargs.get("database"))
    return connection


def _name(database: object) -> str:
    """What a database is called: its file's name."""
    if not isinstance(database, str | bytes | os.PathLike):
        return SYSTEM
    name = Path(os.fsdecode(database)).name
    return name.removeprefix("file:").partition("?")[0] or SYSTEM


def _given(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the first argument."""
    return summarize(args[0] if args else None)


def _given_batch(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return _given(target, args, kwargs)._replace(batch=batch_of(args[1] if len(args) > 1 else ()))


def _fetching(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return Summary("FETCH", "")


def _ending(operation: str) -> Described:
    def ending(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
        return Summary(operation, "") if target.in_transaction else None

    return ending


def _leaving(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    """A ``with`` block commits when all went well."""
    if not target.in_transaction:
        return None
    return Summary("COMMIT" if args[:1] == (None,) else "ROLLBACK", "")
