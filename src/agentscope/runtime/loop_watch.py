"""The watch over one event loop: its timer, its selector, its watchdog."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from agentscope import conventions as c
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue
from agentscope.runtime.alarm import new_alarm
from agentscope.runtime.heartbeat import Block, Evidence, Heartbeat, Iterations, Slots
from agentscope.runtime.interpreter import LockWait
from agentscope.runtime.libuv import idle_clock
from agentscope.runtime.polls import hook
from agentscope.runtime.processor import ProcessorWait
from agentscope.runtime.rhythm import BEAT_NS, MIN_BLOCK_NS, QUIET_WORK_NS, Rhythm
from agentscope.runtime.watchdog import LATE_NS, Watchdog

MIN_UNCERTAINTY_NS = 500_000
"""A start known more closely than this counts as seen."""

MIN_PROCESSOR_WAIT_NS = 1_000_000
"""A shorter wait for a processor is everyday."""


class LoopWatch:
    """One loop of this process, watched for one recorder."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: Recorder) -> None:
        self._loop = loop
        self._recorder = recorder
        self._clock = recorder.clock.monotonic_ns
        self._context = Context()  # not the request's in which the watch was started
        self._stopped = False
        self._watchdog: Watchdog | None = None
        self._unhook: Callable[[], None] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._expected_ns = 0
        self._worst_ns = 0

    @property
    def lock_wait(self) -> LockWait | None:
        """How long the watchdog waits for the interpreter lock; None until it runs."""
        return self._watchdog.lock_wait if self._watchdog is not None else None

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
        self._slots = Slots(now_ns)
        self._iterations = Iterations(MIN_BLOCK_NS, now_ns)
        self._alarm = new_alarm()
        self._unhook = hook(self._loop, self._polling)
        idle_ns = None if self._unhook else idle_clock(self._loop)
        self._heartbeat = Heartbeat(MIN_BLOCK_NS, now_ns, idle_ns)
        self._evidence: Evidence = self._iterations if self._unhook else self._heartbeat
        self._rhythm = Rhythm(
            now_ns,
            rounds=self._unhook is not None,
            quiet=self._unhook is not None or idle_ns is not None,
            called=self._alarm.settable,
        )
        self._processor = ProcessorWait()
        self._waited_ns = self._processor.read_ns()
        watchdog = Watchdog(self._loop, self._clock, self._evidence, self._rhythm, self._alarm)
        watchdog.bottom = None if self._unhook else 0
        self._schedule(now_ns)
        watchdog.start()
        self._watchdog = watchdog

    def _beat(self) -> None:
        watchdog = self._watchdog
        if self._stopped or watchdog is None:
            return
        try:
            now_ns, expected_ns = self._clock(), self._expected_ns
            watchdog.thread_id = threading.get_ident()
            if not self._unhook:
                watchdog.bottom = id(sys._getframe(1))
            block = self._evidence.beat(expected_ns, now_ns)
            if block is not None:
                self._report(block, expected_ns)
            elif now_ns - expected_ns < MIN_BLOCK_NS:  # else a block is yet to be told
                self._note_work(now_ns)
            self._observe(expected_ns, now_ns)
            self._worst_ns = max(self._worst_ns, now_ns - expected_ns)
            self._schedule(now_ns)
        except Exception as error:
            self._give_up("event loop's beat", error)

    def _note_work(self, now_ns: int) -> None:
        worked_ns = self._heartbeat.busy_ns - self._waited_since_ns()
        if worked_ns > QUIET_WORK_NS:
            self._rhythm.works()
        if worked_ns >= MIN_BLOCK_NS:
            self._rhythm.alert(now_ns)

    def _waited_since_ns(self) -> int:
        """How long the thread has waited for a processor since the last time this was asked."""
        before_ns, self._waited_ns = self._waited_ns, self._processor.read_ns()
        return self._waited_ns - before_ns

    def _observe(self, expected_ns: int, now_ns: int) -> None:
        for delay_s in self._slots.delays_s(expected_ns, now_ns):
            self._recorder.observe(c.LOOP_DELAY, (), delay_s)

    def _give_up(self, where: str, error: Exception) -> None:
        """A watch that has failed claims nothing more."""
        self._stopped = True
        if self._unhook:
            self._unhook()
        if self._watchdog is not None:
            self._watchdog.stop()
        internal_error(where, error)

    def _schedule(self, now_ns: int) -> None:
        period_ns = self._rhythm.period_ns(now_ns)
        # The next on an even grid, unless that has passed.
        due_ns = self._expected_ns + period_ns
        self._expect(min(max(due_ns, now_ns + period_ns // 2), now_ns + 2 * period_ns), now_ns)

    def _expect(self, due_ns: int, now_ns: int) -> None:
        self._expected_ns = due_ns
        self._heartbeat.expect(due_ns)
        after_ns = due_ns - now_ns
        self._handle = self._loop.call_later(after_ns / 1e9, self._beat, context=self._context)
        if not self._unhook:
            self._alarm.set(after_ns + LATE_NS)

    def _polling(self, select: Callable[..., Any], timeout: float | None) -> Any:
        """Stands in for the selector's ``select``, around every poll of the loop."""
        if self._stopped:
            return select(timeout)
        iterations, rhythm = self._iterations, self._rhythm
        since_ns = iterations.since_ns
        try:
            now_ns = self._clock()
            block, worked_ns = iterations.polls(now_ns), now_ns - since_ns
            if block is not None:
                worked_ns = self._report(block, since_ns)
                self._observe(block.start_ns, block.end_ns)
            elif worked_ns > QUIET_WORK_NS:
                worked_ns -= self._waited_since_ns()
            if worked_ns >= MIN_BLOCK_NS or (worked_ns > QUIET_WORK_NS and timeout == 0):
                if rhythm.idle and (timeout is None or timeout > BEAT_NS / 1e9):
                    timeout = (
                        BEAT_NS / 1e9
                    )  # the loop does not know yet of the beat that is set now
                self._works(now_ns)
            elif rhythm.idle:
                self._alarm.set(0)
                if worked_ns > QUIET_WORK_NS:  # a delay that the next beat is too far off to see
                    self._observe(since_ns, now_ns)
        except Exception as error:
            internal_error("event loop's poll", error)
        ready = select(timeout)
        iterations.since_ns = now_ns = self._clock()
        if rhythm.idle:
            self._begin_idle_round(now_ns, ready)
        elif ready:
            rhythm.worked = True
        return ready

    def _begin_idle_round(self, now_ns: int, ready: Any) -> None:
        """Nobody looks at an idle loop: the watchdog is to be called should this round be long."""
        try:
            self._waited_since_ns()
            self._alarm.set(LATE_NS)
            if ready:
                self._works(now_ns)
        except Exception as error:
            internal_error("event loop's poll", error)

    def _works(self, now_ns: int) -> None:
        """The loop has something to do: an idle rhythm is over."""
        was_idle = self._rhythm.idle
        self._rhythm.works()
        if not was_idle:
            return
        self._alarm.call(LATE_NS)
        if self._expected_ns > now_ns + BEAT_NS:
            if self._handle is not None:
                self._handle.cancel()
            self._expect(now_ns + BEAT_NS, now_ns)

    def _report(self, block: Block, since_ns: int) -> int:
        """Record a block, and tell how long of it the loop worked."""
        length_ns = block.end_ns - block.start_ns
        self._worst_ns = max(self._worst_ns, length_ns)
        waited_ns = min(self._waited_since_ns(), length_ns)
        attributes: dict[str, AttributeValue] = {}
        if length_ns - waited_ns >= MIN_BLOCK_NS:
            self._rhythm.alert(block.end_ns)
            if self._watchdog is not None:
                attributes = self._watchdog.samples.attributes(since_ns)
        # Else only a crowded machine made it a block: whose turn it was then is not to blame.
        if waited_ns >= MIN_PROCESSOR_WAIT_NS:
            attributes[c.PROCESSOR_WAIT] = waited_ns / 1e9
        if block.uncertainty_ns >= MIN_UNCERTAINTY_NS:
            attributes[c.START_UNCERTAINTY] = block.uncertainty_ns / 1e9
        self._recorder.runtime_event(
            c.RuntimeEvent.LOOP_BLOCKED, block.start_ns, block.end_ns, attributes
        )
        return length_ns - waited_ns

    # --- from any thread ---------------------------------------------------------------------

    def stop(self) -> None:
        """Stop watching; the block that is running now, if any, is recorded up to now."""
        if self._stopped:
            return
        self._stopped = True
        watchdog = self._watchdog
        if watchdog is None:  # not started yet
            return
        watchdog.stop()
        now_ns = self._clock()
        since_ns = self._evidence.overdue(now_ns)
        block = self._evidence.running_block(now_ns)
        if block is not None and self._loop.is_running():
            self._report(block, since_ns)
        if self._unhook:
            self._unhook()
        if self._handle and threading.get_ident() == watchdog.thread_id:
            # From elsewhere the beat sees that it is over, and the descriptor goes with us.
            self._handle.cancel()
            self._processor.close()

    def take_worst_ns(self) -> int:
        """The largest delay since the last call, a delay that goes on included."""
        worst_ns, self._worst_ns = self._worst_ns, 0
        if self._watchdog is None or not self._loop.is_running():
            return worst_ns
        now_ns = self._clock()
        late_ns = now_ns - (self._evidence.overdue(now_ns) or now_ns)
        return max(worst_ns, now_ns - self._expected_ns, late_ns)
