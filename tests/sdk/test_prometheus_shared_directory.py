"""The directory that workers share: full, unwritable, swept, folded twice, flooded by all of them."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from agentscope import conventions as c
from agentscope.export.prometheus import (
    NothingToTell,
    burial,
    merging,
    owners,
    render,
    values_file,
    workers,
)
from agentscope.export.prometheus.pace import Pace
from agentscope.export.prometheus.shared_series import SharedSeries
from agentscope.export.prometheus.values_file import ValuesFile
from agentscope.recording import guard
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.settings import METRICS_DIRECTORY
from agentscope.testing import Recorded


@pytest.fixture
def own(recorded: Recorded) -> Recorder:
    import agentscope

    for _ in range(5):
        with agentscope.turn("t", session="s"):
            recorded.clock.advance(1)
    return recorded.recorder


def scraped(recorder: Recorder) -> dict[str, float]:
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(recorder)[0].decode())
        for sample in family.samples
    }


def turns(found: dict[str, float]) -> float:
    return found["agent_turn_latency_seconds_count[]"]


def series(path: Path) -> dict[str, float]:
    return dict(values_file.read(path)[0])


# --- files ----------------------------------------------------------------------------------

KEYS = st.dictionaries(st.text(max_size=30), st.floats(allow_nan=False), max_size=20)


@given(states=st.lists(KEYS, min_size=1, max_size=4))
def test_a_file_says_what_was_written_last(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, float]]
) -> None:
    """To our reader as to prometheus_client's, whatever came and went before."""
    path = tmp_path_factory.mktemp("files") / "counter_1.db"
    file = ValuesFile(path)
    for values in states:
        file.write(values, Pace())
        assert series(path) == values
        theirs = MmapedDict.read_all_values_from_file(str(path))
        assert {key: value for key, value, _, _ in theirs} == values
    file.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_file_of_prometheus_clients_is_read(tmp_path: Path) -> None:
    """It is longer than what is used of it, and has no note."""
    path = tmp_path / "counter_1.db"
    theirs = MmapedDict(str(path))
    theirs.write_value("key", 3.0, 0.0)
    theirs.close()
    values, note = values_file.read(path)
    assert (dict(values), values_file.noted(note)) == ({"key": 3.0}, [])


def test_half_of_a_write_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A histogram's count would be without its sum: the reader waits for the writer to end."""
    path = tmp_path / "histogram_1.db"
    file = ValuesFile(path)
    file.write({"sum": 1.0, "count": 1.0}, Pace())
    whole = path.read_bytes()
    begun = whole[:4] + b"\x01\0\0\0" + whole[8:].replace(struct.pack("d", 1.0), bytes(8), 1)
    path.write_bytes(begun)
    waits: list[float] = []

    def ending(seconds: float) -> None:
        waits.append(seconds)
        path.write_bytes(whole)

    monkeypatch.setattr(time, "sleep", ending)
    assert series(path) == {"sum": 1.0, "count": 1.0}
    assert len(waits) == 1
    file.close()


def test_where_there_is_no_room_for_more_the_rest_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what found none is there as soon as there is."""
    path = tmp_path / "counter_1.db"
    file = ValuesFile(path)
    file.write({"a": 1.0}, Pace())
    size = path.stat().st_size
    write = os.pwrite

    def full(descriptor: int, data: bytes, at: int) -> int:
        if at + len(data) > size:
            raise OSError(28, "No space left on device")
        return write(descriptor, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            file.write({"a": 2.0, "b": 2.0}, Pace())
        assert series(path) == {"a": 2.0}
    file.write({"a": 3.0, "b": 3.0}, Pace())
    assert series(path) == {"a": 3.0, "b": 3.0}
    file.close()


SERVICE = """
import sys
import agentscope
from agentscope import lifecycle
from agentscope.export.prometheus import NothingToTell, render
agentscope.configure(service_name="svc", otlp=False)
for number in range(50):
    with agentscope.turn(f"turn-{number}", session="s"):
        pass
try:
    text = render(lifecycle.recorder)[0].decode()
    print(sum(1 for line in text.splitlines() if line.startswith("agentscope_turn_duration_seconds_count")))
except NothingToTell as reason:
    print(reason)
