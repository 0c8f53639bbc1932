"""Several workers behind one ``/metrics``: files that they share, some of them broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agentscope import conventions as c
from agentscope.export.prometheus import neighbours, owners, render, workers
from agentscope.recording.recorder import Recorder
from agentscope.settings import METRICS_DIRECTORY
from agentscope.testing import Recorded, recording

WORKER = """
import sys, time
import agentscope
agentscope.configure(service_name="svc", otlp=False)
for _ in range(int(sys.argv[1])):
    with agentscope.turn("t", session="s"):
        pass
assert agentscope.flush(5)
from agentscope import conventions, lifecycle
with lifecycle.recorder.instruments.lock:
    lifecycle.recorder.instruments.set(conventions.CGROUP_THROTTLED_TIME, (), 7.0)
for act in lifecycle.recorder.each_second:
    act()
print("ready", flush=True)
time.sleep(60)
"""

SPEAKER = """
import sys
from pathlib import Path
from agentscope.export.prometheus.speaker import Speaker
speaker = Speaker(Path(sys.argv[1]))
for line in sys.stdin:
    print(speaker.part(float(line)), flush=True)
"""


def scraped(recorder: Recorder) -> dict[str, float]:
    text = render(recorder)[0].decode()
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exemplars(recorder: Recorder) -> dict[str, dict[str, str]]:
    text = render(recorder, "application/openmetrics-text; version=1.0.0")[0].decode()
    return {
        sample.name + str(sorted(sample.labels.items())): sample.exemplar.labels
        for family in openmetrics(text)
        for sample in family.samples
        if sample.exemplar is not None
    }


def turns(found: dict[str, float]) -> float:
    return found["agent_turn_latency_seconds_count[]"]


def worker(served: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(served)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def own(recorded: Recorded) -> Recorder:
    import agentscope

    for _ in range(5):
        with agentscope.turn("t", session="s"):
            recorded.clock.advance(1)
    with recorded.recorder.instruments.lock:
        recorded.recorder.instruments.set(c.SESSIONS_ACTIVE, (), 2)
        recorded.recorder.instruments.set(c.LOOP_DELAY_MAX, (), 0.5)
        recorded.recorder.instruments.set(c.CGROUP_THROTTLED_TIME, (), 7.0)
    return recorded.recorder


def test_counts_of_all_workers_gauges_of_the_living(shared: Path, own: Recorder) -> None:
    """What a killed worker had counted stays; its gauges and its files go."""
    first, second = worker(10), worker(20)
    try:
        found = scraped(own)
        assert turns(found) == 35
        assert found["agentscope_sessions_active[]"] == 4
        assert found["agentscope_event_loop_delay_max_seconds[]"] == 0.5
        end(first)
        found = scraped(own)
        assert turns(found) == 35
        assert found["agentscope_sessions_active[]"] == 3
        owners = {path.stem.rpartition("_")[2].partition("-")[0] for path in shared.glob("*.db")}
        assert owners == {str(os.getpid()), str(second.pid), "agentscope"}
        end(second)
        assert turns(scraped(own)) == 35
        assert turns(scraped(own)) == 35
        assert scraped(own)["agentscope_sessions_active[]"] == 2
    finally:
        for process in (first, second):
            if process.poll() is None:
                end(process)


def test_what_the_container_counts_is_told_once(shared: Path, own: Recorder) -> None:
    """All workers read the same throttled seconds: their sum would be as many times too much."""
    other = worker(1)
    try:
        assert scraped(own)["agentscope_cgroup_cpu_throttled_time_seconds_total[]"] == 7
    finally:
        end(other)
    assert scraped(own)["agentscope_cgroup_cpu_throttled_time_seconds_total[]"] == 7


def test_when_the_one_who_tells_it_ends_another_goes_on(tmp_path: Path) -> None:
    """Nothing is told twice, and nothing is missing; not even after the directory was swept."""
    lock = tmp_path / "lock"
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", SPEAKER, str(lock)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    )  # fmt: skip

    def part(speaker: subprocess.Popen[str], total: float) -> float:
        assert speaker.stdin is not None
        assert speaker.stdout is not None
        speaker.stdin.write(f"{total}\n")
        speaker.stdin.flush()
        return float(speaker.stdout.readline())

    try:
        assert [part(first, 10), part(second, 10)] == [10, 0]
        assert [part(first, 12), part(second, 12)] == [12, 0]
        lock.unlink()
        assert [part(first, 13), part(second, 13)] == [13, 0]
        first.kill()
        first.wait()
        assert part(second, 16) == 3
        assert 13 + part(second, 20) == 20
    finally:
        for speaker in (first, second):
            speaker.kill()
            speaker.wait()
            for pipe in (speaker.stdin, speaker.stdout):
                assert pipe is not None
                pipe.close()


def test_exemplars_of_all_workers_the_newest_of_each_bucket(shared: Path, own: Recorder) -> None:
    """Whichever worker is asked; a dead one's stay, as its counts do, and a torn file is passed over.

    Without them an older one would be the newest again, and Prometheus refuse it.
    """
    (shared / "agentscope-exemplars_torn.json").write_text('[["agentscope_turn', encoding="utf-8")
    told = {name: value for name, value in exemplars(own).items() if "turn_duration" in name}
    assert len(told) == 1  # five turns of a second, in one bucket
    other = worker(3)  # turns of no time at all, in another
    try:
        both = {name: value for name, value in exemplars(own).items() if "turn_duration" in name}
        assert len(both) == 2
        assert told.items() <= both.items()
        assert all(len(of["trace_id"]) == 32 for of in both.values())
    finally:
        end(other)
    left = {name: value for name, value in exemplars(own).items() if "turn_duration" in name}
    assert left == both
    names = [path.name for path in shared.glob("agentscope-exemplars*")]
    assert sorted(name.partition("_")[2].partition("-")[0] for name in names) == sorted(
        [str(os.getpid()), "agentscope", "torn.json"]
    )


def test_broken_files_fail_no_scrape(shared: Path, own: Recorder) -> None:
    """Empty, torn, cut off, not JSON, a directory: passed over, counted once each."""
    pid = os.getpid()
    (shared / f"counter_{pid}.db").write_bytes(b"")
    (shared / f"histogram_{pid}.db").write_bytes(b"\xff\xff\xff\x7f" + b"\0" * 40)
    not_json = b"\x40\0\0\0\0\0\0\0\x08\0\0\0not json" + b" " * 40
    (shared / f"gauge_livesum_{pid}.db").write_bytes(not_json)
    (shared / f"gauge_sum_{pid}.db").write_bytes(b"\x07")
    (shared / "counter_of-mine.db").mkdir()
    for _ in range(2):
        found = scraped(own)
        assert turns(found) == 5
    assert found["agentscope_sdk_worker_files_skipped_total[]"] == 5


def test_the_services_own_metrics_are_read_with_ours(shared: Path, own: Recorder) -> None:
    """Files of prometheus_client in the same directory; live gauges of a dead process go."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name, kind, pid in (
        ("orders", "counter", os.getpid()),
        ("orders", "counter", dead.pid),
        ("busy", "gauge_livesum", dead.pid),
        ("kept", "gauge_sum", dead.pid),
    ):
        file = MmapedDict(str(shared / f"{kind}_{pid}.db"))
        sample = f"{name}_total" if kind == "counter" else name
        file.write_value(mmap_key(name, sample, [], [], "help"), 3.0, 0.0)
        file.close()
    found = scraped(own)
    assert (found["orders_total[]"], found["kept[]"]) == (6, 3)
    assert "busy[]" not in found
    assert turns(found) == 5


