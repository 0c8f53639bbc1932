"""The container's limits, from trees as kernels and container runtimes lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.runtime.cgroup import find_groups
from agentscope.runtime.throttling import QuotaMonitor
from agentscope.testing import Recorded

GIB = 1 << 30
NO_LIMIT_V1 = 9223372036854771712


class Machine:
    """A ``/proc`` and a ``/sys/fs/cgroup`` under a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.mounted = folder / "sys/fs/cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.mounted.mkdir(parents=True)

    def process(self, groups: str, *mounts: str) -> None:
        """Say the groups of the process, and what is mounted: ``ROOT POINT TYPE OPTIONS``."""
        (self.proc / "self/cgroup").write_text(groups)
        lines = ["22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
        for mount in mounts:
            root, point, kind, options = mount.split(" ")
            place = str(self.mounted / point).replace(" ", r"\040").rstrip("/")
            lines.append(f"31 22 0:28 {root} {place} rw,nosuid shared:9 - {kind} {kind} {options}")
        (self.proc / "self/mountinfo").write_text("\n".join(lines) + "\n")

    def group(self, path: str, **files: object) -> None:
        """Make a group with files; ``__`` stands for a dot in their names."""
        folder = self.mounted / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(f"{text}\n")

    def limits(self) -> tuple[float | None, int, int | None]:
        """Processors, nanoseconds throttled, bytes of memory."""
        groups = find_groups(self.proc)
        return groups.cpu_limit(), groups.throttled_ns(), groups.memory_limit_bytes()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_version_2_in_a_namespace_of_its_own(machine: Machine) -> None:
    """A container of today: its group is all that it sees."""
    machine.process("0::/\n", "/ . cgroup2 rw,nsdelegate")
    stat = "usage_usec 900\nnr_periods 30\nnr_throttled 4\nthrottled_usec 250000"
    machine.group("", cpu__max="150000 100000", cpu__stat=stat, memory__max=2 * GIB)
    assert machine.limits() == (1.5, 250_000_000, 2 * GIB)


def test_version_2_on_the_host_the_tightest_of_the_chain_counts(machine: Machine) -> None:
    """A pod's limit lies above the container's; what was throttled anywhere adds up."""
    machine.process("0::/kubepods.slice/pod1/app\n", "/ . cgroup2 rw")
    machine.group("kubepods.slice/pod1/app", cpu__max="max 100000", memory__max="max")
    machine.group("kubepods.slice/pod1/app", cpu__stat="throttled_usec 7")
    machine.group("kubepods.slice/pod1", cpu__max="50000 100000", cpu__stat="throttled_usec 5")
    machine.group("kubepods.slice/pod1", memory__max=GIB)
    machine.group("kubepods.slice", cpu__max="400000 100000", memory__max=8 * GIB)
    assert machine.limits() == (0.5, 12_000, GIB)


def test_version_1_with_joined_controllers(machine: Machine) -> None:
    """Quota in microseconds, throttled time in nanoseconds, the container's own group mounted."""
    machine.process(
        "5:memory:/docker/4f2a\n4:cpu,cpuacct:/docker/4f2a\n1:name=systemd:/docker/4f2a\n",
        "/docker/4f2a cpu,cpuacct cgroup rw,cpu,cpuacct",
        "/docker/4f2a memory cgroup rw,memory",
    )
    machine.group("cpu,cpuacct", cpu__cfs_quota_us=25000, cpu__cfs_period_us=50000)
    machine.group("cpu,cpuacct", cpu__stat="nr_periods 9\nnr_throttled 3\nthrottled_time 31000000")
    machine.group("memory", memory__limit_in_bytes=512 << 20)
    assert machine.limits() == (0.5, 31_000_000, 512 << 20)


def test_version_1_without_limits(machine: Machine) -> None:
    """-1, and the largest multiple of a page, mean that there is none."""
    machine.process("4:cpu:/\n3:memory:/\n", "/ cpu cgroup rw,cpu", "/ memory cgroup rw,memory")
    machine.group("cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    machine.group("cpu", cpu__stat="nr_periods 0\nnr_throttled 0\nthrottled_time 0")
    machine.group("memory", memory__limit_in_bytes=NO_LIMIT_V1)
    assert machine.limits() == (None, 0, None)


def test_hybrid_the_controllers_of_version_1_count(machine: Machine) -> None:
    """Version 2 is there for systemd's sake only, and has no controllers."""
    machine.process(
        "7:cpu,cpuacct:/user\n0::/user/session\n",
        "/ unified cgroup2 rw",
        "/ cpu,cpuacct cgroup rw,cpu,cpuacct",
    )
    machine.group("unified/user/session")
    machine.group("cpu,cpuacct/user", cpu__cfs_quota_us=300000, cpu__cfs_period_us=100000)
    assert machine.limits() == (3.0, 0, None)


def test_hybrid_memory_of_version_2(machine: Machine) -> None:
    """Each controller is asked where it is: cpu in one version, memory in the other."""
    machine.process("7:cpu:/job\n0::/job\n", "/ cpu cgroup rw,cpu", "/ unified cgroup2 rw")
    machine.group("cpu/job", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    machine.group("unified/job", memory__max=GIB)
    assert machine.limits() == (1.0, 0, GIB)


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/docker/4f2a", "/"),  # the host's names, with the container's group mounted
        ("/../../other", "/"),  # a namespace that was entered from elsewhere
        ("/docker/4f2a", "/docker/9999"),
        ("/", "/docker/4f2a"),
    ],
)
def test_a_group_that_cannot_be_read_is_the_mount_points(
    path: str, root: str, machine: Machine
) -> None:
    """What is mounted is what the container may know of itself."""
    machine.process(f"0::{path}\n", f"{root} . cgroup2 rw")
    machine.group("", cpu__max="200000 100000", memory__max=GIB)
    assert machine.limits() == (2.0, 0, GIB)


def test_folders_with_blanks(machine: Machine, tmp_path: Path) -> None:
    """The kernel writes them in octal."""
    blank = Machine(tmp_path / "a b")
    blank.process("0::/my group\n", "/ . cgroup2 rw")
    blank.group("my group", cpu__max="10000 100000")
    assert blank.limits() == (0.1, 0, None)


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [("", ""), ("0::/\n", ""), ("", "\n\n - cgroup2\n"), ("nonsense\n4:cpu\n", "x y - z\n")],
)
def test_where_the_kernel_tells_nothing_there_is_nothing(
    groups: str, mounts: str, machine: Machine
) -> None:
    """Other systems, broken files: no groups, no limits, no error."""
    (machine.proc / "self/cgroup").write_text(groups)
    (machine.proc / "self/mountinfo").write_text(mounts)
    assert machine.limits() == (None, 0, None)
    (machine.proc / "self/mountinfo").unlink()
    assert machine.limits() == (None, 0, None)


