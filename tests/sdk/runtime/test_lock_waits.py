"""Waits for locks: how long, whose line, and nothing else changed."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import statistics
import sys
import threading
import time
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvloop
from anyio.lowlevel import checkpoint

import agentscope
from agentscope import conventions as c
from agentscope.runtime import locks
from agentscope.runtime.frames import site
from agentscope.runtime.locks import watch_lock
from agentscope.runtime.wait_hooks import WaitMonitor
from agentscope.testing import Recorded, RecordedSpan

PLANTED = 3
"""A crowded machine may stop us between a wait's end and the test's look at its watch, once."""

ENDS = ("startTimeUnixNano", "endTimeUnixNano")

LOCKS: list[Any] = [
    pytest.param(asyncio.Lock, id="Lock"),
    pytest.param(asyncio.Semaphore, id="Semaphore"),
    pytest.param(asyncio.BoundedSemaphore, id="BoundedSemaphore"),
    pytest.param(asyncio.Condition, id="Condition"),
    pytest.param(anyio.Lock, id="anyio-Lock"),
    pytest.param(lambda: anyio.Semaphore(1), id="anyio-Semaphore"),
    pytest.param(lambda: anyio.CapacityLimiter(1), id="anyio-CapacityLimiter"),
]


def waits(recorded: Recorded) -> list[RecordedSpan]:
    return [span for span in recorded.spans if span.name == "wait lock"]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("make", LOCKS)
def test_a_planted_wait_comes_back_with_length_and_line(
    make: Callable[[], Any], runner: Callable[[Any], None], live: Recorded
) -> None:
    """30 ms behind another task, within 2 ms; the line is the waiting one, the parent its turn."""
    planted: list[tuple[int, int]] = []
    line = 0

    async def main() -> None:
        nonlocal line
        lock = make()

        async def hold() -> None:
            async with lock:
                await asyncio.sleep(0.03)

        for _ in range(PLANTED):
            holder = asyncio.create_task(hold())
            await asyncio.sleep(0)
            await checkpoint()
            with agentscope.turn("ask"):
                start_ns = time.perf_counter_ns()
                line = sys._getframe().f_lineno + 1
                async with lock:
                    planted.append((start_ns, time.perf_counter_ns()))
            await holder

    runner(main())
    found = waits(live)
    turns = [span for span in live.spans if span.name == "ask"]
    assert [wait.parent_id for wait in found] == [turn.span_id for turn in turns]
    assert found[0].attributes == {
        c.WAIT_KIND: "lock",
        c.WAIT_RESOURCE: f"{__name__.replace('.', '/')}.py:{line}",
        c.CODE_FUNCTION: f"{__name__}.{main.__qualname__}",
        c.CODE_FILE: __file__,
        c.CODE_LINE: line,
    }
    epoch_ns = live.recorder.clock.epoch_ns
    errors_ns = [
        max(
            abs(int(wait.raw[key]) - epoch_ns(at_ns)) for key, at_ns in zip(ENDS, real, strict=True)
        )
        for wait, real in zip(found, planted, strict=True)
    ]
    assert statistics.median(errors_ns) < 2e6
    assert all(end_ns - start_ns > 25e6 for start_ns, end_ns in planted)


def test_news_is_no_lock(live: Recorded) -> None:
    """What a condition waits for until it is notified may be anything; its lock is one."""

    async def main() -> None:
        condition = asyncio.Condition()

        async def notify() -> None:
            await asyncio.sleep(0.01)
            async with condition:
                condition.notify()
                await asyncio.sleep(0.01)

        notifier = asyncio.create_task(notify())
        with agentscope.turn("ask"):
            async with condition:
                await condition.wait()
        await notifier

    asyncio.run(main())
    [wait] = waits(live)  # for the lock, which the notifier kept a little longer
    assert 0.008 < wait.duration_s < 0.019


@pytest.mark.parametrize("make", LOCKS)
def test_cancelling_a_wait_is_as_without_us(make: Callable[[], Any], live: Recorded) -> None:
    """The message arrives, the lock stays usable, and the time waited is still told."""

    async def main() -> None:
        lock = make()
        await lock.acquire()

        async def ask() -> None:
            with agentscope.turn("ask"):
                async with lock:
                    pass

        task = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args in (("enough",), ())  # a condition raises one of its own
        lock.release()
        async with asyncio.timeout(1):
            await lock.acquire()

    asyncio.run(main())
    [wait] = waits(live)
    assert wait.status == 0


@pytest.mark.parametrize("make", LOCKS)
def test_free_locks_and_locks_of_no_turn_are_silent(
    make: Callable[[], Any], live: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No span for a lock that was free, none below a millisecond, none outside of a span."""
    looks = itertools.count(step=50_000)  # between any two looks at the clock, 0.05 ms

    async def main() -> None:
        lock = make()

        async def use(seconds: float) -> None:
            async with lock:
                await asyncio.sleep(seconds)

        await asyncio.gather(use(0.005), use(0.005))  # nobody's turn
        monkeypatch.setattr(live.recorder.clock, "monotonic_ns", looks.__next__)
        with agentscope.turn("ask"):
            await use(0)
            await asyncio.gather(use(0), use(0))

    asyncio.run(main())
    assert waits(live) == []


