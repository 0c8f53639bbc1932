"""redis-py against a server on a loopback socket: commands, pipelines, pools."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import copy_context
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.cluster import RedisCluster

import agentscope
from agentscope import conventions as c
from agentscope.recording.guard import RAISE_VARIABLE, forget_internal_errors, internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.testing import Recorded, RecordedSpan

HOLD_S = 0.04

# Until redis-py 5.3 a pool wanted to know what its connection is for.
FOR = ("_",) if int(redis.__version__.partition(".")[0]) < 6 else ()

SpansOf = Callable[[str], list[RecordedSpan]]
Statements = Callable[[], list[str]]
Gauges = Callable[[], dict[tuple[str, ...], float]]
AsMeasured = Callable[[list[float], list[float]], bool]
Counts = Callable[[c.Metric], dict[tuple[str, ...], int]]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


_databases = itertools.count(1)


@pytest.fixture
def db() -> int:
    """A database of the test's own: pools of earlier ones may not have been collected yet."""
    return next(_databases)


@pytest.fixture
def name(port: int, db: int) -> str:
    """What a pool of the test's is called."""
    return f"db{db}@127.0.0.1:{port}"


def on_client(port: int, db: int, use: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    """Run ``use`` in a turn, with an asynchronous client of a blocking pool."""

    async def main() -> None:
        pool = redis.asyncio.BlockingConnectionPool(host="127.0.0.1", port=port, db=db, **options)
        client = redis.asyncio.Redis.from_pool(pool)
        await client.ping()  # connects
        with agentscope.turn("turn"):
            await use(client)
        await client.aclose()

    asyncio.run(main())


def client_of(port: int, db: int, **options: Any) -> redis.Redis:
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, db=db, **options)
    return redis.Redis.from_pool(pool)


def test_one_span_a_command(
    port: int, db: int, name: str, recorded: Recorded, statements: Statements
) -> None:
    """Named by the command alone; a pipeline is one, and says how many it sent."""
    with client_of(port, db) as client, agentscope.turn("turn"):
        client.set("canary", "canary")
        assert client.get("canary") == b"canary"
        client.execute_command("get canary")
        with client.pipeline() as pipeline:
            pipeline.incr("canary-2").incr("canary-2").execute()
        with client.pipeline(transaction=False) as pipeline:
            pipeline.watch("canary")
            pipeline.multi()
            pipeline.set("canary", 1).execute()
    assert statements() == ["SET", "GET", "GET", "PIPELINE", "WATCH", "PIPELINE"]
    get = next(span for span in recorded.spans if span.name == "GET")
    assert get.kind == 3
    assert get.attributes == {
        "db.system.name": "redis",
        "db.operation.name": "GET",
        "db.query.summary": "GET",
        "db.client.connection.pool.name": name,
    }
    pipelines = [span for span in recorded.spans if span.name == "PIPELINE"]
    assert [span.attributes["db.operation.batch.size"] for span in pipelines] == [2, 1]
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_asynchronous_commands(
    port: int, db: int, recorded: Recorded, statements: Statements
) -> None:
    """The same, on an asynchronous client."""

    async def use(client: Any) -> None:
        await client.set("canary", "canary")
        assert await client.get("canary") == b"canary"
        async with client.pipeline() as pipeline:
            await pipeline.incr("canary-2").incr("canary-2").execute()

    on_client(port, db, use)
    assert statements() == ["SET", "GET", "PIPELINE"]


def test_three_callers_of_one_connection(
    port: int,
    db: int,
    name: str,
    recorded: Recorded,
    spans_of: SpansOf,
    counts: Counts,
    as_measured: AsMeasured,
) -> None:
    """A command does not include the wait for the connection that it is sent on."""
    waited: list[float] = []

    async def hold(client: Any) -> None:
        asked_s = time.monotonic()
        connection = await client.connection_pool.get_connection(*FOR)
        waited.append(time.monotonic() - asked_s)
        await asyncio.sleep(HOLD_S)
        await client.connection_pool.release(connection)

    async def use(client: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold(client))
            group.create_task(hold(client))
            group.create_task(client.get("x"))

    on_client(port, db, use, max_connections=1)
    waits = spans_of("wait db.pool")
    durations = sorted(span.duration_s for span in waits)
    assert as_measured(durations[-2:-1], waited[1:])
    assert durations[-1] > 2 * HOLD_S - 0.002
    assert waits[-1].attributes["agentscope.wait.resource"] == name
    get, last = recorded.span("GET"), max(waits, key=lambda span: span.duration_s)
    assert get.start_s >= last.start_s + last.duration_s
    assert get.duration_s < HOLD_S
    assert counts(c.DB_USE_TIME) == {(name,): 4}


