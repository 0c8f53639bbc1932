"""A quota like a container's: the kernel stops the process, and the group is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentscope.lab.scenarios import ComponentError
from agentscope.lab.scenarios.cpu_quota import cpu_quota

BUSY = "while True: pass"


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """A process that would use a whole core."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_a_process_gets_the_cores_it_was_given_and_no_more(busy: psutil.Process) -> None:
    """A fifth of a core for a second is a fifth of a second, give or take two periods."""
    try:
        with cpu_quota(busy.pid, cores=0.2):
            used_s, started_s = sum(busy.cpu_times()[:2]), time.monotonic()
            time.sleep(1.0)
            used_s = sum(busy.cpu_times()[:2]) - used_s
            share = used_s / (time.monotonic() - started_s)
            busy.kill()
            busy.wait(5)
    except ComponentError as error:
        pytest.skip(str(error))

    assert 0.05 < share < 0.45
    assert list(Path("/sys/fs/cgroup").glob(f"**/agentscope-lab-{os.getpid()}-*")) == []


def test_a_process_that_is_gone_is_said_and_leaves_no_group() -> None:
    """The message is one line that says what to do."""
    gone = 2**22 - 1
    with pytest.raises(ComponentError, match="no CPU quota can be set"), cpu_quota(gone, 0.5):
        pass

    assert list(Path("/sys/fs/cgroup").glob(f"**/agentscope-lab-{os.getpid()}-*")) == []
