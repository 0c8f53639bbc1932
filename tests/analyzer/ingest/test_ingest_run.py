"""Opening a run: manifests, the cache beside it, and what to type when there is nothing."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.ingest import IngestError, open_run
from agentscope_analyzer.ingest.cache import CACHE_FOLDER
from agentscope_analyzer.ingest.reader import Reader
from agentscope_analyzer.ingest.sources import Source


def traces(*numbers: int) -> str:
    spans = [
        {
            "traceId": f"{1:032x}",
            "spanId": f"{number:016x}",
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": [{"key": "http.status_code", "value": {"intValue": "200"}}],
        }
        for number in numbers
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) + "\n"


def settled_run(folder: Path) -> Path:
    """A run whose files last changed a minute ago."""
    folder.mkdir(exist_ok=True)
    (folder / "traces-a.jsonl").write_text(traces(1, 2) + "not json\n")
    (folder / "load-a.jsonl").write_text('{"t_start": 1, "duration_s": 2}\n')
    age(folder)
    return folder


def age(folder: Path) -> None:
    long_ago = time.time() - 60
    for file in folder.glob("*.jsonl"):
        os.utime(file, (long_ago, long_ago))


def state(folder: Path) -> tuple[Any, ...]:
    with open_run(folder) as run:
        spans = run.engine.query("SELECT * FROM spans ORDER BY span_id")
        load = run.engine.query("SELECT * FROM load")
        return {source.how.value for source in run.sources}, spans, load, run.read, run.rejected


def test_the_second_open_reads_the_cache_and_finds_the_same(tmp_path: Path) -> None:
    """Rows and counts are those of the files; the cache is the owner's alone."""
    run = settled_run(tmp_path / "run")
    first, second = state(run), state(run)
    assert (first[0], second[0]) == ({"careful", "fast"}, {"cache"})
    assert first[1:] == second[1:]
    assert first[4] == {"not_json": 1}
    for path in (run / CACHE_FOLDER).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_changed_run_is_read_anew(tmp_path: Path) -> None:
    """A file that grew, changed or came to it: never a stale row; a cache not in use goes."""
    run = settled_run(tmp_path / "run")
    state(run)
    (entry,) = (run / CACHE_FOLDER).iterdir()
    os.utime(entry, (0, 0))
    (run / "traces-b.jsonl").write_text(traces(3))
    age(run)
    assert len(state(run)[1]) == 3
    assert len(list((run / CACHE_FOLDER).iterdir())) == 1


def test_files_still_changing_are_not_cached(tmp_path: Path) -> None:
    """A file that was written a moment ago may grow within the same tick of its clock."""
    run = settled_run(tmp_path / "run")
    os.utime(run / "load-a.jsonl")
    state(run)
    assert not (run / CACHE_FOLDER).exists()