@pytest.mark.parametrize("quota", ["", "max", "100000", "100000 0", "nonsense 100000", "9 -1"])
def test_a_quota_that_makes_no_sense_is_none(quota: str, machine: Machine) -> None:
    """Nothing is invented from a file that says something else."""
    machine.process("0::/\n", "/ . cgroup2 rw")
    machine.group("", cpu__max=quota, cpu__stat="throttled_usec many", memory__max="")
    assert machine.limits() == (None, 0, None)


def test_the_gauges_follow_the_files(machine: Machine, recorded: Recorded) -> None:
    """Throttled time counts from our start; a limit that is lifted leaves no series."""
    machine.process("0::/\n", "/ . cgroup2 rw")
    machine.group("", cpu__max="max 100000", cpu__stat="throttled_usec 5000000", memory__max=GIB)
    monitor = QuotaMonitor(recorded.recorder, lambda: find_groups(machine.proc))
    instruments = recorded.recorder.instruments
    monitor.sample(instruments)

    def gauges() -> list[float | None]:
        metrics = (c.CGROUP_CPU_LIMIT, c.CGROUP_THROTTLED_TIME, c.CGROUP_MEMORY_LIMIT)
        return [recorded.value(metric) for metric in metrics]

    assert gauges() == [None, 0, GIB]
    machine.group("", cpu__stat="throttled_usec 5250000", memory__max="max")
    for _ in range(10):
        monitor.sample(instruments)
    assert gauges() == [None, 0.25, None]


def test_without_groups_there_are_no_series(machine: Machine) -> None:
    """ "Never throttled" is said only where the kernel could have told."""
    instruments = Instruments()
    with_nothing = find_groups(machine.proc)
    from agentscope.testing import recording

    with recording() as recorded:
        QuotaMonitor(recorded.recorder, lambda: with_nothing).sample(instruments)
    assert instruments.snapshot() == []
