"""Beside OpenTelemetry's own database instrumentations: one span a statement, ours, and the waits.

They are installed into environments that are thrown away, as in ``test_double_spans.py``.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import fakeredis
import pytest
from asking import ORDERS
from environments import run_script
from test_double_spans import said, spans_of

from agentscope import conventions as names
from agentscope.lab.postgres import EmbeddedPostgres

CONTRIB = "opentelemetry-instrumentation"
ASKERS: dict[str, tuple[str, ...]] = {
    "asyncpg": ("asyncpg",),
    "psycopg": ("psycopg[binary]", "psycopg-pool"),
    "redis": ("redis",),
    # The newest that their instrumentation knows.
    "sqlalchemy": ("asyncpg", "psycopg[binary]", "sqlalchemy[asyncio]>=2,<2.1"),
    "sqlite3": (),
}
"""Who asks (``asking_with_….py``) → what that needs beside its instrumentation."""


HELD_NS = 200_000_000
"""A wait this long was one for the holder of the connection, who sleeps 250 ms on it."""


class Expected(NamedTuple):
    """What a script does."""

    statements: Counter[str]
    waits: int
    """Waits for a connection that somebody held."""
    holds: int
    """Connections taken from a pool."""


DONE = {
    "asyncpg": Expected(
        Counter({"SELECT messages": 2, "UPDATE messages": 1, "DELETE messages": 1}), 1, 3
    ),
    "psycopg": Expected(
        Counter({"SELECT messages": 4, "UPDATE messages": 2, "DELETE messages": 2}), 2, 4
    ),
    "redis": Expected(Counter(SET=2, GET=2, PIPELINE=1), 2, 7),
    "sqlalchemy": Expected(Counter({"SELECT messages": 4, "UPDATE messages": 2}), 2, 4),
    "sqlite3": Expected(
        Counter({"CREATE messages": 1, "INSERT messages": 1, "SELECT messages": 1}), 0, 0
    ),
}
OURS = [(asker, order) for asker in ASKERS for order in ORDERS if order != "alone"]


class Asked(NamedTuple):
    """What came of a run of ``asking.py``."""

    theirs: Counter[str]
    """Spans that the other instrumentation made, by name."""
    spans: list[dict[str, Any]]
    """What we recorded."""
    holds: int
    """How many times we saw a connection given back."""


Ask = Callable[[str], dict[str, Asked]]


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """A PostgreSQL and a redis on the loopback, and the variables that tell where."""
    redis = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    redis.daemon_threads = True
    thread = threading.Thread(target=redis.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with EmbeddedPostgres() as server:
        yield {"DSN": server.dsn, "REDIS_PORT": str(redis.server_address[1])}
    redis.shutdown()
    redis.server_close()
    thread.join()


@pytest.fixture(scope="session")
def ask(
    python_with: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Ask:
    """All that comes of an asker, by order; once for all tests."""

    @cache
    def ask(asker: str) -> dict[str, Asked]:
        python = python_with(*ASKERS[asker], "opentelemetry-sdk", f"{CONTRIB}-{asker}")
        folder, servers = tmp_path_factory.mktemp(asker), request.getfixturevalue("servers")
        fill(servers["DSN"])
        run_script(python, "asking.py", asker, str(folder), f"contrib-{asker}", **servers)
        folder /= f"contrib-{asker}"
        return {
            order: Asked(
                Counter(json.loads((folder / f"{order}.json").read_text())),
                spans_of(folder / order),
                holds_of(folder / order),
            )
            for order in ORDERS
        }

    return ask


def fill(dsn: str) -> None:
    """A table of one message."""
    import asyncio

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            "DROP TABLE IF EXISTS messages; CREATE TABLE messages (id int, body text);"
            "INSERT INTO messages VALUES (1, 'old')"
        )
        await connection.close()

    asyncio.run(main())


def holds_of(run_dir: Path) -> int:
    """Observations of how long a connection was held, of all pools."""
    counts: dict[str, int] = {}
    for file in run_dir.glob("metrics-*.jsonl"):
        for line in file.read_text().splitlines():
            (resource,) = json.loads(line)["resourceMetrics"]
            for metric in resource["scopeMetrics"][0]["metrics"]:
                if metric["name"] == names.DB_USE_TIME.name:
                    for point in metric["histogram"]["dataPoints"]:
                        counts[str(point["attributes"])] = int(point["count"])
    return sum(counts.values())


@pytest.mark.parametrize(("asker", "order"), OURS)
def test_one_span_a_statement(asker: str, order: str, ask: Ask) -> None:
    """As many as the script asks for, whether theirs is off, on before us or on after."""
    asked = ask(asker)[order]
    found = Counter(span["name"] for span in asked.spans if said(span, names.DB_SYSTEM))
    assert found == DONE[asker].statements


@pytest.mark.parametrize(("asker", "order"), OURS)
def test_waits_and_holds_are_seen(asker: str, order: str, ask: Ask) -> None:
    """Who had to wait for the pool's one connection, and how often one was taken."""
    asked = ask(asker)[order]
    waits_ns = [
        int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
        for span in asked.spans
        if said(span, names.WAIT_KIND) == "db.pool"  # among them are those for one to be opened
    ]
    held = sum(wait_ns >= HELD_NS for wait_ns in waits_ns)
    assert (held, asked.holds) == DONE[asker][1:]


@pytest.mark.parametrize(("asker", "order"), OURS)
def test_our_tree_is_whole_without_theirs(asker: str, order: str, ask: Ask) -> None:
    """Their spans are not in our run: every one of ours hangs below the turn."""
    spans = ask(asker)[order].spans
    (turn,) = (span for span in spans if said(span, names.TURN))
    assert {span["parentSpanId"] for span in spans if span is not turn} == {turn["spanId"]}


@pytest.mark.parametrize("asker", ASKERS)
def test_theirs_is_what_it_is_without_us(asker: str, ask: Ask) -> None:
    """The same spans, as many."""
    off, alone, before, after = (ask(asker)[order].theirs for order in ORDERS)
    assert alone.total() >= DONE[asker].statements.total()
    assert (off, before, after) == (Counter(), alone, alone)
