"""HTTP connection pools as gauges: their limit, who holds a connection, who waits for one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

import agentscope
from agentscope import conventions as c
from agentscope.clients import gauges
from agentscope.clients.gauges import HttpPool, PoolState, watch
from agentscope.testing import Recorded

METRICS = {c.HTTP_POOL_LIMIT: "limit", c.HTTP_POOL_IN_USE: "in use", c.HTTP_POOL_WAITING: "waiting"}

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@pytest.fixture(autouse=True)
def _no_pools() -> None:
    gc.collect()
    gauges._pools.clear()


def pools(recorded: Recorded) -> dict[str, dict[str, float]]:
    """The gauges of every pool, sampled now."""
    recorded.recorder._next_tick_s = 0
    shown: dict[str, dict[str, float]] = {}
    for metric, points in recorded.instruments.snapshot():
        for point in points:
            if metric in METRICS:
                shown.setdefault(point.labels[0], {})[METRICS[metric]] = point.value
    return shown


def state(limit: float | None, in_use: float, waiting: float) -> dict[str, float]:
    known = {} if limit is None else {"limit": limit}
    return {**known, "in use": in_use, "waiting": waiting}


async def three_calls(
    recorded: Recorded, call: Callable[[], Any]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The gauges while three calls are on their way, and after them."""
    with agentscope.turn("turn"):
        tasks = [asyncio.create_task(call()) for _ in range(3)]
        await asyncio.sleep(0.15)
        during = pools(recorded)
        await asyncio.gather(*tasks)
        return during, pools(recorded)


@both
def test_the_pool_of_an_httpx_client(provider: Any, recorded: Recorded, library: Any) -> None:
    """Two connections, three calls: one waits."""
    url = provider.url("hold")

    async def main() -> None:
        limits = library.Limits(max_connections=2)
        async with library.AsyncClient(limits=limits) as client:
            during, after = await three_calls(recorded, lambda: client.post(url))
        name = f"127.0.0.1:{provider.port}"
        assert (during, after) == ({name: state(2, 2, 1)}, {name: state(2, 0, 0)})

    asyncio.run(main())
    gc.collect()
    assert pools(recorded) == {}


def test_the_pool_of_an_aiohttp_connector(provider: Any, recorded: Recorded) -> None:
    """Two connections, three calls: one waits; a closed connector has no gauges."""

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=2)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def call() -> None:
                async with session.post(provider.url("hold")) as response:
                    await response.read()

            during, after = await three_calls(recorded, call)
        name = f"127.0.0.1:{provider.port}"
        assert (during, after) == ({name: state(2, 2, 1)}, {name: state(2, 0, 0)})
        assert pools(recorded) == {}

    asyncio.run(main())


def test_an_aiohttp_connector_with_a_limit_for_each_host(provider: Any, recorded: Recorded) -> None:
    """Each host is a pool of its own, for that is what one waits for."""

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=100, limit_per_host=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            hosts = iter(["127.0.0.1", "localhost", "localhost"])

            async def call() -> None:
                url = provider.url("hold").replace("127.0.0.1", next(hosts))
                async with session.post(url) as response:
                    await response.read()

            during, _ = await three_calls(recorded, call)
        assert during == {
            f"127.0.0.1:{provider.port}": state(1, 1, 0),
            f"localhost:{provider.port}": state(1, 1, 1),
        }

    asyncio.run(main())


