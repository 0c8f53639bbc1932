"""A real CPU quota for a process of the rig, as a container has one: a control group of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agentscope.lab.scenarios.processes import ComponentError

PERIOD_US = 100_000
"""The period that the kernel, Docker and Kubernetes all take where nobody says otherwise."""

_ROOT = Path("/sys/fs/cgroup")
_EMPTY_WITHIN_S = 5.0


@contextlib.contextmanager
def cpu_quota(pid: int, cores: float) -> Iterator[None]:
    """Let process ``pid``, and what it starts from now on, use so many cores.

    The group is removed with the block, when the processes in it have ended. Raises
    ComponentError where this user may not make control groups.
    """
    group = _root() / f"agentscope-lab-{os.getpid()}-{pid}"
    try:
        group.mkdir()
        try:
            _limit(group, cores)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.rmdir()
            raise
    except OSError as error:
        raise ComponentError(
            f"no CPU quota can be set ({error}): run as root, or in a container that may "
            "write to /sys/fs/cgroup"
        ) from error
    try:
        yield
    finally:
        _remove(group)


def _root() -> Path:
    """The root of the hierarchy that has the cpu controller: version 1's own, or version 2's."""
    own = _ROOT / "cpu"
    return own if (own / "cgroup.procs").exists() else _ROOT


def _limit(group: Path, cores: float) -> None:
    quota_us = round(cores * PERIOD_US)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    else:
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                return  # a process in it still runs: it keeps its quota
            time.sleep(0.02)
