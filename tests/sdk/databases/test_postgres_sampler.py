"""What a PostgreSQL server's sessions do and wait for, sampled from the server's side."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import agentscope
from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.instruments import Instruments, run_samplers
from agentscope.runtime import postgres
from agentscope.runtime.postgres import PostgresSampler

DRIVERS = [postgres._Psycopg, postgres._Asyncpg]


def values(instruments: Instruments, metric: c.Metric) -> dict[tuple[str, ...], float]:
    return {
        point.labels: point.value
        for one, points in instruments.snapshot()
        if one is metric
        for point in points
    }


def alone(sampler: PostgresSampler, server: Any) -> None:
    """Read until no session is left: one that was closed takes a moment to end on the server."""
    deadline_s = time.monotonic() + 10
    while sampler.read(server) and sampler._rows:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@contextlib.contextmanager
def blocked(dsn: str) -> Iterator[None]:
    """One session idle in a transaction with a lock on a row, and one that waits for it."""
    with psycopg.connect(dsn, autocommit=True) as setup:
        setup.execute("INSERT INTO messages VALUES (77, 'x')")
        with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as waiter:
            update = "UPDATE messages SET body = 'y' WHERE id = 77"
            holder.execute(update)
            thread = threading.Thread(target=waiter.execute, args=(update,))
            thread.start()
            try:
                waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                while setup.execute(waits).fetchone() == (0,):
                    time.sleep(0.002)
                yield
            finally:
                holder.rollback()
                thread.join()
                setup.execute("DELETE FROM messages")


@pytest.mark.parametrize("driver", DRIVERS)
def test_sessions_by_state_and_wait(dsn: str, driver: Any) -> None:
    """Who waits and on what, who sleeps in a transaction, and for how long; not the sampler."""
    instruments = Instruments()
    sampler = PostgresSampler(dsn, "chat")
    sampler._thread, sampler._pid = threading.current_thread(), postgres.os.getpid()
    server = driver(dsn, sampler._name)
    with contextlib.closing(server):
        alone(sampler, server)
        with blocked(dsn):
            while ("", "") in {row[1:3] for row in sampler._rows} or not sampler._rows:
                assert sampler.read(server)  # a session that has just answered does not wait yet
            sampler.sample(instruments)
    assert values(instruments, c.POSTGRES_BACKENDS) == {
        ("active", "Lock", "transactionid"): 1,
        ("idle in transaction", "Client", "ClientRead"): 1,
        ("idle", "Client", "ClientRead"): 1,
    }
    ages = values(instruments, c.POSTGRES_TRANSACTION_AGE)
    assert 0 < ages["active",] <= ages["idle in transaction",] < 5
    assert ages["idle",] == 0


def test_a_state_that_is_over_is_forgotten(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A series says what is true now; a reading that is too old says nothing."""
    instruments = Instruments()
    sampler = PostgresSampler(dsn, "chat")
    sampler._thread, sampler._pid = threading.current_thread(), postgres.os.getpid()
    with contextlib.closing(postgres._Psycopg(dsn, sampler._name)) as server:
        with psycopg.connect(dsn):
            sampler.read(server)
            sampler.sample(instruments)
            assert len(values(instruments, c.POSTGRES_BACKENDS)) == 1
        alone(sampler, server)
        sampler.sample(instruments)
        assert values(instruments, c.POSTGRES_BACKENDS) == {}
        with psycopg.connect(dsn):
            sampler.read(server)
        monkeypatch.setattr(postgres, "STALE_S", 0.0)
        sampler.sample(instruments)
        assert values(instruments, c.POSTGRES_BACKENDS) == {}


def test_only_the_eldest_of_a_service_samples(dsn: str) -> None:
    """A second worker leaves it to the first; another service samples for itself."""
    first, second, other = (PostgresSampler(dsn, name) for name in ("chat", "chat", "search"))
    with (
        contextlib.closing(postgres._Psycopg(dsn, first._name)) as one,
        contextlib.closing(postgres._Psycopg(dsn, second._name)) as two,
        contextlib.closing(postgres._Psycopg(dsn, other._name)) as three,
    ):
        assert [first.read(one), second.read(two), other.read(three)] == [True, False, True]


def test_it_reads_while_it_is_asked(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread starts with the first question, and ends, connection and all, with the last."""
    monkeypatch.setattr(postgres, "STALE_S", 0.3)
    monkeypatch.setattr(postgres, "PERIOD_S", 0.05)
    instruments = Instruments()
    sampler = PostgresSampler(dsn, "alone")
    with psycopg.connect(dsn):
        deadline_s = time.monotonic() + 10
        while not values(instruments, c.POSTGRES_BACKENDS):
            assert time.monotonic() < deadline_s
            sampler.sample(instruments)
            time.sleep(0.01)
    thread = sampler._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    with psycopg.connect(dsn) as connection:
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        while connection.execute(ours, (sampler._name,)).fetchone() != (0,):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def test_the_variable_turns_it_on(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It samples with the recorder, and its DSN is in no output."""
    monkeypatch.setattr(postgres, "STALE_S", 0.3)
    monkeypatch.setattr(postgres, "PERIOD_S", 0.05)
    monkeypatch.setenv("AGENTSCOPE_POSTGRES_DSN", dsn)
    settings = agentscope.configure(service_name="by-variable")
    recorder = lifecycle.recorder
    assert recorder is not None
    try:
        with psycopg.connect(dsn):
            deadline_s = time.monotonic() + 10
            while not values(recorder.instruments, c.POSTGRES_BACKENDS):
                assert time.monotonic() < deadline_s
                run_samplers(recorder.samplers, recorder.instruments)
                time.sleep(0.01)
        assert dsn not in repr(settings)
        assert dsn not in repr(recorder.manifest(ended=False))
    finally:
        agentscope.shutdown()
        monkeypatch.delenv("AGENTSCOPE_POSTGRES_DSN")
        agentscope.configure()
        agentscope.shutdown()


def test_a_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again, ever more rarely, and reported once, without the DSN."""
    monkeypatch.setattr(postgres, "STALE_S", 0.3)
    monkeypatch.setattr(postgres, "PERIOD_S", 0.02)
    tried: list[float] = []

    def connect(dsn: str, name: str) -> Any:
        tried.append(time.monotonic())
        raise OSError("canary")

    sampler = PostgresSampler("postgresql://user:canary@127.0.0.1:1/x", "chat", connect)
    sampler.sample(Instruments())
    assert sampler._thread is not None
    sampler._thread.join(10)
    assert not sampler._thread.is_alive()
    assert 2 <= len(tried) <= 5
    assert tried[-1] - tried[-2] > tried[1] - tried[0]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("agentscope cannot sample PostgreSQL (OSError)")
    assert "canary" not in caplog.text
