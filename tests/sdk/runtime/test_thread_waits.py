"""Waits for worker threads: anyio's limiters and thread pools, under the right turn."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import inspect
import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import uvloop
from fastapi import Depends, FastAPI
from opentelemetry.trace import get_current_span
from starlette.concurrency import run_in_threadpool

import agentscope
from agentscope import conventions as c
from agentscope.asgi import AgentScopeMiddleware
from agentscope.recording.instruments import run_samplers
from agentscope.runtime.wait_hooks import WaitMonitor
from agentscope.testing import Recorded, RecordedSpan

Runner = Callable[[Any], None]
PLANTED = 3
"""A crowded machine may stop us between a wait's end and the test's look at its watch, once."""

ENDS = ("startTimeUnixNano", "endTimeUnixNano")

runners = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def waits(recorded: Recorded) -> list[RecordedSpan]:
    return sorted(
        (span for span in recorded.spans if span.name == "wait threadpool"),
        key=lambda span: span.duration_s,
    )


def _start_s(span: RecordedSpan) -> float:
    return span.start_s


def gauges(recorded: Recorded, limiter: str) -> list[float | None]:
    run_samplers(recorded.recorder.samplers, recorded.recorder.instruments)
    metrics = (c.THREADPOOL_LIMIT, c.THREADPOOL_BORROWED, c.THREADPOOL_WAITING)
    return [recorded.value(metric, limiter) for metric in metrics]


@pytest.fixture
def busy() -> Iterator[tuple[Callable[[], None], threading.Event]]:
    """A job that occupies a worker until the event is set."""
    until = threading.Event()
    yield lambda: (until.wait(5), None)[1], until
    until.set()


def service(started: dict[str, list[int]]) -> FastAPI:
    """Three ways to a worker thread, each noting when it has one."""
    app = FastAPI()

    def note(way: str) -> None:
        started.setdefault(way, []).append(time.perf_counter_ns())
        time.sleep(0.03)

    def dependency() -> None:
        note("/dependency")

    @app.post("/endpoint")
    def endpoint() -> None:
        with agentscope.phase("work"):
            note("/endpoint")

    @app.post("/dependency", dependencies=[Depends(dependency)])
    async def depending() -> None: ...

    @app.post("/call")
    async def call() -> None:
        await run_in_threadpool(note, "/call")

    return app


@pytest.mark.parametrize("way", ["/endpoint", "/dependency", "/call"])
@runners
def test_the_wait_for_a_token_is_told_under_its_turn(
    runner: Runner, way: str, live: Recorded
) -> None:
    """One thread, two requests: the second waits 30 ms, exactly until its work starts."""
    started: dict[str, list[int]] = {}

    async def main() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        app = AgentScopeMiddleware(service(started))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await asyncio.gather(client.post(way), client.post(way))

    runner(main())
    [wait] = waits(live)
    requests = {span.span_id: span for span in live.spans if span.kind == 2}
    request = requests[wait.parent_id]
    assert request.duration_s == max(span.duration_s for span in requests.values())
    assert wait.attributes[c.WAIT_RESOURCE] == "anyio"
    end_ns = int(wait.raw["endTimeUnixNano"])
    work_ns = live.recorder.clock.epoch_ns(started[way][-1])
    # After the token came the thread has to be handed the work and to get the lock.
    assert -1e6 < work_ns - end_ns < 50e6
    assert 0.02 < wait.duration_s < request.duration_s - 0.03
    assert request.start_s <= wait.start_s


@runners
def test_a_planted_wait_for_a_token_has_its_length(runner: Runner, live: Recorded) -> None:
    """A token that comes back after 30 ms: start and end within 2 ms."""
    planted: list[tuple[int, int]] = []

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)

        async def give_back() -> int:
            await asyncio.sleep(0.03)
            limiter.release_on_behalf_of("somebody")
            return time.perf_counter_ns()

        for _ in range(PLANTED):
            await limiter.acquire_on_behalf_of("somebody")
            giver = asyncio.create_task(give_back())
            with agentscope.turn("ask"):
                start_ns = time.perf_counter_ns()
                await anyio.to_thread.run_sync(time.sleep, 0.01, limiter=limiter)
            planted.append((start_ns, await giver))

    runner(main())
    epoch_ns = live.recorder.clock.epoch_ns
    found = sorted(waits(live), key=_start_s)
    errors_ns = [
        max(
            abs(int(wait.raw[key]) - epoch_ns(at_ns)) for key, at_ns in zip(ENDS, real, strict=True)
        )
        for wait, real in zip(found, planted, strict=True)
    ]
    assert statistics.median(errors_ns) < 2e6


def test_a_users_limiter_goes_by_the_line_that_waited(live: Recorded) -> None:
    """It has no name of its own; the wait says the line and the gauges are called the same."""
    limiter = anyio.CapacityLimiter(1)  # made before there is an event loop
    line = 0
    during: list[float | None] = []

    async def main() -> None:
        nonlocal line
        release = threading.Event()

        async def ask() -> None:
            nonlocal line
            with agentscope.turn("ask"):
                line = sys._getframe().f_lineno + 1
                await anyio.to_thread.run_sync(release.wait, limiter=limiter)

        tasks = [asyncio.create_task(ask()) for _ in range(2)]
        await asyncio.sleep(0.02)
        release.set()
        await asyncio.gather(*tasks)
        during.extend(gauges(live, f"{__name__.replace('.', '/')}.py:{line}"))

    asyncio.run(main())
    [wait] = waits(live)
    assert wait.attributes[c.WAIT_RESOURCE] == f"{__name__.replace('.', '/')}.py:{line}"
    assert wait.attributes[c.CODE_LINE] == line
    assert during == [1, 0, 0]


def test_gauges_of_the_default_limiter(
    live: Recorded, busy: tuple[Callable[[], None], threading.Event]
) -> None:
    """40 threads, all borrowed, three calls waiting; when its loop is gone so are the series."""
    job, until = busy
    during: list[float | None] = []

    async def main() -> None:
        with agentscope.turn("ask"):
            async with anyio.create_task_group() as group:
                for _ in range(43):
                    group.start_soon(anyio.to_thread.run_sync, job)
                deadline_s = time.monotonic() + 5
                while during != [40, 40, 3] and time.monotonic() < deadline_s:
                    await asyncio.sleep(0.02)
                    during[:] = gauges(live, "anyio")
                until.set()

    asyncio.run(main())
    assert during == [40, 40, 3]
    assert len(waits(live)) == 3
    deadline_s = time.monotonic() + 5
    while gauges(live, "anyio") != [None, None, None] and time.monotonic() < deadline_s:
        gc.collect()  # once its threads have ended
    assert gauges(live, "anyio") == [None, None, None]


@pytest.mark.parametrize("abandon", [False, True])
def test_cancellation_is_as_without_us(abandon: bool, live: Recorded) -> None:
    """While it waits for a token a call can be cancelled; while it runs, if it is abandoned."""
    ran: list[str] = []

    def work(name: str) -> None:
        time.sleep(0.1)
        ran.append(name)

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)

        async def call(name: str) -> None:
            await anyio.to_thread.run_sync(work, name, limiter=limiter, abandon_on_cancel=abandon)

        with agentscope.turn("ask"):
            began_s = time.monotonic()
            async with anyio.create_task_group() as group:
                group.start_soon(call, "running")
                group.start_soon(call, "queued")
                await asyncio.sleep(0.02)
                group.cancel_scope.cancel()
            assert (time.monotonic() - began_s < 0.08) is abandon
        while not ran:
            await asyncio.sleep(0.005)
        assert limiter.borrowed_tokens == 0

    asyncio.run(main())
    assert ran == ["running"]
    [wait] = waits(live)
    assert 0.015 < wait.duration_s < 0.08


def test_the_exception_and_the_result_are_the_users(live: Recorded) -> None:
    """The same objects, from anyio's threads and from a pool's."""
    error, result = KeyError("mine"), object()

    def fail() -> None:
        raise error

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with agentscope.turn("ask"), ThreadPoolExecutor(1) as pool:
            for call in (
                lambda f: anyio.to_thread.run_sync(f),
                asyncio.to_thread,
                lambda f: loop.run_in_executor(pool, f),
            ):
                with pytest.raises(KeyError) as caught:
                    await call(fail)
                assert caught.value is error
                assert await call(lambda: result) is result
            assert list(pool.map(pow, [2, 3], [3, 2])) == [8, 9]

    asyncio.run(main())


# --- executors --------------------------------------------------------------------------------


@runners
def test_a_pools_queue_is_told_and_its_work_is_the_turns(runner: Runner, live: Recorded) -> None:
    """One worker, two calls: the second waits until it starts; spans in workers have parents."""
    starts: list[int] = []
    planted: list[float] = []

    def work() -> None:
        starts.append(time.perf_counter_ns())
        with agentscope.phase("work"):
            time.sleep(0.03)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="pdf") as pool:
            for _ in range(PLANTED):
                with agentscope.turn("ask"):
                    first = loop.run_in_executor(pool, work)
                    submitted_ns = time.perf_counter_ns()
                    await asyncio.gather(first, loop.run_in_executor(pool, work))
                planted.append((starts[-1] - submitted_ns) / 1e9)

    runner(main())
    turn_ids = [span.span_id for span in live.spans if span.name == "ask"]
    longest = {wait.parent_id: wait for wait in waits(live)}
    assert set(longest) == set(turn_ids)
    found = [longest[turn_id] for turn_id in turn_ids]
    assert found[0].attributes == {c.WAIT_KIND: "threadpool", c.WAIT_RESOURCE: "pdf"}
    errors_s = [abs(wait.duration_s - real) for wait, real in zip(found, planted, strict=True)]
    assert statistics.median(errors_s) < 0.002
    works = [span.parent_id for span in live.spans if span.name == "work"]
    assert works == [turn_id for turn_id in turn_ids for _ in range(2)]


def test_the_default_executor_is_called_asyncio(
    live: Recorded, busy: tuple[Callable[[], None], threading.Event]
) -> None:
    """``asyncio.to_thread`` queues there; the gauges show threads, busy ones and the queue."""
    job, until = busy
    during: list[float | None] = []

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(2, thread_name_prefix="asyncio")
        )
        with agentscope.turn("ask"):
            calls = [asyncio.create_task(asyncio.to_thread(job)) for _ in range(5)]
            await asyncio.sleep(0.1)
            during.extend(gauges(live, "asyncio"))
            until.set()
            await asyncio.gather(*calls)

    asyncio.run(main())
    assert during == [2, 2, 3]
    assert [wait.attributes[c.WAIT_RESOURCE] for wait in waits(live)] == ["asyncio"] * 3


def test_a_worker_that_is_slow_to_wake_is_no_queue(
    live: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call for which a worker is free waits for the machine; nobody was in its way."""
    beats = itertools.count(step=50_000_000)  # between any two looks at the clock
    monkeypatch.setattr(live.recorder.clock, "monotonic_ns", beats.__next__)
    with ThreadPoolExecutor(2) as pool, agentscope.turn("ask"):
        for _ in range(3):  # a new worker, one that slept, one more
            pool.submit(time.monotonic).result()
    assert waits(live) == []


