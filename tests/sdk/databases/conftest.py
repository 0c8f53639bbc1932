"""A real PostgreSQL for all tests of databases, and what is read of a recording."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from agentscope import conventions as c
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.lab.postgres import EmbeddedPostgres
from agentscope.recording.instruments import run_samplers
from agentscope.testing import Recorded, RecordedSpan, recording

DATABASES = ("aiosqlite", "asyncpg", "psycopg", "psycopg_pool", "redis", "sqlalchemy", "sqlite3")

_GAUGES = (c.DB_CONNECTION_COUNT, c.DB_CONNECTION_MAX, c.DB_IDLE_MAX, c.DB_PENDING_REQUESTS)


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> Iterator[None]:
    """What was imported is not gone through at every collection: that takes 0.2 s."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A PostgreSQL with an empty table of messages."""
    with EmbeddedPostgres() as server:

        async def prepare() -> None:
            connection = await asyncpg.connect(server.dsn)
            await connection.execute("CREATE TABLE messages (id int PRIMARY KEY, body text)")
            await connection.close()

        asyncio.run(prepare())
        yield server.dsn


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """A recorder in memory, on the real clock, with every library of databases hooked."""
    with recording(real_time=True) as recorded:
        instrument_clients(DATABASES)
        yield recorded
        uninstrument_clients()


@pytest.fixture
def spans_of(recorded: Recorded) -> Callable[[str], list[RecordedSpan]]:
    """The spans of one name, in the order in which they started."""

    def of(name: str) -> list[RecordedSpan]:
        return sorted((s for s in recorded.spans if s.name == name), key=lambda s: s.start_s)

    return of


@pytest.fixture
def statements(recorded: Recorded) -> Callable[[], list[str]]:
    """The names of the statements, in the order in which they started."""

    def names() -> list[str]:
        asked = (span for span in recorded.spans if c.DB_SYSTEM in span.attributes)
        return [span.name for span in sorted(asked, key=lambda span: span.start_s)]

    return names


@pytest.fixture
def gauges(recorded: Recorded) -> Callable[[], dict[tuple[str, ...], float]]:
    """The pools' gauges, sampled now."""
    gc.collect()  # a pool that is never closed, as redis-py's, is there until it is collected

    def sample() -> dict[tuple[str, ...], float]:
        run_samplers(recorded.recorder.samplers, recorded.recorder.instruments)
        return {
            (metric.name.removeprefix("db.client.connection."), *point.labels): point.value
            for metric, points in recorded.instruments.snapshot()
            if metric in _GAUGES
            for point in points
        }

    return sample


@pytest.fixture
def counts(recorded: Recorded) -> Callable[[c.Metric], dict[tuple[str, ...], int]]:
    """How many observations each series of a histogram has."""

    def count(metric: c.Metric) -> dict[tuple[str, ...], int]:
        return {
            point.labels: point.count
            for one, points in recorded.instruments.snapshot()
            if one is metric
            for point in points
        }

    return count


@pytest.fixture
def as_measured() -> Callable[[list[float], list[float]], bool]:
    """Whether our waits are those that their callers measured around them, to 2 ms.

    Ours lie within theirs, always. A caller that was interrupted between two readings of the clock
    measured longer; on a busy machine that may befall some of them, not all.
    """

    def agree(ours: list[float], theirs: list[float]) -> bool:
        gaps = [one - other for one, other in zip(theirs, ours, strict=True)]
        return min(gaps) > -1e-4 and min(gaps) < 0.002

    return agree
