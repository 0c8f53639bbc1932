"""Large runs: attribution by several processes, and its tables kept for the next analysis."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentscope_analyzer.attribution import attribute, kept, workers
from agentscope_analyzer.attribution.workers import AttributionError
from agentscope_analyzer.commands import main
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest import open_run, span_files
from agentscope_analyzer.ingest.cache import CACHE_FOLDER

MS = 1_000_000
TABLES = ("turns", "sections", "bounds")


def span(trace: int, number: int, parent: int | None, start: int, end: int, **attrs: Any) -> Any:
    above = {} if parent is None else {"parentSpanId": f"{parent + 1:016x}"}
    return {
        "traceId": f"{trace + 1:032x}",
        "spanId": f"{number + 1:016x}",
        **above,
        "name": "turn" if parent is None else "step",
        "kind": 2 if parent is None else 3,
        "startTimeUnixNano": str(10**18 + start * MS),
        "endTimeUnixNano": str(10**18 + end * MS),
        "attributes": [
            {"key": key, "value": {("boolValue" if value is True else "stringValue"): value}}
            for key, value in attrs.items()
        ],
    }


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty turns, plain ones and some with two queries at once, in four files."""
    monkeypatch.setattr(span_files, "_SMALL_RUN_SPANS", -1)
    spans = []
    for trace in range(30):
        spans.append(span(trace, 0, None, 0, 100, **{"agentscope.turn": True}))
        query = {"db.system.name": "postgresql"}
        spans.append(span(trace, 1, 0, 10, 40, **query))
        spans.append(span(trace, 2, 0, 20 if trace % 3 == 0 else 50, 70, **query))
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "traces-a.jsonl", spans)
    return tmp_path / "run"


def write(path: Path, spans: list[Any]) -> None:
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) + "\n")
    os.utime(path, (time.time() - 60,) * 2)


def rows(engine: Engine) -> dict[str, list[Any]]:
    return {name: engine.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in TABLES}


def expected(run: Path) -> tuple[Any, dict[str, list[Any]]]:
    """By the walk alone, in this process, with the rows in memory."""
    with open_run(run, cache=False) as opened, Engine.in_memory(threads=1) as engine:
        engine.load("spans", opened.engine.arrow("SELECT * FROM spans"))
        return attribute(engine, columnar=False), rows(engine)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_so_many_processes_give_the_rows_of_one(run: Path, threads: int) -> None:
    """Who attributes a turn makes no difference to it."""
    with open_run(run, cache=False, threads=threads) as opened:
        summary = attribute(opened.engine)
        assert len(opened.engine.files["sections"]) == 4
        found = rows(opened.engine)
    walked, told = expected(run)
    assert found == told
    assert (summary.turns, summary.spans_used, summary.sweep_group) == (30, 90, walked.sweep_group)
    assert summary.sweep_disagreement == pytest.approx(walked.sweep_disagreement, abs=1e-9)


@pytest.mark.parametrize(
    ("end", "why"),
    [("sys.exit(3)", "exit code 3"), ("os.kill(os.getpid(), 9)", "signal 9"), ("1 / 0", "code 1")],
)
def test_a_worker_that_dies_is_told_in_one_line(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    end: str,
    why: str,
) -> None:
    """Not half of the rows, not an endless wait: an error that says what to type."""
    monkeypatch.setattr(workers, "_COMMAND", ("-c", f"import os, sys; {end}"))
    with (
        open_run(run, cache=False, threads=2) as opened,
        pytest.raises(AttributionError, match=f"a worker process of the analysis died .*{why}"),
    ):
        attribute(opened.engine)
    monkeypatch.setattr("agentscope_analyzer.engine.duckdb_engine.usable_cores", lambda: 2)
    capfd.readouterr()
    assert main(["analyze", str(run)]) == 2
    assert "agentscope analyze: error: a worker process" in capfd.readouterr().err.splitlines()[-1]


def test_a_worker_takes_no_module_from_the_folder_it_is_started_in(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that somebody sent may lie there, and more than a run."""
    (tmp_path / "duckdb.py").write_text("raise SystemExit(4)")
    monkeypatch.chdir(tmp_path)
    with open_run(run, cache=False, threads=2) as opened:
        assert attribute(opened.engine).turns == 30


def test_without_a_python_to_start_this_process_does_it_all(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An embedded interpreter has no command of its own."""
    monkeypatch.setattr(sys, "executable", "")
    with open_run(run, cache=False, threads=2) as opened:
        assert attribute(opened.engine).turns == 30


def attributed(run: Path) -> tuple[Any, dict[str, list[Any]]]:
    with open_run(run, threads=1) as opened:
        return attribute(opened.engine), rows(opened.engine)


def entries(run: Path) -> list[Path]:
    return sorted(run.glob(f"{CACHE_FOLDER}/*/attribution-*"))


def test_the_second_attribution_is_read_from_its_files(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tables and the same summary, without a look at any span."""
    first = attributed(run)
    assert first[1] == expected(run)[1]
    monkeypatch.setattr("agentscope_analyzer.attribution.stage.plan_for", None)
    assert attributed(run) == first
    for path in run.joinpath(CACHE_FOLDER).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["sections-001.parquet", "turns-000.parquet", "index.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other"])
def test_damaged_tables_are_made_anew(run: Path, name: str, damage: str) -> None:
    """Whatever is wrong with them, the rows are those of the spans; then they are whole again."""
    first = attributed(run)
    (entry,) = entries(run)
    file = entry / name
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        flipped = data[:60] + bytes([data[60] ^ 1]) + data[61:]
        file.write_bytes({"flip": flipped, "cut": data[:-9], "other": b"{}"}[damage])
    assert attributed(run) == first
    assert (entry / name).read_bytes()[:60] == data[:60]


def test_other_code_and_other_spans_have_tables_of_their_own(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made by an older version, or of an older state of the run, is never read."""
    attributed(run)
    (older,) = entries(run)
    monkeypatch.setattr(kept, "_fingerprint", lambda: "another")
    attributed(run)
    (newer,) = entries(run)
    assert newer.name == "attribution-another" != older.name
    write(run / "traces-b.jsonl", [span(99, 0, None, 0, 100, **{"agentscope.turn": True})])
    assert attributed(run)[0].turns == 31


def test_where_nothing_can_be_kept_it_is_made_each_time(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or read-only disk costs time and nothing else."""
    first = attributed(run)

    def full(*_: object) -> None:
        raise OSError

    (entry,) = entries(run)
    (entry / "index.json").unlink()
    monkeypatch.setattr(kept, "seal", full)
    assert attributed(run) == first
    monkeypatch.setattr(kept, "tempfile", SimpleNamespace(mkdtemp=full))
    with open_run(run, threads=1) as opened:
        monkeypatch.undo()
        assert attribute(opened.engine).turns == 30