def test_what_a_hooked_client_waits_for_inside_is_not_told_twice(live: Recorded) -> None:
    """A pool's own lock is part of the wait for its pool; another library's lock is a lock."""
    code = "async def take(lock):\n    async with lock:\n        pass\n"

    def library(module: str) -> Callable[[Any], Awaitable[None]]:
        namespace: dict[str, Any] = {"__name__": module}
        file = f"/venv/site-packages/{module.replace('.', '/')}.py"
        exec(compile(code, file, "exec"), namespace)  # noqa: S102  # a library's frame
        take: Callable[[Any], Awaitable[None]] = namespace["take"]
        return take

    async def main() -> None:
        lock = asyncio.Lock()

        async def hold() -> None:
            async with lock:
                await asyncio.sleep(0.01)

        for module in ("httpcore._async.connection_pool", "asyncpg.pool", "cachetools.locks"):
            holder = asyncio.create_task(hold())
            await asyncio.sleep(0)
            with agentscope.phase(module):
                await library(module)(lock)
            await holder

    asyncio.run(main())
    [wait] = waits(live)
    assert wait.parent_id == live.span("cachetools.locks").span_id
    assert wait.attributes[c.CODE_FILE] == __file__


def test_a_library_without_a_user_goes_by_its_own_line(live: Recorded) -> None:
    """In a task of its own no line of the user's leads to the lock."""
    namespace: dict[str, Any] = {"__name__": "cachetools.locks"}
    code = "async def take(lock):\n    async with lock:\n        pass\n"
    exec(compile(code, "/venv/site-packages/cachetools/locks.py", "exec"), namespace)  # noqa: S102

    async def main() -> None:
        lock = asyncio.Lock()
        with agentscope.turn("ask"):
            await lock.acquire()
            task = asyncio.create_task(namespace["take"](lock))
            await asyncio.sleep(0.01)
            lock.release()
            await task

    asyncio.run(main())
    [wait] = waits(live)
    assert wait.attributes[c.WAIT_RESOURCE] == "cachetools/locks.py:2"


def test_what_was_there_is_put_back(live: Recorded) -> None:
    """The same objects; and while hooked, locks look as they always did."""
    from anyio._backends import _asyncio as backend

    looks = [
        (owner, name, vars(owner).get(name))
        for owner, name in (
            (asyncio.Lock, "_get_loop"),
            (asyncio.Semaphore, "_get_loop"),
            (backend.Lock, "acquire"),
            (backend.Semaphore, "acquire"),
            (backend.CapacityLimiter, "acquire_on_behalf_of"),
            (backend.AsyncIOBackend, "run_sync_in_worker_thread"),
        )
    ]
    for owner, name, hooked in looks:
        assert hooked is not None, (owner, name)
    for acquire in (asyncio.Lock.acquire, backend.Lock.acquire, backend.Semaphore.acquire):
        assert inspect.iscoroutinefunction(acquire)
        assert str(inspect.signature(acquire)).startswith("(self)")
    assert type(asyncio.Lock().acquire) is types.MethodType
    WaitMonitor(live.recorder).stop()
    for owner, name, hooked in looks:
        assert vars(owner).get(name) is not hooked
    assert "_get_loop" not in vars(asyncio.Lock)
    assert isinstance(vars(backend.Lock)["acquire"], types.FunctionType)