def test_calls_of_no_turn_are_in_the_way_too(live: Recorded) -> None:
    """What a scheduler's job keeps busy, a turn waits for."""
    until = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="jobs") as pool:
        pool.submit(until.wait)
        with agentscope.turn("ask"):
            asked = pool.submit(time.monotonic)
            time.sleep(0.02)
            until.set()
            asked.result()
    [wait] = waits(live)
    assert wait.duration_s >= 0.02


def test_a_future_that_is_kept_keeps_no_executor(live: Recorded) -> None:
    """Threads of an executor end once its user has dropped it."""
    until = threading.Event()
    pool = ThreadPoolExecutor(1)
    with agentscope.turn("ask"):
        kept = [pool.submit(until.wait), pool.submit(until.wait)]
    until.set()
    concurrent.futures.wait(kept)
    alive = weakref.ref(pool)
    del pool
    gc.collect()
    assert alive() is None


def test_a_call_cancelled_in_the_queue_has_waited(
    live: Recorded, busy: tuple[Callable[[], None], threading.Event]
) -> None:
    """It never ran, so waiting is all that it did; one that ran is told once."""
    job, until = busy
    with ThreadPoolExecutor(1) as pool, agentscope.turn("ask"):
        pool.submit(job)
        given_up = pool.submit(job)
        time.sleep(0.05)
        assert given_up.cancel()
        until.set()
    wait = waits(live)[-1]
    assert wait.parent_id == live.span("ask").span_id
    assert 0.05 <= wait.duration_s < 0.15


