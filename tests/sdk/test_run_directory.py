"""The run directory: whole lines, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentscope
from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.export.run_directory import RunDirectory
from agentscope.recording.recorder import Recorder
from agentscope.testing import ManualClock


@pytest.fixture(autouse=True)
def stop_recording() -> Iterator[None]:
    lifecycle.sessions.clear()
    yield
    agentscope.shutdown()


def spans_in(run: Path) -> list[dict[str, Any]]:
    """Every span of a turn in a run directory's files; any torn line fails the test.

    A collector pause may come at any moment, so the runtime's own events are left out.
    """
    return [
        span
        for file in sorted(run.glob("traces-*.jsonl"))
        for line in file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
        if not any(entry["key"] == c.RUNTIME_EVENT for entry in span.get("attributes", ()))
    ]


def manifest_of(run: Path) -> dict[str, Any]:
    (file,) = run.glob("manifest-*.json")
    manifest: dict[str, Any] = json.loads(file.read_text())
    return manifest


def test_a_run_leaves_traces_metrics_and_a_balanced_manifest(tmp_path: Path) -> None:
    """One process writes three files, private to its user, and says good-bye."""
    agentscope.configure(service_name="svc", run_dir=tmp_path / "run")
    with agentscope.turn("t", session="s1"):
        pass
    assert agentscope.shutdown()
    run = tmp_path / "run"
    kinds = sorted(file.name.split("-")[0] for file in run.iterdir())
    assert kinds == ["manifest", "metrics", "traces"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in run.iterdir()} == {0o600}
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert [span["name"] for span in spans_in(run)] == ["t"]
    manifest = manifest_of(run)
    assert manifest["service"] == "svc"
    assert manifest["pid"] == os.getpid()
    assert manifest["ended_ns"] >= manifest["started_ns"]
    assert manifest["open_turns"] == 0
    spans = manifest["ledger"][0]
    assert spans == {
        "signal": "spans",
        "sink": "run_directory",
        "created": 1,
        "delivered": 1,
        "dropped": {},
        "pending": 0,
    }


def test_gauges_have_a_point_a_second(tmp_path: Path) -> None:
    """Sessions, turns, CPU, memory: read once a second, written as OTLP metrics."""
    agentscope.configure(run_dir=tmp_path)
    with agentscope.turn("t", session="s1"):
        agentscope.flush()
    agentscope.shutdown()
    (file,) = tmp_path.glob("metrics-*.jsonl")
    metrics = {
        metric["name"]: metric
        for line in file.read_text().splitlines()
        for metric in json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    }
    assert metrics["agentscope.sessions.active"]["gauge"]["dataPoints"][0]["asDouble"] == 1
    assert metrics["process.memory.usage"]["gauge"]["dataPoints"][0]["asDouble"] > 1e6
    assert metrics["process.cpu.time"]["sum"]["isMonotonic"] is True
    turn = metrics["agentscope.turn.duration"]["histogram"]["dataPoints"][0]
    assert turn["count"] == "1"
    assert sum(map(int, turn["bucketCounts"])) == 1


@pytest.mark.parametrize("failing", ["open", "write", "short write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
def test_whichever_system_call_fails_the_file_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, code: int
) -> None:
    """Fail the n-th call, for every n until none is hit: no torn line, and an exact account."""
    real_open, real_write = os.open, os.write
    nth, hit = 0, True
    while hit:
        nth += 1
        calls, hit = 0, False

        def fails(nth: int = nth) -> bool:
            nonlocal calls, hit
            calls += 1
            hit = hit or calls == nth
            return calls == nth

        def open_(path: Any, *args: Any, **kwargs: Any) -> int:
            if failing == "open" and str(path).startswith(str(tmp_path)) and fails():
                raise OSError(code, "planted")
            return real_open(path, *args, **kwargs)

        def write(descriptor: int, data: bytes) -> int:
            if failing == "write" and fails():
                raise OSError(code, "planted")
            if failing == "short write" and len(data) > 1 and fails():
                real_write(descriptor, data[: len(data) // 2])
                raise OSError(code, "planted")
            return real_write(descriptor, data)

        monkeypatch.setattr(os, "open", open_)
        monkeypatch.setattr(os, "write", write)
        run = tmp_path / f"run-{nth}"
        clock = ManualClock()
        sink = RunDirectory(run, "1-a", {}, "1")
        recorder = Recorder({}, [sink], clock=clock, threaded=False)
        for number in range(5):
            recorder.end(recorder.start(f"p{number}", 0, {}))  # type: ignore[arg-type]
            clock.advance(2)
            recorder.work()
        recorder.shutdown(5)
        monkeypatch.undo()
        (account, metrics) = recorder.accounts()
        names = [span["name"] for span in spans_in(run)]
        assert account.created == 5
        assert account.balanced
        assert metrics.balanced
        assert len(names) == account.delivered == len(set(names))
        assert account.delivered == 5  # a refusal is tried again, and the disk recovers
    assert nth > 3


def test_a_disk_that_stays_full_loses_only_what_is_counted(tmp_path: Path) -> None:
    """The service goes on; when there is room again, so does the file."""
    sink = RunDirectory(tmp_path / "run", "1-a", {}, "1")
    recorder = Recorder({}, [sink], clock=ManualClock(), threaded=False, max_queue_bytes=1500)
    real_write = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "planted")

    def end_some(count: int) -> None:
        for _ in range(count):
            recorder.end(recorder.start("p", 0, {}))  # type: ignore[arg-type]
        recorder.work()

    end_some(3)
    os.write = full
    try:
        end_some(50)
    finally:
        os.write = real_write
    end_some(3)
    recorder.shutdown(5)
    (account, _) = recorder.accounts()
    assert account.balanced
    assert account.created == 56
    assert account.dropped["queue_full"] > 30
    assert len(spans_in(tmp_path / "run")) == account.delivered


def test_a_directory_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    """The user's own choice raises, and says what to type."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(agentscope.ConfigError, match="choose another with run_dir="):
        agentscope.configure(run_dir=blocked / "run")


