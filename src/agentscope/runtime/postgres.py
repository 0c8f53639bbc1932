"""What the sessions of a PostgreSQL server do and wait for, once a second, from the server's side.

Off unless ``AGENTSCOPE_POSTGRES_DSN`` (``configure(postgres_dsn=…)``) says where the server is. One
thread with one connection reads ``pg_stat_activity``; it starts when the recorder first asks for
figures and ends when that stops asking, so nothing of it survives a fork or a shutdown. Counted are
the clients' sessions in that database; samplers are left out. Of the workers of one service only
the one samples whose connection is the oldest: the figures are the server's, not the process's.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Instruments, Labels

PERIOD_S = 1.0

ELDER_S = 10.0
"""Seconds until a sampler that found an elder one looks again."""

MAX_BACKOFF_S = 60.0

STALE_S = 5.0
"""A figure that is older is not shown any more."""

TIMEOUT_S = 5
"""Longest time for connecting, and for an answer."""

_NAME = "agentscope sampler"

_ELDER = """
SELECT count(*) FROM pg_stat_activity AS other
JOIN pg_stat_activity AS mine ON mine.pid = pg_backend_pid()
WHERE other.application_name = mine.application_name
  AND other.datname = mine.datname
  AND (other.backend_start, other.pid) < (mine.backend_start, mine.pid)
"""

_SESSIONS = f"""
SELECT coalesce(state, 'hidden'), coalesce(wait_event_type, ''), coalesce(wait_event, ''),
  count(*), coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database()
  AND application_name NOT LIKE '{_NAME}%'
GROUP BY 1, 2, 3
"""

_log = logging.getLogger("agentscope")

Row = tuple[Any, ...]


class Server(Protocol):
    """A connection to the server, of whichever driver is installed."""

    def ask(self, statement: str) -> list[Row]:
        """The rows that the statement gives."""

    def close(self) -> None:
        """Hang up."""


Connect = Callable[[str, str], Server]
"""Connects to a DSN, with an application's name."""


class PostgresSampler:
    """Reads the sessions of the server at ``dsn`` while somebody asks for them."""

    def __init__(self, dsn: str, service: str, connect: Connect | None = None) -> None:
        self._dsn = dsn
        self._name = f"{_NAME}: {service}"[:63]  # PostgreSQL cuts longer names
        self._connect = connect or _connect
        self._rows: list[Row] = []
        self._read_s = 0.0
        self._asked_s = 0.0
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._shown: set[tuple[c.Metric, Labels]] = set()
        self._lost = False

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.postgres.*`` from the last reading; forget what is not true any more."""
        self._asked_s = time.monotonic()
        self._ensure_running()
        values: dict[tuple[c.Metric, Labels], float] = {}
        if self._asked_s - self._read_s < STALE_S:
            for state, wait_type, wait, sessions, age_s in self._rows:
                values[c.POSTGRES_BACKENDS, (state, wait_type, wait)] = sessions
                age = (c.POSTGRES_TRANSACTION_AGE, (state,))
                values[age] = max(values.get(age, 0.0), float(age_s))
        for metric, labels in self._shown - values.keys():
            instruments.forget(metric, labels)
        self._shown = set(values)
        for (metric, labels), value in values.items():
            instruments.set(metric, labels, value)

    def read(self, server: Server) -> bool:
        """Read the sessions once; False where another sampler of the service already does."""
        if server.ask(_ELDER)[0][0]:
            return False
        self._rows = server.ask(_SESSIONS)
        self._read_s = time.monotonic()
        return True

    def _ensure_running(self) -> None:
        if self._thread is not None and self._thread.is_alive() and self._pid == os.getpid():
            return
        thread = threading.Thread(target=self._run, name="agentscope-postgres", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads; the next second tries again
            note_error("postgres sampler", error)
            return
        self._thread, self._pid = thread, os.getpid()

    def _run(self) -> None:
        server: Server | None = None
        pause_s = PERIOD_S
        while time.monotonic() - self._asked_s < STALE_S:
            try:
                if server is None:
                    server = self._connect(self._dsn, self._name)
                if self.read(server):
                    pause_s = PERIOD_S
                else:
                    _close(server)
                    server, pause_s = None, ELDER_S
                self._lost = False
            except Exception as error:
                _close(server)
                server = None
                pause_s = min(pause_s * 2, MAX_BACKOFF_S)
                self._report(error)
            self._pause(pause_s * random.uniform(0.9, 1.1) if server is None else pause_s)
        _close(server)

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if time.monotonic() - self._asked_s >= STALE_S:
                return
            time.sleep(min(left_s, 1.0))

    def _report(self, error: Exception) -> None:
        if not self._lost:
            self._lost = True
            _log.warning(
                "agentscope cannot sample PostgreSQL (%s) and tries again; the service is not "
                "affected. Check AGENTSCOPE_POSTGRES_DSN, or unset it",
                type(error).__name__,  # its text may hold the password
            )


def _connect(dsn: str, name: str) -> Server:
    if importlib.util.find_spec("psycopg") is not None:
        return _Psycopg(dsn, name)
    if importlib.util.find_spec("asyncpg") is not None:
        return _Asyncpg(dsn, name)
    raise ModuleNotFoundError("install psycopg or asyncpg to sample PostgreSQL")


class _Psycopg:
    def __init__(self, dsn: str, name: str) -> None:
        import psycopg

        self._connection = psycopg.connect(
            dsn,
            autocommit=True,
            application_name=name,
            connect_timeout=TIMEOUT_S,
            options=f"-c statement_timeout={TIMEOUT_S}s",
        )

    def ask(self, statement: str) -> list[Row]:
        return self._connection.execute(statement.encode()).fetchall()

    def close(self) -> None:
        self._connection.close()


class _Asyncpg:
    def __init__(self, dsn: str, name: str) -> None:
        import asyncio

        import asyncpg

        self._loop = asyncio.new_event_loop()
        try:
            self._connection: Any = self._loop.run_until_complete(
                asyncpg.connect(
                    dsn,
                    timeout=TIMEOUT_S,
                    command_timeout=TIMEOUT_S,
                    server_settings={"application_name": name},
                )
            )
        except BaseException:
            self._loop.close()
            raise

    def ask(self, statement: str) -> list[Row]:
        return [
            tuple(row) for row in self._loop.run_until_complete(self._connection.fetch(statement))
        ]

    def close(self) -> None:
        try:
            self._loop.run_until_complete(self._connection.close(timeout=1))
        finally:
            self._loop.close()


def _close(server: Server | None) -> None:
    if server is not None:
        try:
            server.close()
        except Exception as error:  # it is given up either way
            _log.debug("agentscope: closing the sampler's connection: %s", type(error).__name__)
