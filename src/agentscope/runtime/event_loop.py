"""Event loops: how late they run, when they were blocked, and by whose code.

A timer in the loop measures the delay. Where the loop's selector can be seen (asyncio's own), the
two ends of each round are noted, so a block's start and end are exact; elsewhere (uvloop) the start
is computed from the timer and the loop's idle time. A thread looks at the loop from time to time and, while a round takes
long, notes which code the loop's thread is in.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

from agentscope import conventions as c
from agentscope.recording.guard import internal_error, note_error
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue
from agentscope.runtime.frames import Place, place
from agentscope.runtime.heartbeat import SLOT_NS, Block, Evidence, Heartbeat, Iterations, Slots
from agentscope.runtime.interpreter import LockWait
from agentscope.runtime.libuv import idle_clock
from agentscope.runtime.processor import ProcessorWait

MIN_BLOCK_NS = round(c.MIN_LOOP_BLOCK_S * 1e9)

BEAT_NS = SLOT_NS
"""Between two beats of a loop whose rounds are seen: they are for the delay alone."""

BLIND_BEAT_NS = 25_000_000
"""The same for a loop whose rounds are not seen, and that works. Every stop that is 5 ms longer is
noticed; of the shorter ones the first may be missed, but it puts us on the alert."""

ALERT_BEAT_NS = 5_000_000
"""The same for ``ALERT_NS`` after a block, or after so much work that it may hide one: blocks come
in company. Without an idle clock half of this is how far off the start of one may be."""

LOOK_NS = 25_000_000
"""Between two looks of the watchdog while the loop is not late."""

ALERT_LOOK_NS = 12_000_000
"""The same for ``ALERT_NS`` after a block, so that the short ones are named too."""

ALERT_NS = 5_000_000_000

IDLE_NS = 100_000_000
"""Between two beats and two looks where rounds are seen and no socket was ready for ``QUIET_NS``.
The next that is ready ends it. Where rounds are not seen, between two looks at a loop that did next
to nothing for so long; its beats are then ``BEAT_NS`` apart, for nobody tells of its next work.
A wake-up costs up to 0.1 ms of a processor where nothing else runs: that is what watching costs."""

QUIET_NS = 1_000_000_000

QUIET_WORK_NS = 1_000_000
"""A loop that worked longer than this between two beats is not quiet."""

MIN_UNCERTAINTY_NS = 500_000
"""A start known more closely than this counts as seen."""

MIN_PROCESSOR_WAIT_NS = 1_000_000
"""A shorter wait for a processor is everyday."""

LATE_NS = 2_500_000
"""A loop this late is sampled: half of a block, so that short blocks are named too."""

SAMPLE_NS = 5_000_000
"""Between two samples of a block; a long one is sampled more and more rarely."""

Sample = tuple[Place, int]
"""Where the loop's thread was, and the nanoseconds for which that stands."""