def test_context_variables_stay_as_python_has_them(live: Recorded) -> None:
    """``submit`` carries none but our span, nothing is left behind, ``to_thread`` carries all."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    def look() -> tuple[str, int]:
        return user.get(), get_current_span().get_span_context().span_id

    async def main() -> list[tuple[str, int]]:
        user.set("somebody")
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            with agentscope.turn("ask"):
                inside = [await loop.run_in_executor(pool, look), await asyncio.to_thread(look)]
            return [*inside, await loop.run_in_executor(pool, look)]

    looks = asyncio.run(main())
    turn_id = int(live.span("ask").span_id, 16)
    assert looks == [("nobody", turn_id), ("somebody", turn_id), ("nobody", 0)]


def test_executors_of_no_turn_are_left_alone(live: Recorded) -> None:
    """No span and no gauge."""
    with ThreadPoolExecutor(1, thread_name_prefix="cron") as pool:
        for _ in range(2):
            pool.submit(time.sleep, 0.01)
    assert waits(live) == []
    assert gauges(live, "cron") == [None, None, None]


def test_misuse_of_submit_complains_as_ever(live: Recorded) -> None:
    """A pool that is shut down refuses; a call without a function is a TypeError."""
    pool = ThreadPoolExecutor(1)
    with agentscope.turn("ask"):
        with pytest.raises(TypeError, match="submit"):
            pool.submit()  # type: ignore[call-arg]  # the mistake
        pool.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(print)
    assert inspect.signature(ThreadPoolExecutor.submit) == inspect.signature(
        concurrent.futures.Executor.submit
    )


def test_a_second_living_pool_of_a_name_is_numbered(live: Recorded) -> None:
    """Pools of one name are told apart while they live; the name is free again after that."""

    def queue_two() -> ThreadPoolExecutor:
        pool, until = ThreadPoolExecutor(1, thread_name_prefix="twin"), threading.Event()
        with agentscope.turn("ask"):
            pool.submit(until.wait)
            pool.submit(until.wait)
        time.sleep(0.05)
        until.set()
        pool.shutdown()
        return pool

    kept = [queue_two(), queue_two()]
    del kept
    gc.collect()
    queue_two()
    found = sorted(waits(live), key=_start_s)
    assert [wait.attributes[c.WAIT_RESOURCE] for wait in found] == ["twin", "twin#2", "twin"]


def test_a_fault_of_ours_leaves_the_call_alone(
    live: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done, in the thread, whatever breaks in here."""
    from agentscope.recording.guard import forget_internal_errors, internal_errors
    from agentscope.runtime import anyio as limiters
    from agentscope.runtime import executors

    monkeypatch.setenv("AGENTSCOPE_TESTING_RAISE", "0")

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        with agentscope.turn("ask"), ThreadPoolExecutor(1) as pool:
            for module, name in (
                (executors, "attach"),
                (executors, "name_of"),
                (limiters, "name_of"),
                (limiters, "_note_default"),
            ):
                with monkeypatch.context() as patched:
                    patched.setattr(module, name, broken)
                    results = await asyncio.gather(
                        asyncio.wrap_future(pool.submit(pow, 2, 3)),
                        anyio.to_thread.run_sync(pow, 2, 3),
                        anyio.to_thread.run_sync(pow, 2, 3, limiter=limiter),
                        anyio.to_thread.run_sync(pow, 2, 3, limiter=limiter),
                    )
                    assert set(results) == {8}
                counted.update(internal_errors())

    counted: dict[str, int] = {}
    asyncio.run(main())
    assert set(counted) == {"runtime.executors", "runtime.anyio"}
    forget_internal_errors()