"""


@pytest.mark.parametrize("free_kb", [0, 16, 1000])
def test_a_full_disk_kills_nobody(tmp_path: Path, free_kb: int) -> None:
    """With a memory map it did: the page without room is a bus error."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={free_kb + 4}k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounting, check=False).returncode:
        pytest.skip("only root may make a file system that is full")
    try:
        (disk / "filled").write_bytes(bytes(4096))
        ran = subprocess.run(
            [sys.executable, "-c", SERVICE],
            env={**os.environ, METRICS_DIRECTORY: str(disk)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.strip()
    assert told == "50" if free_kb == 1000 else told.endswith("No space left on device")


def test_where_nothing_can_be_shared_nothing_is_told(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of whichever worker happens to answer would jump back and forth."""
    monkeypatch.setenv(METRICS_DIRECTORY, "/dev/null/metrics")
    with pytest.raises(NothingToTell, match=f"{METRICS_DIRECTORY}=/dev/null/metrics: Not a dir"):
        render(own)
    assert guard.internal_errors() == {"metrics of workers": 1}
    guard.forget_internal_errors()


def test_what_was_shared_once_is_told_when_the_disk_is_full(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all workers, as they stood."""
    assert turns(scraped(own)) == 5

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ValuesFile, "write", full)
    monkeypatch.setattr(burial, "bury", full)
    assert turns(scraped(own)) == 5
    assert guard.internal_errors() == {"metrics of workers": 1, "files of ended workers": 1}
    guard.forget_internal_errors()


# --- ended workers --------------------------------------------------------------------------

KEY = mmap_key("agentscope_errors", "agentscope_errors_total", ["error_type"], ["E"], "help")
ERRORS = "agentscope_errors_total[('error_type', 'E')]"


def ended(shared: Path, value: float, number: int = 1, kind: str = "counter") -> Path:
    """A file that a worker has left."""
    path = shared / f"{kind}_999999-1000-{owners.pid_namespace()}-{number}.db"
    values_file.replace(path, {KEY: value}, [], Pace())
    return path


def test_a_worker_that_is_killed_while_it_folds_files_counts_nothing_twice(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is there and the file is still: whoever comes next knows."""
    ended(shared, 3.0)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            burial.bury(shared, Pace())
    assert len(list(shared.glob("counter_*.db"))) == 2
    assert scraped(own)[ERRORS] == 3
    assert scraped(own)[ERRORS] == 3
    ended(shared, 4.0, number=2)
    assert scraped(own)[ERRORS] == 7


def test_a_file_that_is_folded_while_another_reads_counts_once(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading it and reading the archive, or between finding it and reading it."""
    ended(shared, 3.0)
    read, read_archive = merging.read, merging.read_archive
    for moment in ("read", "read_archive"):

        def reading(path: Path, pace: Pace, moment: str = moment) -> object:
            monkeypatch.undo()
            burial.bury(shared, pace)
            return read(path, pace) if moment == "read" else read_archive(path, pace)

        monkeypatch.setattr(merging, moment, reading)
        families = {family.name: family for family in merging.merged(shared, Pace())}
        (sample,) = families["agentscope_errors"].samples
        assert sample.value == 3
        for path in shared.iterdir():
            path.unlink()
        ended(shared, 3.0)


def test_a_worker_that_hangs_keeps_no_scrape(shared: Path, own: Recorder) -> None:
    """It may hold the lock of those who tidy up, or a child of its fork may: they then do not."""
    left = ended(shared, 3.0)
    gauge = ended(shared, 9.0, kind="gauge_livesum")
    with (shared / burial.LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert scraped(own)[ERRORS] == 3
        assert left.exists()
        assert gauge.exists()
    assert scraped(own)[ERRORS] == 3
    assert not left.exists()


def test_many_ended_workers_are_folded_at_once(shared: Path, own: Recorder) -> None:
    """A thousand of them: a scrape in bounded time, and one file left."""
    for number in range(1000):
        ended(shared, 1.0, number)
    began_s = time.process_time()
    assert scraped(own)[ERRORS] == 1000
    assert time.process_time() - began_s < 5
    left = [path.name for path in shared.glob("counter_*.db")]
    assert len(left) == 2
    assert "counter_agentscope-ended.db" in left


def test_gauges_of_a_container_that_was_started_again_go(shared: Path, own: Recorder) -> None:
    """Its processes cannot be seen from here, but they write each second: silence tells."""
    theirs = shared / "gauge_livesum_1-1000-1-7.db"
    counted = shared / "counter_1-1000-1-7.db"
    name = "agentscope_sessions_active"
    values_file.replace(theirs, {mmap_key(name, name, [], [], ""): 9.0}, [], Pace())
    values_file.replace(counted, {KEY: 3.0}, [], Pace())
    assert scraped(own)[f"{name}[]"] == 9
    minutes_ago_s = time.time() - 2 * owners.SILENCE_S
    for path in (theirs, counted):
        os.utime(path, (minutes_ago_s, minutes_ago_s))
    found = scraped(own)
    assert f"{name}[]" not in found or found[f"{name}[]"] == 0
    assert not theirs.exists()
    assert found[ERRORS] == 3
    assert counted.exists()  # it may only have been stopped
    hours_ago_s = time.time() - 2 * owners.LONG_SILENCE_S
    os.utime(counted, (hours_ago_s, hours_ago_s))
    assert scraped(own)[ERRORS] == 3
    assert not counted.exists()


# --- one process, several threads, children ---------------------------------------------------


def test_two_threads_that_publish_first_are_one_worker(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder's own and a scrape's: two sets of files would count everything twice."""
    assert own.catch_up(5)
    begun = threading.Barrier(2, timeout=0.2)
    make = workers.Publisher

    def slowly(*arguments: Any) -> workers.Publisher:
        with suppress(threading.BrokenBarrierError):
            begun.wait()
        return make(*arguments)

    monkeypatch.setattr(workers, "Publisher", slowly)
    threads = [threading.Thread(target=workers.publish, args=(own, shared)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns(scraped(own)) == 5


def test_a_child_that_is_forked_while_its_parent_publishes_publishes(
    shared: Path, own: Recorder
) -> None:
    """The lock is held by a thread that is not there."""
    scraped(own)
    with workers._publishing:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                workers.publish(own, shared)
                code = 0
            finally:
                os._exit(code)
        deadline_s = time.monotonic() + 10
        while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline_s:
                os.kill(pid, 9)
            time.sleep(0.01)
    assert os.waitstatus_to_exitcode(found[1]) == 0
    assert turns(scraped(own)) == 10  # the child's copy of the five has ended with it


# --- one bound for all ------------------------------------------------------------------------


def flooded(worker: int, series: int = 400) -> Instruments:
    """What a worker has counted whose clients invent tools, each its own."""
    instruments = Instruments()
    instruments.know("real")
    for number in range(series):
        instruments.add(c.TOOL_CALLS, (f"invented-{worker}-{number}", "ok"), 1.0)
    instruments.add(c.TOOL_CALLS, ("real", "ok"), 1.0)
    return instruments


def test_generations_of_workers_show_no_more_series_than_one(shared: Path) -> None:
    """Each meets another flood; all that was counted is told, and the real one has its series."""
    shown: set[tuple[str, ...]] = set()
    total = 0.0
    for worker in range(20):
        instruments = flooded(worker)
        told = dict(SharedSeries(shared).told(instruments.snapshot(), instruments))
        shown |= {point.labels for point in told[c.TOOL_CALLS]}
        total += sum(point.value for point in told[c.TOOL_CALLS])
        if not worker:
            alone = len(told[c.TOOL_CALLS])
    assert total == 20 * 401
    assert len(shown) <= alone + 1
    assert ("real", "ok") in shown


def test_a_series_stays_what_it_was(shared: Path) -> None:
    """Shown or other, whatever room others take since, or give back as the directory is swept."""
    instruments, other = Instruments(), flooded(1)
    one = SharedSeries(shared)

    def told(*counted: str) -> dict[str, float]:
        for tool in counted:
            instruments.add(c.TOOL_CALLS, (tool, "ok"), 1.0)
        points = dict(one.told(instruments.snapshot(), instruments))[c.TOOL_CALLS]
        return {point.labels[0]: point.value for point in points}

    assert told("first") == {"first": 1}
    SharedSeries(shared).told(other.snapshot(), other)
    assert told("first", "late") == {"first": 2, "other": 1}
    for path in shared.iterdir():
        path.unlink()
    assert told("first", "late", "latest") == {"first": 3, "other": 2, "latest": 1}
    for path in shared.iterdir():
        path.unlink()
    SharedSeries(shared).told(other.snapshot(), other)
    assert told("first", "late", "latest") == {"first": 4, "other": 3, "latest": 2}
    one.close()


def test_a_list_that_cannot_be_written_leaves_out_what_is_new(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has it as soon as it can: what has no place is not told under another name meanwhile."""
    instruments = Instruments()
    one = SharedSeries(shared)
    instruments.add(c.TOOL_CALLS, ("old", "ok"), 1.0)
    one.told(instruments.snapshot(), instruments)
    instruments.add(c.TOOL_CALLS, ("new", "ok"), 1.0)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        for _ in range(3):
            (point,) = dict(one.told(instruments.snapshot(), instruments))[c.TOOL_CALLS]
            assert point.labels == ("old", "ok")
            assert one.failure is not None
    told = dict(one.told(instruments.snapshot(), instruments))[c.TOOL_CALLS]
    assert {point.labels for point in told} == {("old", "ok"), ("new", "ok")}
    assert one.failure is None
    one.close()


def test_a_list_of_another_release_is_read_as_far_as_it_is_known(shared: Path) -> None:
    """Metrics that are gone, lines that are none."""
    listed = [
        json.dumps(["agentscope.gone", "x"]),
        "{",
        "7",
        '["agentscope.tool.calls", "t", "ok"]',
    ]
    (shared / ".agentscope-series").write_text("\n".join(listed) + "\n")
    instruments = flooded(1)
    instruments.add(c.TOOL_CALLS, ("t", "ok"), 1.0)
    told = dict(SharedSeries(shared).told(instruments.snapshot(), instruments))[c.TOOL_CALLS]
    assert sum(point.value for point in told) == 402