def test_the_answer_of_workers_is_one_of_a_single_process(
    shared: Path, own: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sample for sample, also in the order that OpenMetrics asks for: series by series."""
    with own.instruments.lock:
        for number in range(3):
            own.instruments.observe(c.GC_PAUSE, (str(number),), 0.02 * number)
            own.instruments.add(c.TOOL_CALLS, (f"tool-{number}", "ok"), 1.5)
            own.instruments.set(c.HTTP_POOL_IN_USE, (f"pool-{number}",), 4.0)
    accept = "application/openmetrics-text; version=1.0.0"
    together = {family.name: family for family in openmetrics(render(own, accept)[0].decode())}
    monkeypatch.delenv(METRICS_DIRECTORY)
    alone = {family.name: family for family in openmetrics(render(own, accept)[0].decode())}

    def samples(family: Family) -> set[str]:
        return {f"{one.name}{sorted(one.labels.items())} {one.value}" for one in family.samples}

    ours = [name for name in alone if name.startswith(("agentscope_", "agent_"))]
    assert len(ours) > 8
    for name in ours:
        assert together[name].type == alone[name].type
        assert together[name].documentation == alone[name].documentation
        assert samples(together[name]) == samples(alone[name])


def test_a_gauge_that_is_gone_is_gone(shared: Path, own: Recorder) -> None:
    """A closed pool leaves no series behind, as in a single process."""
    instruments = own.instruments
    for used in (3.0, None):
        with instruments.lock:
            if used is None:
                instruments.forget(c.HTTP_POOL_IN_USE, ("api.example:443",))
            else:
                instruments.set(c.HTTP_POOL_IN_USE, ("api.example:443",), used)
        name = "agentscope_http_pool_in_use[('pool', 'api.example:443')]"
        assert scraped(own).get(name) == used


def test_a_pid_that_came_again_is_somebody_else(shared: Path, own: Recorder) -> None:
    """The file of a dead worker whose number another process has now: its start tells."""
    namespace = owners.pid_namespace()
    stale = shared / f"gauge_livesum_{os.getppid()}-1000-{namespace}-7.db"
    file = MmapedDict(str(stale))
    file.write_value(
        mmap_key("agentscope_sessions_active", "agentscope_sessions_active", [], [], ""), 9.0, 0.0
    )
    file.close()
    assert scraped(own)["agentscope_sessions_active[]"] == 2
    assert not stale.exists()


def test_a_worker_of_another_container_is_not_buried(shared: Path, own: Recorder) -> None:
    """Its processes cannot be seen from here: it is taken to be alive."""
    theirs = shared / "gauge_livesum_999999-1000-1-7.db"
    file = MmapedDict(str(theirs))
    file.write_value(
        mmap_key("agentscope_sessions_active", "agentscope_sessions_active", [], [], ""), 9.0, 0.0
    )
    file.close()
    assert scraped(own)["agentscope_sessions_active[]"] == 11
    assert theirs.exists()


def test_a_directory_that_is_swept_is_filled_again(shared: Path, own: Recorder) -> None:
    """Start scripts empty it, some of them late."""
    assert turns(scraped(own)) == 5
    for path in shared.iterdir():
        path.unlink()
    assert turns(scraped(own)) == 5


def test_scrapes_of_many_workers_stay_quick(shared: Path) -> None:
    """Folding and merging eight workers' files takes a fraction of a scrape interval."""
    for number in range(8):
        with recording() as recorded:
            for label in range(20):
                with recorded.recorder.instruments.lock:
                    recorded.recorder.instruments.observe(
                        c.TURN_DURATION, (f"/r{label}", "200"), float(number)
                    )
            publisher = workers.Publisher(recorded.recorder, shared)
            publisher.write()
            publisher.close()
    began_s = time.process_time()
    with recording() as recorded:
        assert turns(scraped(recorded.recorder)) == 160
    assert time.process_time() - began_s < 5


@pytest.mark.parametrize(
    ("command", "workers_of_it"),
    [
        ("/usr/bin/uvicorn app:app --workers 4", 4),
        ("/x/uvicorn/__main__.py app:app --workers=2", 2),
        ("gunicorn -w 3 app:app", 3),
        ("gunicorn -w8 app:app", 8),
        ("fastapi run --workers many", 1),
        ("uvicorn app:app --workers", 1),
        ("uvicorn app:app", 5),  # as WEB_CONCURRENCY says
        ("celery -w 4", 1),
        ("", 1),
    ],
)
def test_workers_that_share_nothing_are_told_of(command: str, workers_of_it: int) -> None:
    """From the server's command line; who has one worker hears nothing."""
    asked = neighbours.workers_asked_for(command.split(), {"WEB_CONCURRENCY": "5"})
    assert asked == workers_of_it