def test_hooks_survive_a_second_recorder_and_go_with_the_last(live: Recorded) -> None:
    """As in the child of a fork: hooked once, taken back to the same object."""
    hooked = vars(ThreadPoolExecutor)["submit"]
    another = WaitMonitor(live.recorder)
    another.start()
    assert vars(ThreadPoolExecutor)["submit"] is hooked
    another.stop()
    original = vars(ThreadPoolExecutor)["submit"]
    assert original is hooked.__wrapped__
    another.start()
    assert vars(ThreadPoolExecutor)["submit"].__wrapped__ is original


def test_anyio_is_hooked_when_it_is_imported_later(tmp_path: Any) -> None:
    """A service that is instrumented before its framework is imported, in a fresh process."""
    script = tmp_path / "late.py"
    script.write_text(
        "import sys, agentscope\n"
        "agentscope.configure()\n"
        "assert 'anyio._backends._asyncio' not in sys.modules\n"
        "import asyncio, anyio, anyio.to_thread, time\n"
        "from agentscope import lifecycle\n"
        "async def main():\n"
        "    anyio.to_thread.current_default_thread_limiter().total_tokens = 1\n"
        "    with agentscope.turn('ask'):\n"
        "        await asyncio.gather(*[anyio.to_thread.run_sync(time.sleep, .02)] * 1,\n"
        "                             anyio.to_thread.run_sync(time.sleep, .02))\n"
        "asyncio.run(main())\n"
        "assert agentscope.flush()\n"
        "from agentscope import conventions as c\n"
        "points = dict(lifecycle.recorder.instruments.snapshot())[c.WAIT_DURATION]\n"
        "print([(p.labels, p.count) for p in points])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        env={**os.environ, "AGENTSCOPE_TESTING_RAISE": "1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "[(('threadpool', 'anyio'), 1)]\n",
        "",
    )