class LoopMonitor:
    """Watches the event loops of this process, for one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._lock = threading.RLock()  # a signal handler may stop what it interrupts
        self._sampled = False

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """Watch ``loop``, or the one that runs here; False if none does or it is watched already.

        A loop that runs in another thread starts to be watched when it comes round. trio has no
        such loop: nothing happens.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        loop = loop or running
        if loop is None or loop.is_closed():
            return False
        with self._lock:
            if loop in self._watches:
                return False
            watch = self._watches[loop] = _Watch(loop, self._recorder)
            if not self._sampled:
                self._sampled = True
                self._recorder.samplers.append(self.sample)
        if loop is running:
            watch.start()
        else:
            loop.call_soon_threadsafe(watch.start, context=Context())
        return True

    def watched(self) -> list[asyncio.AbstractEventLoop]:
        """The loops that are watched now."""
        with self._lock:
            return [loop for loop in self._watches if not loop.is_closed()]

    def stop(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Stop watching ``loop``, or all; a block that is still running is recorded up to now.

        From any thread, and before the recorder shuts down.
        """
        with self._lock:
            watches = [self._watches.pop(one) for one in list(self._watches) if loop in (None, one)]
        for watch in watches:
            watch.stop()

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.event_loop.delay.max`` and the wait for the interpreter lock."""
        with self._lock:
            for loop in [one for one in self._watches if one.is_closed()]:
                self._watches.pop(loop).stop()
            watches = list(self._watches.values())
        if watches:
            worst_ns = max(watch.take_worst_ns() for watch in watches)
            instruments.set(c.LOOP_DELAY_MAX, (), worst_ns / 1e9)
        waits = [watch.lock_wait.take() for watch in watches if watch.lock_wait is not None]
        wakes = sum(count for _, count in waits)
        if wakes:
            waited_s = sum(total_ns for total_ns, _ in waits) / 1e9
            instruments.set(c.INTERPRETER_LOCK_WAIT, (), waited_s / wakes)


class _Watch:
    """One loop: its timer, its selector, its watchdog thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: Recorder) -> None:
        self._loop = loop
        self._recorder = recorder
        self._clock = recorder.clock.monotonic_ns
        self._context = Context()  # not the request's in which the watch was started
        self._bottom = 0
        self._thread_id = 0
        self._stopped = False
        self._unhook: Callable[[], None] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._expected_ns = 0
        self._alert_until_ns = 0
        self._ready = False
        self._idle = False
        self._look_ns = LOOK_NS
        self._worst_ns = 0
        self._worked_ns = 0
        # The samples of the block that the watchdog sees, and since when it has lasted.
        self._samples: list[Sample] = []
        self._samples_of = 0
        self.lock_wait: LockWait | None = None
        self._look = threading.Lock()
        self._look.acquire()

    # --- on the loop's thread ----------------------------------------------------------------

    def start(self) -> None:
        """Set the first timer and start the watchdog; on the loop's thread."""
        if self._stopped:
            return
        try:
            self._begin()
        except Exception as error:
            self._give_up("event loop's start", error)

    def _begin(self) -> None:
        now_ns = self._clock()
        self._thread_id = threading.get_ident()
        self._slots = Slots(now_ns)
        self._iterations = Iterations(MIN_BLOCK_NS, now_ns)
        self._unhook = _hook(self._loop, self._polling)
        idle_ns = None if self._unhook else idle_clock(self._loop)
        self._heartbeat = Heartbeat(MIN_BLOCK_NS, now_ns, idle_ns)
        self._evidence: Evidence = self._iterations if self._unhook else self._heartbeat
        quiet_is_told = self._unhook is not None or idle_ns is not None
        self._quiet_from_ns = now_ns + QUIET_NS if quiet_is_told else sys.maxsize
        self._processor = ProcessorWait()
        self._waited_ns = self._processor.read_ns()
        self._schedule(now_ns)
        threading.Thread(target=self._guard, name="agentscope-loop-watchdog", daemon=True).start()

    def _beat(self) -> None:
        if self._stopped:
            return
        try:
            now_ns, expected_ns = self._clock(), self._expected_ns
            self._thread_id = threading.get_ident()
            if not self._unhook:
                self._bottom = id(sys._getframe(1))
            block = self._evidence.beat(expected_ns, now_ns)
            self._worked_ns = 0
            if block is not None:
                self._report(block, expected_ns)
            elif now_ns - expected_ns < MIN_BLOCK_NS:  # else a block is yet to be told
                before_ns, self._waited_ns = self._waited_ns, self._processor.read_ns()
                self._worked_ns = self._heartbeat.busy_ns - (self._waited_ns - before_ns)
            recorder = self._recorder
            for delay_s in self._slots.delays_s(expected_ns, now_ns):
                recorder.observe(c.LOOP_DELAY, (), delay_s)
            self._worst_ns = max(self._worst_ns, now_ns - expected_ns)
            self._schedule(now_ns)
        except Exception as error:
            self._give_up("event loop's beat", error)

    def _give_up(self, where: str, error: Exception) -> None:
        """A watch that has failed claims nothing more."""
        self._stopped = True
        if self._unhook:
            self._unhook()
        internal_error(where, error)

    def _schedule(self, now_ns: int) -> None:
        period_ns = self._period_ns(now_ns)
        # The next on an even grid, unless that has passed.
        due_ns = self._expected_ns + period_ns
        due_ns = min(max(due_ns, now_ns + period_ns // 2), now_ns + 2 * period_ns)
        self._expected_ns = due_ns
        self._heartbeat.expect(due_ns)
        self._handle = self._loop.call_later(
            (due_ns - now_ns) / 1e9, self._beat, context=self._context
        )

    def _period_ns(self, now_ns: int) -> int:
        if self._worked_ns >= MIN_BLOCK_NS:
            self._alert_until_ns = now_ns + ALERT_NS
        alert = now_ns < self._alert_until_ns
        if self._ready or self._heartbeat.busy_ns > QUIET_WORK_NS:
            self._ready = False
            self._quiet_from_ns = now_ns + QUIET_NS
        self._idle = not alert and now_ns >= self._quiet_from_ns
        self._look_ns = IDLE_NS if self._idle else ALERT_LOOK_NS if alert else LOOK_NS
        if not self._unhook:
            return ALERT_BEAT_NS if alert else BEAT_NS if self._idle else BLIND_BEAT_NS
        return IDLE_NS if self._idle else BEAT_NS

    def _polling(self, select: Callable[..., Any], timeout: float | None) -> Any:
        """Stands in for the selector's ``select``, around every poll of the loop."""
        iterations = self._iterations
        since_ns = iterations.since_ns
        if self._stopped:
            return select(timeout)
        try:
            block = iterations.polls(self._clock())
            if block is not None:
                self._report(block, since_ns)
        except Exception as error:
            internal_error("event loop's poll", error)
        ready = select(timeout)
        iterations.since_ns = self._clock()
        if ready:
            self._ready = True
            if self._idle:
                self._idle = False
                self._look_ns = LOOK_NS
                self._rouse()
        return ready

    def _report(self, block: Block, since_ns: int) -> None:
        length_ns = block.end_ns - block.start_ns
        self._worst_ns = max(self._worst_ns, length_ns)
        before_ns, self._waited_ns = self._waited_ns, self._processor.read_ns()
        waited_ns = min(self._waited_ns - before_ns, length_ns)
        attributes: dict[str, AttributeValue] = {}
        if length_ns - waited_ns >= MIN_BLOCK_NS:
            self._alert_until_ns = block.end_ns + ALERT_NS
            if self._samples_of == since_ns:
                attributes = _attributes(list(self._samples))
        # Else only a crowded machine made it a block: whose turn it was then is not to blame.
        if waited_ns >= MIN_PROCESSOR_WAIT_NS:
            attributes[c.PROCESSOR_WAIT] = waited_ns / 1e9
        if block.uncertainty_ns >= MIN_UNCERTAINTY_NS:
            attributes[c.START_UNCERTAINTY] = block.uncertainty_ns / 1e9
        self._recorder.runtime_event(
            c.RuntimeEvent.LOOP_BLOCKED, block.start_ns, block.end_ns, attributes
        )

    # --- from any thread ---------------------------------------------------------------------

    def stop(self) -> None:
        """Stop watching; the block that is running now, if any, is recorded up to now."""
        if self._stopped:
            return
        self._stopped = True
        self._rouse()
        if not self._thread_id:  # not started yet
            return
        now_ns = self._clock()
        since_ns = self._evidence.overdue(now_ns)
        block = self._evidence.running_block(now_ns)
        if block is not None and self._loop.is_running():
            self._report(block, since_ns)
        if self._unhook:
            self._unhook()
        if self._handle and threading.get_ident() == self._thread_id:
            # From elsewhere the beat sees that it is over, and the descriptor goes with us.
            self._handle.cancel()
            self._processor.close()

    def take_worst_ns(self) -> int:
        """The largest delay since the last call, a delay that goes on included."""
        worst_ns, self._worst_ns = self._worst_ns, 0
        if not self._thread_id or not self._loop.is_running():
            return worst_ns
        return max(worst_ns, self._clock() - self._expected_ns, 0)

    def _rouse(self) -> None:
        with contextlib.suppress(RuntimeError):  # roused already
            self._look.release()

    # --- the watchdog's thread ---------------------------------------------------------------

    def _guard(self) -> None:
        last_ns = due_ns = 0
        self.lock_wait = lock_wait = LockWait()
        while not self._stopped and not self._loop.is_closed():
            try:
                now_ns = self._clock()
                wait_ns, last_ns = self._watch(now_ns, last_ns)
                if due_ns:  # only now: it lets go of the interpreter, and a block may end
                    lock_wait.woke(due_ns, now_ns)
            except Exception as error:
                note_error("event loop's watchdog", error)
                wait_ns = IDLE_NS
            due_ns = self._clock() + wait_ns
            if self._look.acquire(timeout=wait_ns / 1e9):
                due_ns = 0  # roused before its time

    def _watch(self, now_ns: int, last_ns: int) -> tuple[int, int]:
        """Sample the loop if it is late; how long to wait then, and the time of the sample."""
        if not self._loop.is_running():
            self._evidence.absent(now_ns)
        since_ns = self._evidence.overdue(now_ns)
        late_ns = now_ns - since_ns
        if not since_ns:
            return self._look_ns, 0
        if late_ns < LATE_NS:
            return LATE_NS - late_ns, 0
        self._sample(since_ns, min(late_ns, now_ns - last_ns))
        return max(SAMPLE_NS, late_ns // 20), now_ns

    def _sample(self, since_ns: int, weight_ns: int) -> None:
        if not self._unhook and not self._bottom:
            return
        frame = sys._current_frames().get(self._thread_id)
        where = place(frame, self._bottom)
        del frame  # the user's locals are not ours to keep
        if where is None or self._evidence.overdue(self._clock()) != since_ns:
            return
        if self._samples_of != since_ns:
            self._samples = []
            self._samples_of = since_ns
        self._samples.append((where, weight_ns))


def _hook(
    loop: asyncio.AbstractEventLoop,
    polling: Callable[[Callable[..., Any], float | None], Any],
) -> Callable[[], None] | None:
    """Have ``polling`` called for every poll of ``loop``; gives the way back, None if impossible.

    The selector is asyncio's own; that it sits at ``_selector`` is not promised, so nothing
    depends on it.
    """
    selector = getattr(loop, "_selector", None)
    select = getattr(selector, "select", None)
    if select is None or not hasattr(selector, "__dict__"):
        return None

    def watched(timeout: float | None = None) -> Any:
        return polling(select, timeout)

    vars(selector)["select"] = watched

    def unhook() -> None:
        if vars(selector).get("select") is watched:
            del vars(selector)["select"]

    return unhook


def _attributes(samples: Sequence[Sample]) -> dict[str, AttributeValue]:
    """The function in which the block spent most of its sampled time, and where in it."""
    if not samples:
        return {}
    by_function: dict[tuple[str, str], int] = {}
    by_place: dict[Place, int] = {}
    for where, weight_ns in samples:
        key = (where.function, where.file)
        by_function[key] = by_function.get(key, 0) + weight_ns
        by_place[where] = by_place.get(where, 0) + weight_ns
    top = max(by_function, key=by_function.__getitem__)
    where = max(
        (one for one in by_place if (one.function, one.file) == top), key=by_place.__getitem__
    )
    attributes: dict[str, AttributeValue] = {
        c.CODE_FUNCTION: where.function,
        c.CODE_FILE: where.file,
        c.CODE_LINE: where.line,
        c.CODE_SHARE: round(by_function[top] / sum(by_function.values()), 3),
    }
    if where.callee:
        attributes[c.CODE_CALLEE] = where.callee
    return attributes