def test_a_lock_of_another_loop_still_complains(live: Recorded) -> None:
    """The check that a lock stays with its loop is asyncio's own."""
    lock = asyncio.Lock()

    async def contend() -> None:
        await lock.acquire()
        with agentscope.turn("ask"):
            await asyncio.wait_for(lock.acquire(), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(contend())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(asyncio.wait_for(lock.acquire(), 0.01))


def test_a_fault_of_ours_leaves_the_lock_alone(
    live: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait goes on, the lock is taken, the fault is counted."""
    from agentscope.recording.guard import forget_internal_errors, internal_errors

    monkeypatch.setenv("AGENTSCOPE_TESTING_RAISE", "0")

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(locks, "record_wait", broken)

    async def main() -> None:
        lock = asyncio.Lock()
        await lock.acquire()
        asyncio.get_running_loop().call_later(0.01, lock.release)
        with agentscope.turn("ask"):
            assert await lock.acquire()
            monkeypatch.setattr(locks, "site", broken)
            asyncio.get_running_loop().call_later(0.01, lock.release)
            assert await lock.acquire()

    asyncio.run(main())
    assert internal_errors() == {"runtime.locks": 2}
    forget_internal_errors()


# --- watch_lock -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [threading.Lock, threading.RLock, threading.Semaphore, threading.BoundedSemaphore]
)
def test_a_watched_lock_tells_its_name_and_who_waited(
    make: Callable[[], Any], live: Recorded
) -> None:
    """30 ms behind another thread, within 2 ms."""
    lock = watch_lock(make(), "price cache")
    held = threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(0.03)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with agentscope.turn("ask"):
        began_ns = time.perf_counter_ns()
        with lock:
            waited_s = (time.perf_counter_ns() - began_ns) / 1e9
    holder.join()
    [wait] = waits(live)
    assert wait.duration_s == pytest.approx(waited_s, abs=0.002)
    assert wait.attributes[c.WAIT_RESOURCE] == "price cache"
    assert wait.attributes[c.CODE_FUNCTION].endswith("who_waited")


def test_a_watched_lock_behaves_as_the_lock_does(live: Recorded) -> None:
    """Arguments, results, errors and what else it can do are the lock's."""
    lock = watch_lock(threading.Lock(), "cache")
    assert lock.acquire(blocking=False)
    assert not lock.acquire(False)
    with agentscope.turn("ask"):
        assert not lock.acquire(timeout=0.005)
    assert lock.locked()
    lock.release()
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(False, 5)
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    with pytest.raises(KeyError), lock:
        raise KeyError
    condition = threading.Condition(watch_lock(threading.RLock(), "jobs"))  # type: ignore[arg-type]  # a lock for all it asks
    with condition:
        assert not condition.wait(0.001)
    [wait] = waits(live)
    assert wait.duration_s >= 0.005


def test_names_of_lines_are_the_same_wherever_the_service_is_installed() -> None:
    """The file within its package: folders above it depend on the machine."""

    def name(file: str, module: str) -> str:
        namespace: dict[str, Any] = {"__name__": module, "sys": sys}
        exec(compile("frame = sys._getframe()", file, "exec"), namespace)  # noqa: S102
        found = site(namespace["frame"])
        assert found is not None
        return found.name

    assert name("/srv/app/shop/agent.py", "shop.agent") == "shop/agent.py:1"
    assert name("/srv/app/shop/__init__.py", "shop") == "shop/__init__.py:1"
    assert name("/srv/app/main.py", "__main__") == "main.py:1"
    assert name(str(Path("main.py")), "main") == "main.py:1"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (asyncio.Lock, "asyncio.Lock"),
        (asyncio.Semaphore, "asyncio.Semaphore"),
        (anyio.Lock, "anyio.Lock"),
        (lambda: anyio.Semaphore(1), "anyio.Semaphore"),
    ],
)
def test_a_task_that_only_waits_for_a_lock_goes_by_its_kind(
    make: Callable[[], Any], kind: str, live: Recorded
) -> None:
    """``create_task(lock.acquire())``, and ``wait_for`` before Python 3.12: no line of the user's."""

    async def main() -> None:
        lock = make()
        await lock.acquire()
        with agentscope.turn("ask"):
            asking = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0.02)
            lock.release()
            await asking

    asyncio.run(main())
    [wait] = waits(live)
    assert wait.attributes == {c.WAIT_KIND: "lock", c.WAIT_RESOURCE: kind}
    assert wait.duration_s > 0.015
