"""Real loops, asyncio's and uvloop's, with blocks planted in them."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from agentscope import conventions as c
from agentscope.recording.guard import forget_internal_errors, internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.runtime import loop_watch
from agentscope.runtime.event_loop import LoopMonitor
from agentscope.runtime.processor import ProcessorWait

Run = Callable[[Coroutine[Any, Any, None]], None]
Found = tuple[float, str]
"""Seconds, function."""


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return {"asyncio": asyncio.run, "uvloop": uvloop.run}[request.param]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder({}, threaded=False)


@pytest.fixture
def monitor(recorder: Recorder) -> Iterator[LoopMonitor]:
    monitor = LoopMonitor(recorder)
    yield monitor
    monitor.stop()


def blocks(recorder: Recorder) -> list[Any]:
    return [span for span in recorder._ended if span.name == "event_loop.blocked"]


def function(span: Any) -> str:
    return str(span.attributes.get(c.CODE_FUNCTION, "")).rpartition(".")[2]


def rank_articles(seconds: float) -> None:
    time.sleep(seconds)


def summarise(seconds: float) -> int:
    until, total = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        total += sum(i * i for i in range(50))
    return total


def test_planted_blocks_come_back_with_length_and_function(
    run: Run, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """Sleeping or computing, 20 to 250 ms: start, end and the user's function are found."""
    planted: list[tuple[str, int, int]] = []

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.06)
        rank_articles(0.05)  # from here on the monitor is on the alert
        await asyncio.sleep(0.05)
        for seconds in (0.02, 0.05, 0.25):
            for work in (rank_articles, summarise):
                began_ns = time.perf_counter_ns()
                work(seconds)
                planted.append((work.__name__, began_ns, time.perf_counter_ns()))
                await asyncio.sleep(0.04)
        monitor.stop()

    run(main())
    found = blocks(recorder)
    for name, began_ns, ended_ns in planted:
        hits = [s for s in found if s.start_ns < ended_ns and s.end_ns > began_ns]
        assert len(hits) == 1, (name, hits)
        # A crowded machine may keep the loop from going on at once, never from having begun.
        allowed_s = max(0.1 * (ended_ns - began_ns), 3e6) / 1e9
        assert abs(hits[0].start_ns - began_ns) / 1e9 <= allowed_s
        assert -allowed_s <= (hits[0].end_ns - ended_ns) / 1e9 <= allowed_s + 0.02
        # Without a processor free the watchdog comes late, and may then name nobody.
        crowded = hits[0].attributes.get(c.PROCESSOR_WAIT, 0) * 1e9 > 0.2 * (ended_ns - began_ns)
        assert crowded or ended_ns - began_ns < 40e6 or function(hits[0]) == name
    assert {function(s) for s in found if s.end_ns - s.start_ns > 240e6} == {
        "rank_articles",
        "summarise",
    }


@pytest.mark.parametrize(("waited_s", "named"), [(0.2, ""), (0.05, "rank_articles")])
def test_what_only_a_crowded_machine_made_a_block_names_nobody(
    waited_s: float,
    named: str,
    recorder: Recorder,
    monitor: LoopMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ready to run all the while, without a processor: whose turn it was is not to blame."""
    waits_ns: dict[int, Iterator[int]] = {}

    def read_ns(self: ProcessorWait) -> int:
        # One for each thread that asks.
        return next(waits_ns.setdefault(id(self), iter(range(0, 10**15, round(waited_s * 1e9)))))

    monkeypatch.setattr(ProcessorWait, "read_ns", read_ns)

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.1)
        rank_articles(0.15)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    longest = max(blocks(recorder), key=lambda span: span.end_ns - span.start_ns)
    assert function(longest) == named
    assert longest.attributes[c.PROCESSOR_WAIT] == pytest.approx(
        min(waited_s, (longest.end_ns - longest.start_ns) / 1e9)
    )


@pytest.mark.parametrize("fault", ["runtime_event", "observe"])
def test_a_fault_of_ours_does_not_reach_the_loop(
    fault: str, run: Run, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service goes on, the fault is counted, and the loop gets its selector back."""
    monkeypatch.delenv("AGENTSCOPE_TESTING_RAISE", raising=False)
    monitor = LoopMonitor(recorder)
    where = "event loop's poll"
    if fault == "observe" or run is uvloop.run:
        where = "event loop's beat"
    finished: list[bool] = []

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(recorder, fault, broken)

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.06)
        rank_articles(0.03)
        await asyncio.sleep(0.06)
        monitor.stop()
        selector = getattr(asyncio.get_running_loop(), "_selector", None)
        assert selector is None or "select" not in vars(selector)
        finished.append(True)

    run(main())
    assert finished == [True]
    assert set(internal_errors()) == {where}
    forget_internal_errors()


