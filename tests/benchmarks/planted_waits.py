"""How exact the recorded waits are: waits of known length are planted, and looked for in the record.

    python tests/benchmarks/planted_waits.py [--repetitions 30]

Somebody holds the one connection, thread, lock or executor there is, and gives it back at a moment
that is noted; somebody else, in a turn, asked for it at a moment that is noted too. What lies
between is planted; what the wait's span says is recorded. For a blocked event loop the two moments
are those around the call that blocks it.

Printed, in milliseconds, are the medians of what was planted, of what was recorded and of how far
the two were apart, and the worst; last, how many were further off than 2 ms, or than 10 % of a
block. Who waits goes on when the machine lets it, and until then its wait lasts: on a crowded
machine the worst says how crowded it is.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import anyio
import asyncpg
import psycopg_pool
import sqlalchemy as sa
import uvloop

import agentscope
from agentscope import conventions as c
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.lab.postgres import EmbeddedPostgres
from agentscope.recording.recorder import Recorder
from agentscope.runtime.event_loop import LoopMonitor
from agentscope.runtime.wait_hooks import WaitMonitor
from agentscope.testing import Recorded, recording

HOLD_S = 0.03
BLOCKS_S = (0.01, 0.03, 0.1, 0.3)
MAX_ERROR_S = 0.002
MAX_BLOCK_ERROR = 0.1

now_s = time.perf_counter


class Planted(NamedTuple):
    """One wait or block: what we did, and what was recorded."""

    planted_s: float
    recorded_s: float
    allowed_s: float

    @property
    def error_s(self) -> float:
        """How far the record is off."""
        return abs(self.recorded_s - self.planted_s)


class Truth:
    """When somebody asked, and when what was asked for was given back."""

    def __init__(self) -> None:
        self.asked_s = 0.0
        self.given_s = 0.0
        self.held = threading.Event()


Plant = Callable[[Truth], None]
PlantAsync = Callable[[Truth], Awaitable[None]]


# --- what is waited for --------------------------------------------------------------------------


async def _two(truth: Truth, take: Callable[[], Any]) -> None:
    """Two tasks want what ``take`` gives; the second asks while the first holds it."""
    held = asyncio.Event()

    async def hold() -> None:
        async with take():
            held.set()
            await asyncio.sleep(HOLD_S)
            truth.given_s = now_s()

    holder = asyncio.create_task(hold())
    await held.wait()
    with agentscope.turn("turn"):
        truth.asked_s = now_s()
        async with take():
            pass
    await holder


def _two_threads(truth: Truth, take: Callable[[], Any]) -> None:
    held = threading.Event()

    def hold() -> None:
        with take():
            held.set()
            time.sleep(HOLD_S)
            truth.given_s = now_s()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with agentscope.turn("turn"):
        truth.asked_s = now_s()
        with take():
            pass
    holder.join()


def _sleep(truth: Truth) -> None:
    truth.held.set()
    time.sleep(HOLD_S)
    truth.given_s = now_s()


async def _threadpool(truth: Truth) -> None:
    limiter = anyio.CapacityLimiter(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: anyio.to_thread.run_sync(_sleep, truth, limiter=limiter))
        while not truth.held.is_set():  # the loop itself is held up while a thread starts
            await asyncio.sleep(0.001)
        with agentscope.turn("turn"):
            truth.asked_s = now_s()
            await anyio.to_thread.run_sync(int, limiter=limiter)


async def _executor(truth: Truth) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as executor:
        holder = loop.run_in_executor(executor, _sleep, truth)
        while not truth.held.is_set():
            await asyncio.sleep(0.001)
        with agentscope.turn("turn"):
            truth.asked_s = now_s()
            await loop.run_in_executor(executor, int)
        await holder


async def _as_it_is(connection: object) -> None:
    """Else the pool asks the server to reset the connection before the next may have it."""


@contextmanager
def _async_cases(dsn: str) -> Iterator[dict[str, PlantAsync]]:
    """Every case runs on a loop of its own: what it needs is made there."""

    async def asyncpg_pool(truth: Truth) -> None:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1, reset=_as_it_is) as pool:
            await _two(truth, pool.acquire)

    async def psycopg_pool_async(truth: Truth) -> None:
        async with psycopg_pool.AsyncConnectionPool(dsn, min_size=1, max_size=1) as pool:
            await pool.wait()
            await _two(truth, pool.connection)

    async def lock(truth: Truth) -> None:
        one = asyncio.Lock()
        await _two(truth, lambda: one)

    async def semaphore(truth: Truth) -> None:
        one = asyncio.Semaphore(1)
        await _two(truth, lambda: one)

    yield {
        "asyncpg pool": asyncpg_pool,
        "psycopg_pool, async": psycopg_pool_async,
        "asyncio.Lock": lock,
        "asyncio.Semaphore": semaphore,
        "anyio's threads": _threadpool,
        "executor": _executor,
    }


def _sync_cases(dsn: str) -> dict[str, Plant]:
    engine = sa.create_engine(
        dsn.replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0
    )
    engine.connect().close()
    watched = agentscope.watch_lock(threading.Lock(), "watched")
    return {
        "SQLAlchemy pool": lambda truth: _two_threads(truth, engine.connect),
        "threading.Lock, watched": lambda truth: _two_threads(truth, lambda: watched),
    }


# --- what was recorded ---------------------------------------------------------------------------


def _waited(recorded: Recorded, truth: Truth) -> Planted:
    waits = [span for span in recorded.spans if c.WAIT_KIND in span.attributes]
    found_s = max((span.duration_s for span in waits), default=0.0)
    return Planted(truth.given_s - truth.asked_s, found_s, MAX_ERROR_S)


def _wait(run: Callable[[Any], None], plant: PlantAsync) -> Planted:
    truth = Truth()
    with _watching() as recorded:
        run(plant(truth))
    return _waited(recorded, truth)


def _wait_in_threads(plant: Plant) -> Planted:
    truth = Truth()
    with _watching() as recorded:
        plant(truth)
    return _waited(recorded, truth)


@contextmanager
def _watching() -> Iterator[Recorded]:
    with recording(real_time=True) as recorded:
        monitor = WaitMonitor(recorded.recorder)
        monitor.start()
        yield recorded
        monitor.stop()


def _block(run: Callable[[Any], None], block_s: float) -> Planted:
    recorder = Recorder({}, threaded=False)
    monitor = LoopMonitor(recorder)
    truth = Truth()

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.06)
        time.sleep(0.03)  # on the alert from here on, as after the first block of a service
        await asyncio.sleep(0.06)
        truth.asked_s = now_s()
        time.sleep(block_s)
        truth.given_s = now_s()
        await asyncio.sleep(0.06)
        monitor.stop()

    run(main())
    planted_ns = range(round(truth.asked_s * 1e9), round(truth.given_s * 1e9))
    found_ns = [
        span.end_ns - span.start_ns
        for span in recorder._ended
        if span.start_ns < planted_ns.stop and span.end_ns > planted_ns.start
    ]
    planted_s = truth.given_s - truth.asked_s
    return Planted(planted_s, sum(found_ns) / 1e9, MAX_BLOCK_ERROR * planted_s)


# --- the table -----------------------------------------------------------------------------------


def _print(name: str, tries: list[Planted]) -> None:
    planted, recorded = (
        statistics.median(each) for each in zip(*((one[:2]) for one in tries), strict=True)
    )
    errors = [one.error_s for one in tries]
    off = sum(one.error_s > one.allowed_s for one in tries)
    print(f"{name:<30}{planted * 1e3:>10.2f}{recorded * 1e3:>10.2f}", end="")
    print(f"{statistics.median(errors) * 1e3:>10.3f}{max(errors) * 1e3:>10.3f}", end="")
    print(f"{off:>6}/{len(tries)}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How exact the recorded waits are.")
    parser.add_argument("--repetitions", type=int, default=30)
    times = range(parser.parse_args().repetitions)
    loops = {"asyncio": asyncio.run, "uvloop": uvloop.run}
    instrument_clients()
    print(f"{'ms':<30}{'planted':>10}{'recorded':>10}{'error':>10}{'worst':>10}{'off':>9}")
    with EmbeddedPostgres() as server, _async_cases(server.dsn) as cases:
        for name, plant in cases.items():
            for loop, run in loops.items():
                _print(f"{name}, {loop}", [_wait(run, plant) for _ in times])
        for name, threads in _sync_cases(server.dsn).items():
            _print(name, [_wait_in_threads(threads) for _ in times])
    for block_s in BLOCKS_S:
        for loop, run in loops.items():
            name = f"block of {block_s * 1e3:.0f} ms, {loop}"
            _print(name, [_block(run, block_s) for _ in times])
    uninstrument_clients()


if __name__ == "__main__":
    main()