@pytest.mark.parametrize("name", ["spans-000.parquet", "load.parquet", "index.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, name: str, damage: str) -> None:
    """Whatever is wrong with it, the rows are those of the files."""
    run = settled_run(tmp_path / "run")
    before = state(run)
    (file,) = (run / CACHE_FOLDER).glob(f"*/{name}")
    data = file.read_bytes()
    middle = len(data) // 2
    changed = {
        "flip": data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "cut": data[:middle],
        "empty": b"",
        "other": b"{}",
    }
    file.write_bytes(changed[damage])
    assert state(run) == before
    assert state(run)[0] == {"cache"}


def test_a_run_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    """Where no folder can be made, there is no cache and no complaint."""
    run = settled_run(tmp_path / "run")
    (run / CACHE_FOLDER).write_text("a file stands in its place")
    assert len(state(run)[1]) == 2
    with open_run(run, cache=False) as opened:
        assert opened.rejected == {"not_json": 1}


def process(instance: str, ended_ns: int | None, dropped: dict[str, int]) -> str:
    ledger = {"signal": "spans", "sink": "run_directory", "created": 2, "delivered": 1}
    return json.dumps(
        {
            "schema": "agentscope.run/1",
            "instance": instance,
            "service": "agent",
            "started_ns": 100,
            "ended_ns": ended_ns,
            "ledger": [{**ledger, "dropped": dropped, "pending": 0}],
            "open_turns": 1,
            "internal_errors": {"asgi": 2},
        }
    )


def test_manifests_are_merged(tmp_path: Path) -> None:
    """Counts add up, and the run is complete only if nobody says otherwise."""
    load = {"stages": [{"name": "ramp", "start_ns": 1, "end_ns": 2, "users": 3}], "users": 3}
    whole = {"schema": "agentscope.run/1", "run_id": "r1", "started_ns": 90, "ended_ns": 300}
    (tmp_path / "manifest.json").write_text(json.dumps({**whole, "load": load, "note": {"a": 1}}))
    (tmp_path / "manifest-a.json").write_text(process("a", 200, {}))
    (tmp_path / "manifest-b.json").write_text(process("b", None, {"queue_full": 1}))
    (tmp_path / "manifest-c.json").write_text('{"schema": "another"}')
    (tmp_path / "traces-a.jsonl").write_text(traces(1))
    with open_run(tmp_path) as run:
        assert run.manifest == {
            "run_id": "r1",
            "service": "agent",
            "started_ns": 90,
            "ended_ns": None,
            "complete": False,
            "reasons": [
                "process b was cut off or is still running",
                "1 spans dropped on the way to run_directory: queue_full",
                "2 spans were written, 1 are in the files",
            ],
            "instances": ["a", "b"],
            "load": load,
            "note": {"a": 1},
            "ledger": [
                {
                    "signal": "spans",
                    "sink": "run_directory",
                    "created": 4,
                    "delivered": 2,
                    "dropped": {"queue_full": 1},
                    "pending": 0,
                }
            ],
            "open_turns": 2,
            "internal_errors": {"asgi": 4},
        }
        assert (len(run.manifests), run.rejected) == (3, {"bad_manifest": 1})


def test_a_run_whose_processes_all_ended_is_complete(tmp_path: Path) -> None:
    """The manifests say so; without any, nothing does."""
    (tmp_path / "traces-a.jsonl").write_text(traces(1))
    with open_run(tmp_path) as run:
        assert run.manifest["complete"] is False
    (tmp_path / "manifest-a.json").write_text(process("a", 200, {}))
    with open_run(tmp_path) as run:
        assert (run.manifest["complete"], run.manifest["ended_ns"]) == (True, 200)


def test_a_process_that_writes_on_while_it_is_read_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says after its spans were read counts spans that nobody looked for."""
    file, manifest = tmp_path / "traces-a.jsonl", tmp_path / "manifest-a.json"
    file.write_text(traces(1))
    manifest.write_text(process("a", None, {}))
    read = Reader.read

    def read_while_it_writes(reader: Reader, sources: list[Source]) -> None:
        read(reader, sources)
        file.write_text(traces(1, 2, 3))
        manifest.write_text(process("a", 200, {}).replace('"delivered": 1', '"delivered": 3'))

    monkeypatch.setattr(Reader, "read", read_while_it_writes)
    with open_run(tmp_path) as run:
        assert run.manifest["reasons"] == ["process a was cut off or is still running"]
        assert run.read["files"] == 2
    monkeypatch.undo()
    with open_run(tmp_path) as run:
        assert run.manifest["complete"] is True


def test_a_glob_and_a_single_file(tmp_path: Path) -> None:
    """Any path that names telemetry will do; nothing is written beside single files."""
    (tmp_path / "one.json").write_text(traces(1))
    (tmp_path / "two.json").write_text(traces(2))
    age(tmp_path)
    for path, count in ((tmp_path / "*.json", 2), (tmp_path / "two.json", 1)):
        with open_run(str(path)) as run:
            assert run.engine.rows("SELECT count(*) FROM spans") == [(count,)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_nothing_to_read_says_what_to_type(tmp_path: Path) -> None:
    """Each mistake has its own line."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs").mkdir()
    settled_run(tmp_path / "runs" / "today")
    (tmp_path / "notes.txt").write_text("hello\n")
    for path, said in (
        (tmp_path / "absent", "does not exist; name a run directory"),
        (tmp_path / "empty", "record a run: agentscope demo"),
        (tmp_path / "notes.txt", "holds no OTLP-JSON lines"),
        (tmp_path / "runs", f"name one, such as {tmp_path / 'runs' / 'today'}"),
    ):
        with pytest.raises(IngestError) as caught:
            open_run(path)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_empty_run_is_a_run(tmp_path: Path) -> None:
    """A process that recorded nothing leaves an empty file: no rows, no error."""
    (tmp_path / "traces-a.jsonl").touch()
    assert state(tmp_path)[1:] == ([], [], {"files": 1}, {})