def test_without_an_idle_clock_the_start_is_told_with_its_uncertainty(
    recorder: Recorder, monitor: LoopMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop of which nothing but its timers is seen: the end is exact, the start is near."""
    monkeypatch.setattr(loop_watch, "idle_clock", lambda loop: None)
    began_ns = 0

    async def main() -> None:
        nonlocal began_ns
        monitor.start()
        await asyncio.sleep(0.1)
        rank_articles(0.05)
        await asyncio.sleep(0.05)
        began_ns = time.perf_counter_ns()
        rank_articles(0.1)
        await asyncio.sleep(0.05)

    uvloop.run(main())
    longest = max(blocks(recorder), key=lambda span: span.end_ns - span.start_ns)
    uncertainty_s = longest.attributes[c.START_UNCERTAINTY]
    assert 0.001 <= uncertainty_s <= 0.005
    assert abs(longest.start_ns - began_ns) / 1e9 <= uncertainty_s + 0.002


def test_a_block_in_the_interpreters_own_code_is_named_by_its_caller(
    run: Run, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """A regular expression holds the interpreter lock: the watchdog comes right after it."""

    def redact() -> None:
        re.match(r"(a+)+$", "a" * 21 + "b")

    async def main() -> None:
        monitor.start()
        for _ in range(3):  # where no processor is free the watchdog comes too late for some
            await asyncio.sleep(0.05)
            redact()
        await asyncio.sleep(0.05)

    run(main())
    named = [span for span in blocks(recorder) if function(span) == "redact"]
    assert named
    assert {span.attributes[c.CODE_CALLEE] for span in named} == {"re.match"}


def test_a_healthy_loop_has_no_blocks_but_delays(
    run: Run, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """In half a second of short callbacks nothing of the user's is accused; delays are observed."""
    began = time.monotonic()

    async def main() -> None:
        monitor.start()
        while time.monotonic() - began < 0.5:
            await asyncio.sleep(0.002)

    run(main())
    # A crowded machine may stop the process for a while, which is no function's doing.
    long = [s for s in blocks(recorder) if s.end_ns - s.start_ns > 20e6]
    assert [function(s) for s in long if function(s)] == []
    recorder.work()
    [(metric, [point])] = [
        (metric, points)
        for metric, points in recorder.instruments.snapshot()
        if metric is c.LOOP_DELAY
    ]
    assert metric is c.LOOP_DELAY
    assert 7 <= point.count <= 15  # one each 50 ms


def test_the_gauge_tells_of_a_delay_that_goes_on(
    run: Run, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """The sampler runs in another thread, while the loop is still blocked."""
    worst_s: list[float] = []

    def sample() -> None:
        time.sleep(0.15)
        monitor.sample(recorder.instruments)
        worst_s.extend(
            point.value
            for metric, points in recorder.instruments.snapshot()
            if metric is c.LOOP_DELAY_MAX
            for point in points
        )

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.05)
        thread = threading.Thread(target=sample)
        thread.start()
        rank_articles(0.3)
        thread.join()

    run(main())
    assert 0.1 <= worst_s[0] <= 0.25


def test_a_block_that_never_ends_is_recorded_at_the_end(
    run: Run, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """Whoever stops the monitor from another thread gets the block that is running."""

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.1)
        stopper = threading.Timer(0.2, monitor.stop)
        stopper.start()
        rank_articles(0.25)
        stopper.join()
        await asyncio.sleep(0.05)

    run(main())
    longest = max(blocks(recorder), key=lambda span: span.end_ns - span.start_ns)
    assert 0.17 <= (longest.end_ns - longest.start_ns) / 1e9 <= 0.27
    assert function(longest) == "rank_articles"


def test_stopping_in_a_callback_records_what_that_callback_blocked(
    recorder: Recorder, monitor: LoopMonitor
) -> None:
    """At a server's shutdown the last callback is the one that stops the monitor."""

    async def main() -> None:
        monitor.start()
        await asyncio.sleep(0.05)
        rank_articles(0.05)
        monitor.stop()

    asyncio.run(main())
    assert [function(s) for s in blocks(recorder) if s.end_ns - s.start_ns > 45e6] == [
        "rank_articles"
    ]


def test_the_loop_is_as_it_was(run: Run, recorder: Recorder, monitor: LoopMonitor) -> None:
    """No tasks of ours while it is watched; nothing left on it, and no thread, afterwards."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = set(asyncio.all_tasks())
        assert monitor.start()
        assert not monitor.start()  # twice is once
        await asyncio.sleep(0.03)
        assert set(asyncio.all_tasks()) == before
        monitor.stop()
        selector = getattr(loop, "_selector", None)
        assert selector is None or "select" not in vars(selector)
        assert monitor.start()  # and again

    run(main())
    until = time.monotonic() + 5
    while any(thread.name == "agentscope-loop-watchdog" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)
    gc.collect()  # an unclosed loop would warn


def test_a_pause_between_two_runs_of_a_loop_is_no_block(recorder: Recorder) -> None:
    """A loop that nobody runs is not blocked."""
    monitor = LoopMonitor(recorder)

    async def work() -> None:
        monitor.start()
        await asyncio.sleep(0.03)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(work())
    time.sleep(0.15)
    loop.run_until_complete(work())
    loop.close()
    monitor.stop()
    assert [s for s in blocks(recorder) if s.end_ns - s.start_ns > 100e6] == []


def test_two_loops_are_watched_apart(recorder: Recorder, monitor: LoopMonitor) -> None:
    """A block of one loop is told once, and not of the other."""

    async def quiet() -> None:
        monitor.start()
        await asyncio.sleep(0.4)

    async def blocked() -> None:
        monitor.start()
        await asyncio.sleep(0.1)
        rank_articles(0.15)
        await asyncio.sleep(0.05)

    other = threading.Thread(target=asyncio.run, args=(quiet(),))
    other.start()
    asyncio.run(blocked())
    other.join()
    assert [function(s) for s in blocks(recorder) if s.end_ns - s.start_ns > 100e6] == [
        "rank_articles"
    ]


def test_a_loop_in_another_thread_can_be_watched(recorder: Recorder, monitor: LoopMonitor) -> None:
    """``start`` takes effect when that loop comes round."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert monitor.start(loop)
    time.sleep(0.1)
    loop.call_soon_threadsafe(rank_articles, 0.1)
    time.sleep(0.2)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    monitor.stop()
    loop.close()
    assert [function(s) for s in blocks(recorder) if s.end_ns - s.start_ns > 90e6] == [
        "rank_articles"
    ]


def test_where_no_loop_runs_nothing_happens(recorder: Recorder) -> None:
    """As under trio, or in a script."""
    trio = pytest.importorskip("trio")
    monitor = LoopMonitor(recorder)

    async def main() -> None:
        assert monitor.start() is False

    trio.run(main)
    assert monitor.start() is False
    monitor.stop()
    assert recorder.samplers == []


def test_the_loop_closes_without_a_word(tmp_path: Any) -> None:
    """A monitor that nobody stopped neither holds the process nor warns, in debug mode too."""
    script = tmp_path / "forgetful.py"
    script.write_text(
        "import asyncio, sys, uvloop\n"
        "from agentscope.recording.recorder import Recorder\n"
        "from agentscope.runtime.event_loop import LoopMonitor\n"
        "async def main():\n"
        "    monitor = LoopMonitor(Recorder({}, threaded=False))\n"
        "    assert monitor.start()\n"
        "    await asyncio.sleep(0.05)\n"
        "{'asyncio': asyncio, 'uvloop': uvloop}[sys.argv[1]].run(main(), debug=True)\n"
    )
    for kind in ("asyncio", "uvloop"):
        done = subprocess.run(
            [sys.executable, "-W", "error", script, kind],
            env={**os.environ, "PYTHONDEVMODE": "1"},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