def test_the_same_from_the_environment_only_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's mistake does not keep the service from starting, unless strict."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("AGENTSCOPE_RUN_DIR", str(blocked / "run"))
    with pytest.warns(agentscope.AgentscopeWarning, match="going on without it"):
        settings = agentscope.configure()
    assert settings.run_dir is None
    monkeypatch.setenv("AGENTSCOPE_STRICT", "1")
    with pytest.raises(agentscope.ConfigError):
        agentscope.configure()


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """Nobody who can write the directory makes us write elsewhere."""
    target = tmp_path / "target"
    (tmp_path / "traces-1-a.jsonl").symlink_to(target)
    recorder = Recorder(
        {}, [RunDirectory(tmp_path, "1-a", {}, "1")], clock=ManualClock(), threaded=False
    )
    recorder.end(recorder.start("p", 0, {}))  # type: ignore[arg-type]
    recorder.shutdown(5)
    assert not target.exists()
    (account, _) = recorder.accounts()
    assert account.dropped == {"eexist": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """New file, new instance, its own spans only; the parent's are not written twice."""
    agentscope.configure(run_dir=tmp_path)
    with agentscope.turn("parent before"):
        pass
    open_in_parent = agentscope.turn("open at the fork").__enter__()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with agentscope.turn("child"):
                pass
            open_in_parent.__exit__(None, None, None)
            code = 0 if agentscope.shutdown(5) else 2
        finally:
            os._exit(code)
    open_in_parent.__exit__(None, None, None)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert agentscope.shutdown(5)
    names = sorted(span["name"] for span in spans_in(tmp_path))
    assert names == ["child", "open at the fork", "parent before"]
    by_pid = {json.loads(f.read_text())["pid"] for f in tmp_path.glob("manifest-*.json")}
    assert by_pid == {os.getpid(), pid}
    assert lifecycle.recorder is None


def test_a_directory_deleted_in_mid_run_is_made_anew(tmp_path: Path) -> None:
    """Somebody clears the runs between two loads: what comes after that is on disk again."""
    run = tmp_path / "run"
    clock = ManualClock()
    recorder = Recorder({}, [RunDirectory(run, "1-a", {}, "1")], clock=clock, threaded=False)
    for number in range(4):
        if number == 2:
            shutil.rmtree(run)
        recorder.end(recorder.start(f"p{number}", 0, {}))  # type: ignore[arg-type]
        clock.advance(2)
        recorder.work()
    recorder.shutdown(5)
    assert [span["name"] for span in spans_in(run)] == ["p2", "p3"]
    assert len(list(run.glob("metrics-*.jsonl"))) == 1


def test_a_counter_that_moved_while_the_disk_was_full_is_right_afterwards(tmp_path: Path) -> None:
    """Metrics that are refused are not kept: the next points must say the same and more."""
    clock = ManualClock()
    recorder = Recorder({}, [RunDirectory(tmp_path, "1-a", {}, "1")], clock=clock, threaded=False)
    real_write = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "planted")

    def tool_calls(times: int) -> None:
        for _ in range(times):
            recorder.add(c.TOOL_CALLS, ("lookup", "ok"), 1)
        clock.advance(2)
        recorder.work()

    tool_calls(3)
    os.write = full
    try:
        tool_calls(4)
    finally:
        os.write = real_write
    tool_calls(0)
    recorder.shutdown(5)
    (file,) = tmp_path.glob("metrics-*.jsonl")
    told = [
        metric["sum"]["dataPoints"][0]["asDouble"]
        for line in file.read_text().splitlines()
        for metric in json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
        if metric["name"] == "agentscope.tool.calls"
    ]
    assert told == [3, 7]


def test_a_probe_that_a_killed_process_left_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers every process has the same pid."""
    monkeypatch.setattr(Path, "unlink", lambda path: None)
    for _ in range(2):
        assert agentscope.configure(run_dir=tmp_path).run_dir == tmp_path
