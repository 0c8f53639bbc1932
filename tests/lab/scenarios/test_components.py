"""Child processes that start, fail, and never stay behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agentscope.lab.scenarios import Component, ComponentError, Interrupted, Interrupts

PARENT_WITH_CHILD = """
import os, signal, sys, time
child = os.fork()
if child:
    print("child", child, "ready", flush=True)
if sys.argv[1:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Component]]:
    components: list[Component] = []

    def start(code: str, *arguments: str) -> Component:
        command = [sys.executable, "-c", code, *arguments]
        component = Component("the part", command, tmp_path / "logs" / "part.log")
        components.append(component)
        component.start()
        return component

    yield start
    for component in components:
        component.stop(grace_s=0)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_ready_when_it_says_so(start: Callable[..., Component]) -> None:
    """The ready line's groups come back; SIGTERM ends it; a second stop does nothing."""
    part = start("import time; print('listening on port 4711', flush=True); time.sleep(60)")
    assert part.wait_ready(r"port (\d+)", 20)[1] == "4711"
    assert not part.ended()
    assert part.stop() == -signal.SIGTERM
    assert part.stop() == -signal.SIGTERM
    assert part.ended()


def test_one_that_dies_early_is_told_in_one_line(start: Callable[..., Component]) -> None:
    """Name, log and last words, without waiting for the time-out."""
    part = start("import sys; print('port is taken'); sys.exit('giving up')")
    began_s = time.monotonic()
    with pytest.raises(ComponentError) as failure:
        part.wait_ready("never", 60)
    assert time.monotonic() - began_s < 30
    assert str(failure.value) == (
        f"the part ended before it was ready ({part.log}): giving up | port is taken"
    ) or str(failure.value) == (
        f"the part ended before it was ready ({part.log}): port is taken | giving up"
    )
    assert part.stop() == 1


def test_one_that_never_gets_ready_is_given_up(start: Callable[..., Component]) -> None:
    """After the time-out, with what it said."""
    part = start("import time; time.sleep(60)")
    with pytest.raises(ComponentError, match=r"was not ready after 0\.2 s .*it said nothing"):
        part.wait_ready("ready", 0.2)


def test_an_end_in_the_middle_is_noticed(start: Callable[..., Component]) -> None:
    """check() is silent while it runs and speaks when it does not."""
    part = start("print('ready', flush=True); input()")
    wait_until(part.ended)
    with pytest.raises(ComponentError, match=r"ended in the middle of the run .*EOFError"):
        part.check()


def test_its_children_go_with_it(start: Callable[..., Component]) -> None:
    """A child that does not end on its parent's signal is in the same group, and ends too."""
    part = start(PARENT_WITH_CHILD)
    child = int(part.wait_ready(r"child (\d+) ready", 20)[1])
    part.stop()
    wait_until(lambda: gone(child))


def test_its_children_go_even_if_it_crashed_before(start: Callable[..., Component]) -> None:
    """The parent is gone already when stop is called; its group is not."""
    part = start(PARENT_WITH_CHILD)
    child = int(part.wait_ready(r"child (\d+) ready", 20)[1])
    assert part.pid is not None
    os.kill(part.pid, signal.SIGKILL)
    wait_until(part.ended)
    assert not gone(child)
    assert part.stop() == -signal.SIGKILL
    wait_until(lambda: gone(child))


@pytest.mark.parametrize("how", ["after its grace", "at once when urgent"])
def test_one_that_ignores_sigterm_is_killed(start: Callable[..., Component], how: str) -> None:
    """Waiting is bounded."""
    part = start(PARENT_WITH_CHILD, "stubborn")
    part.wait_ready("deaf[^$]*deaf", 20)
    urgent = how == "at once when urgent"
    began_s = time.monotonic()
    assert part.stop(60 if urgent else 0.3, urgent=lambda: urgent) == -signal.SIGKILL
    assert time.monotonic() - began_s < 10


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """The shell's words, not a traceback."""
    part = Component("the part", ["/no/such/program"], tmp_path / "part.log")
    part.start()
    with pytest.raises(ComponentError, match="cannot run /no/such/program: No such file"):
        part.wait_ready("ready", 20)
    part.stop()


OWNER = """
import sys, time
from pathlib import Path
from agentscope.lab.scenarios import Component, Interrupted, Interrupts
part = Component("part", [sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]))
with Interrupts() as interrupts:
    try:
        part.start()
        part.wait_ready("child", 20)
        print("ready", flush=True)
        time.sleep(60)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    finally:
        part.stop()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_orphan_when_the_owner_is_signalled(tmp_path: Path, number: signal.Signals) -> None:
    """Asked to end, the owner takes its parts along; killed outright, the kernel does (Linux)."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    log = tmp_path / "part.log"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(log), PARENT_WITH_CHILD],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"ready\n"
        (part,) = psutil.Process(owner.pid).children()
        os.killpg(owner.pid, number)  # as the terminal does it: the whole foreground group
        owner.wait(timeout=20)
    assert owner.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    wait_until(lambda: gone(part.pid))
    if number != signal.SIGKILL:
        child = int(re.findall(r"child (\d+)", log.read_text())[0])
        wait_until(lambda: gone(child))
    else:
        os.kill(int(re.findall(r"child (\d+)", log.read_text())[0]), signal.SIGKILL)


def test_a_signal_raises_where_it_is_not_deferred() -> None:
    """With the exit code that shells expect, and the old handlers back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted) as interrupted:
            signal.raise_signal(signal.SIGTERM)
        assert interrupted.value.exit_code == 143
        assert interrupts.received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_ctrl_c_may_mean_an_early_end_and_two_never_do() -> None:
    """Where code polls, it decides what the first one means."""
    with Interrupts() as interrupts, interrupts.deferred():
        interrupts.check()
        signal.raise_signal(signal.SIGINT)
        assert (interrupts.early_end, interrupts.urgent) == (True, False)
        interrupts.check(early_end_is_fine=True)
        with pytest.raises(Interrupted):
            interrupts.check()
        signal.raise_signal(signal.SIGINT)
        assert (interrupts.early_end, interrupts.urgent) == (False, True)
        with pytest.raises(Interrupted):
            interrupts.check(early_end_is_fine=True)