def test_threads_wait_too(
    port: int, db: int, recorded: Recorded, spans_of: SpansOf, as_measured: AsMeasured
) -> None:
    """A queue of threads is measured as one of tasks."""
    client = client_of(port, db, max_connections=1)
    waited: list[float] = []

    def hold() -> None:
        asked_s = time.monotonic()
        connection = client.connection_pool.get_connection(*FOR)
        waited.append(time.monotonic() - asked_s)
        time.sleep(HOLD_S)
        client.connection_pool.release(connection)

    hold()  # connects
    waited.clear()
    with client, agentscope.turn("turn"):
        threads = [threading.Thread(target=copy_context().run, args=(hold,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    durations = sorted(span.duration_s for span in spans_of("wait db.pool"))
    assert as_measured(durations[-2:], sorted(waited)[1:])


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_time_out_of_the_pool(
    port: int, db: int, name: str, recorded: Recorded, kind: str
) -> None:
    """redis-py's own exception; who gave up has waited, and is counted."""

    async def use(client: Any) -> None:
        connection = await client.connection_pool.get_connection(*FOR)
        with pytest.raises(redis.ConnectionError, match=r"^No connection available\.$"):
            await client.get("x")
        await client.connection_pool.release(connection)

    if kind == "async":
        on_client(port, db, use, max_connections=1, timeout=0.03)
    else:
        with (
            client_of(port, db, max_connections=1, timeout=0.03) as client,
            agentscope.turn("turn"),
        ):
            connection = client.connection_pool.get_connection(*FOR)
            with pytest.raises(redis.ConnectionError, match=r"^No connection available\.$"):
                client.get("x")
            client.connection_pool.release(connection)
    (wait,) = (span for span in recorded.spans if span.status == 2)
    assert (wait.name, wait.attributes["error.type"]) == (
        "wait db.pool",
        "redis.exceptions.ConnectionError",
    )
    assert recorded.value(c.DB_TIMEOUTS, name) == 1


def test_cancellation_while_waiting(
    port: int, db: int, name: str, recorded: Recorded, gauges: Gauges
) -> None:
    """It goes through; the pool serves on."""

    async def use(client: Any) -> None:
        connection = await client.connection_pool.get_connection(*FOR)
        task = asyncio.create_task(client.get("x"))
        await asyncio.sleep(0.02)
        assert gauges()["pending_requests", name] == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.connection_pool.release(connection)
        async with asyncio.timeout(2):
            await client.get("x")
        assert gauges() == {
            ("count", name, "used"): 0,
            ("count", name, "idle"): 1,
            ("max", name): 1,
            ("pending_requests", name): 0,
        }

    on_client(port, db, use, max_connections=1)


def test_gauges_of_threads(
    port: int, db: int, name: str, recorded: Recorded, gauges: Gauges
) -> None:
    """Used, idle and limit; nothing of a pool that is gone."""
    client = client_of(port, db, max_connections=3)
    connection = client.connection_pool.get_connection(*FOR)
    client.get("x")
    assert gauges() == {
        ("count", name, "used"): 1,
        ("count", name, "idle"): 1,
        ("max", name): 3,
        ("pending_requests", name): 0,
    }
    client.connection_pool.release(connection)
    client.close()
    del client, connection
    gc.collect()
    assert gauges() == {}


def test_the_child_of_a_fork_holds_nothing(
    port: int, db: int, name: str, recorded: Recorded, gauges: Gauges
) -> None:
    """What the parent holds is the parent's; redis-py gives the child connections of its own."""
    client = client_of(port, db, max_connections=3)
    connection = client.connection_pool.get_connection(*FOR)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            client.get("x")
            code = 0 if gauges()["count", name, "used"] == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert gauges()["count", name, "used"] == 1
    client.connection_pool.release(connection)


def test_a_failing_command(port: int, db: int, recorded: Recorded) -> None:
    """The caller gets redis-py's exception; the span says its class."""
    with client_of(port, db) as client, agentscope.turn("turn"):
        client.set("text", "x")
        with pytest.raises(redis.ResponseError):
            client.incr("text")
    span = recorded.span("INCRBY")
    assert span.attributes["error.type"] == "redis.exceptions.ResponseError"


def test_a_node_of_a_cluster(port: int, recorded: Recorded, statements: Statements) -> None:
    """A cluster's command is sent by the node that it is routed to."""

    async def main() -> None:
        node = ClusterNode("127.0.0.1", port, "primary")
        with agentscope.turn("turn"):
            await node.execute_command("GET", "canary")
        await node.disconnect()

    asyncio.run(main())
    assert statements() == ["GET"]


def test_a_cluster_of_threads(
    port: int, db: int, recorded: Recorded, statements: Statements
) -> None:
    """The same where the cluster's client sends it."""
    cluster: Any = RedisCluster.__new__(RedisCluster)
    with client_of(port, db) as client, agentscope.turn("turn"):
        cluster.get_redis_connection = lambda node: client
        cluster.result_callbacks = cluster.cluster_response_callbacks = {}
        cluster._execute_command(None, "GET", "canary")
    assert statements() == ["GET"]


@pytest.mark.parametrize("broken", ["start", "take", "observe"])
def test_our_faults_are_ours(
    port: int,
    db: int,
    recorded: Recorded,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Results are redis-py's, whatever fails in here; faults are counted."""

    def fault(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    forget_internal_errors()
    with client_of(port, db) as client, agentscope.turn("turn"), monkeypatch.context() as patched:
        patched.delenv(RAISE_VARIABLE)
        patched.setattr(Recorder, broken, fault)
        assert client.set("x", 1)
        assert client.get("x") == b"1"
    assert internal_errors()["clients.redis"] > 0
    forget_internal_errors()