@pytest.mark.parametrize(
    ("block", "during"),
    [(True, state(2, 2, 1)), (False, state(None, 3, 0))],
    ids=["blocks", "does not block"],
)
def test_the_pool_of_a_requests_session(
    provider: Any, recorded: Recorded, block: bool, during: dict[str, float]
) -> None:
    """A pool that does not block has no limit: it opens what it is asked for and keeps two."""
    with requests.Session() as session, agentscope.turn("turn"):
        session.mount("http://", HTTPAdapter(pool_maxsize=2, pool_block=block))
        threads = [
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(session.post, provider.url("hold")),
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        name = f"127.0.0.1:{provider.port}"
        assert pools(recorded) == {name: during}
        for thread in threads:
            thread.join(10)
        assert pools(recorded) == {name: state(during.get("limit"), 0, 0)}
    assert pools(recorded) == {}


def test_a_body_that_nobody_reads_holds_its_connection(provider: Any, recorded: Recorded) -> None:
    """In use is who has a connection, until it is given back."""
    with urllib3.PoolManager() as pool, agentscope.turn("turn"):
        response = pool.request("GET", provider.url("200"), preload_content=False)
        (before,) = pools(recorded).values()
        response.drain_conn()
        (after,) = pools(recorded).values()
    assert (before, after) == (state(None, 1, 0), state(None, 0, 0))


def test_a_pool_without_a_limit_and_one_that_is_no_pool(recorded: Recorded) -> None:
    """No limit is no series; a transport without connections has no gauges."""
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200))
    limits = httpx2.Limits(max_connections=None)
    with agentscope.turn("turn"):
        with httpx2.Client(transport=answer) as client:
            client.get("http://mock.test/")
        with httpx2.Client(limits=limits) as client, pytest.raises(httpx2.ConnectError):
            client.get("http://127.0.0.1:1/")
        assert pools(recorded) == {"127.0.0.1:1": state(None, 0, 0)}


class Pool:
    """Stands for a library's."""


def fixed(limit: int | None, in_use: int = 1) -> Callable[[Any, HttpPool], PoolState | None]:
    return lambda pool, known: PoolState(limit, in_use, 0)


def test_names_are_told_apart_and_come_back(recorded: Recorded) -> None:
    """A second living pool of one server has a number; the next after its end has it again."""
    first, second = Pool(), Pool()
    for _ in range(2):
        watch(recorded.recorder, first, fixed(1), "model.test")
        watch(recorded.recorder, second, fixed(2), "model.test")
    assert pools(recorded) == {"model.test": state(1, 1, 0), "model.test#2": state(2, 1, 0)}
    del first
    third = Pool()
    watch(recorded.recorder, third, fixed(3), "model.test")
    assert pools(recorded) == {"model.test": state(3, 1, 0), "model.test#2": state(2, 1, 0)}


def test_the_number_of_pools_is_bounded(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two have names, the others add up; who makes thousands is told once."""
    monkeypatch.setattr(gauges, "MAX_NAMED", 2)
    monkeypatch.setattr(gauges, "MAX_POOLS", 4)
    monkeypatch.setattr(gauges, "_refused", False)
    made = [Pool() for _ in range(6)]
    for number, pool in enumerate(made):
        watch(recorded.recorder, pool, fixed(10), f"host-{number}")
    assert pools(recorded) == {
        "host-0": state(10, 1, 0),
        "host-1": state(10, 1, 0),
        "other": state(20, 2, 0),
    }
    (told,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert told == (
        "more than 4 HTTP connection pools are alive; the gauges show no others. "
        "Make one client and share it"
    )


def test_a_pool_that_cannot_be_looked_at_is_let_go(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """A library that keeps its books otherwise costs its own gauges, and is counted."""
    from agentscope.recording.guard import forget_internal_errors, internal_errors

    def look(pool: Any, known: HttpPool) -> PoolState:
        raise AttributeError("_connections")

    broken, sound = Pool(), Pool()
    watch(recorded.recorder, broken, look, "broken")
    watch(recorded.recorder, sound, fixed(1), "sound")
    forget_internal_errors()
    assert pools(recorded) == {"sound": state(1, 1, 0)}
    assert pools(recorded) == {"sound": state(1, 1, 0)}
    assert internal_errors() == {"clients.gauges": 1}
    forget_internal_errors()


def test_a_gauge_is_set_from_any_thread(recorded: Recorded) -> None:
    """The last value is the one; 0 is a value."""
    labels = ("openai", "m", "requests")
    for value in (60.0, 0.0):
        thread = threading.Thread(
            target=recorded.recorder.set, args=(c.RATELIMIT_REMAINING, labels, value)
        )
        thread.start()
        thread.join()
    assert recorded.value(c.RATELIMIT_REMAINING, *labels) == 0
