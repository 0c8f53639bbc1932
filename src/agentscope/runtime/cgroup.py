"""The container's limits, as the kernel's control groups tell them: processors, memory.

A process is in one group of version 2, or in one a controller of version 1, or in both kinds at a
time (hybrid). ``/proc/self/cgroup`` names its groups, ``/proc/self/mountinfo`` where they can be
read (cgroups(7), proc(5)). Limits hold for a group and all below it, so every group from ours up to
the mount point is asked, and the tightest counts. Inside a container the mount point often is the
container's own group, and what lies above cannot be seen.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc")

UNLIMITED_BYTES = 1 << 60
"""Version 1 says "no limit" by the largest multiple of a page; no machine has this much memory."""


class CpuGroup(NamedTuple):
    """A group that may limit processor time. ``version`` says how its files are spelled."""

    path: Path
    version: int

    def limit(self) -> float | None:
        """Processors' worth of time that the group may use; None without a quota."""
        if self.version == 2:
            quota, _, period = _read(self.path / "cpu.max").partition(" ")
        else:
            quota = _read(self.path / "cpu.cfs_quota_us")
            period = _read(self.path / "cpu.cfs_period_us")
        if not (quota.isdecimal() and period.isdecimal() and int(period)):
            return None  # "max" and "-1" are no numbers
        return int(quota) / int(period)

    def throttled_ns(self) -> int:
        """Nanoseconds for which the group had no quota left, added up over its processors."""
        field, unit_ns = ("throttled_usec", 1000) if self.version == 2 else ("throttled_time", 1)
        for line in _read(self.path / "cpu.stat").splitlines():
            name, _, value = line.partition(" ")
            if name == field and value.isdecimal():
                return int(value) * unit_ns
        return 0


class Groups(NamedTuple):
    """The groups that this process is in, its own first, each with those above it."""

    cpu: tuple[CpuGroup, ...]
    memory: tuple[Path, ...]
    """The files that may limit memory."""

    def cpu_limit(self) -> float | None:
        """Processors that the process may use; None without a quota."""
        limits = [limit for group in self.cpu if (limit := group.limit()) is not None]
        return min(limits, default=None)

    def with_cpu_limit(self) -> Groups:
        """Those that have a quota now: the others are never throttled."""
        return Groups(tuple(one for one in self.cpu if one.limit() is not None), ())

    def throttled_ns(self) -> int:
        """Nanoseconds for which a quota was used up, in all groups together."""
        return sum(group.throttled_ns() for group in self.cpu)

    def memory_limit_bytes(self) -> int | None:
        """Memory that the process may use; None without a limit."""
        texts = [_read(file) for file in self.memory]
        limits = [int(text) for text in texts if text.isdecimal()]
        return min((limit for limit in limits if limit < UNLIMITED_BYTES), default=None)


def find_groups(proc: Path = PROC) -> Groups:
    """The groups of this process; none where the kernel does not tell.

    Version 1 counts for a controller where version 1 has it, as the kernel has it: a controller is
    never in both.
    """
    try:
        own = _own_paths((proc / "self/cgroup").read_text())
        mounts = _mounts((proc / "self/mountinfo").read_text())
    except (OSError, UnicodeDecodeError):
        return Groups((), ())
    cpu = [CpuGroup(path, 1) for path in _chain("cpu", own, mounts)]
    memory = [path / "memory.limit_in_bytes" for path in _chain("memory", own, mounts)]
    unified = _chain("", own, mounts)
    return Groups(
        tuple(cpu or [CpuGroup(path, 2) for path in unified]),
        tuple(memory or [path / "memory.max" for path in unified]),
    )


class _Mount(NamedTuple):
    root: str
    """The group that stands at the mount point."""
    point: str


def _own_paths(text: str) -> dict[str, str]:
    """Controller → our group's path; version 2's group goes by the empty name."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                paths.setdefault(controller, fields[2])
    return paths


def _mounts(text: str) -> dict[str, list[_Mount]]:
    """Controller → where its groups are mounted; version 2's go by the empty name."""
    mounts: dict[str, list[_Mount]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, filesystem = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(filesystem) < 3:
            continue
        mount = _Mount(_unescaped(fields[3]), _unescaped(fields[4]))
        if filesystem[0] == "cgroup2":
            mounts.setdefault("", []).append(mount)
        elif filesystem[0] == "cgroup":
            for option in filesystem[2].split(","):
                mounts.setdefault(option, []).append(mount)
    return mounts


def _chain(controller: str, own: dict[str, str], mounts: dict[str, list[_Mount]]) -> list[Path]:
    """Our group's folder and those above it, up to the mount point."""
    path = own.get(controller)
    for mount in mounts.get(controller, ()) if path is not None else ():
        # Of a group outside of what is mounted here (a container that sees the host's names, a
        # namespace entered from elsewhere) only the mount point can be read.
        below = _below(path or "/", mount.root)
        folder = Path(mount.point)
        chain = [folder.joinpath(*below[:depth]) for depth in range(len(below), -1, -1)]
        if readable := [one for one in chain if one.is_dir()]:
            return readable
    return []


def _below(path: str, root: str) -> tuple[str, ...]:
    pure = PurePosixPath(path)
    if ".." in pure.parts or not pure.is_relative_to(root):
        return ()
    return pure.relative_to(root).parts


def _unescaped(field: str) -> str:
    # proc(5): blanks and backslashes are octal.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _read(file: Path) -> str:
    """The file's text; empty where it is not there or may not be read, as in the topmost group."""
    # Not by Path.read_text: these are read many times a second where a quota is used up.
    with contextlib.suppress(OSError, UnicodeDecodeError):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 4096).decode().strip()
        finally:
            os.close(descriptor)
    return ""
