"""Signal handlers and finalizers may end spans in the middle of our own code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from agentscope.recording import guard
from agentscope.recording.recorder import MAX_UNENCODED, Recorder
from agentscope.recording.span import Role
from agentscope.testing import MemorySink

DROPPING = f"""
import faulthandler, signal, time
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.testing import MemorySink

recorder = Recorder({{}}, [MemorySink()], threaded=False)

def end_one(*_):
    recorder.end(recorder.start("p", Role.OTHER, {{}}))

for _ in range({MAX_UNENCODED}):
    end_one()
signal.signal(signal.SIGALRM, end_one)
faulthandler.dump_traceback_later(15, exit=True)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
ends = time.monotonic() + 1.5
while time.monotonic() < ends:
    end_one()
signal.setitimer(signal.ITIMER_REAL, 0)
print("went on")
"""


def test_a_signal_handler_that_ends_a_span_never_waits_for_what_it_interrupts() -> None:
    """The queue is full, so each of the spans takes every lock there is."""
    done = subprocess.run(
        [sys.executable, "-c", DROPPING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("went on\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_fault_is_counted_does_not_hang_the_child() -> None:
    """The lock is held by a thread that the child does not have."""
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with guard._lock:
            held.set()
            forked.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        guard.note_error("child", ValueError())
        os._exit(0 if guard.internal_errors() == {"child": 1} else 1)
    forked.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_thread_that_cannot_start_now_starts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at its limit of threads records again once it is below."""
    recorder = Recorder({}, [sink := MemorySink()])
    real_start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    recorder.start("first", Role.OTHER, {}).end()
    assert not recorder.running
    monkeypatch.setattr(threading.Thread, "start", real_start)
    recorder.start("second", Role.OTHER, {}).end()
    assert recorder.running
    assert recorder.shutdown(5)
    assert len(sink.span_fragments) == 2
    assert guard.internal_errors() == {"recorder's thread": 1}
    guard.forget_internal_errors()


def test_the_end_needs_no_new_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12 on an interpreter that is about to end starts none."""
    recorder = Recorder({}, [sink := MemorySink()], threaded=False)
    recorder.start("last", Role.OTHER, {}).end()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert recorder.shutdown(1)
    assert len(sink.span_fragments) == 1
