"""Large runs: spans divided into files of whole traces, with the rows that one file would have."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.ingest import IngestError, Run, open_run, span_files
from agentscope_analyzer.ingest.cache import CACHE_FOLDER
from agentscope_analyzer.ingest.span_files import SpanFiles, StoreError, buckets_for

ID = st.integers(1, 2**64 - 1)


def line(*ids: tuple[int, int], name: str = "n") -> str:
    spans = [
        {
            "traceId": f"{trace:032x}",
            "spanId": f"{span:016x}",
            "name": name,
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
        }
        for trace, span in ids
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) + "\n"


@pytest.fixture(scope="module", autouse=True)
def _divided() -> Any:
    """Runs of any size are large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_files, "_SMALL_RUN_SPANS", -1)
        yield


def ids_by_file(run: Run) -> list[set[tuple[int, int]]]:
    found = []
    for path in run.engine.files["spans"]:
        sql = "SELECT trace_id, span_id FROM read_parquet($path)"
        rows = run.engine.rows(sql, path=str(path))
        found.append({(int(trace, 16), int(span, 16)) for trace, span in rows})
    return found


@given(ids=st.sets(st.tuples(ID, ID), min_size=1), trace=ID)
@settings(max_examples=20, deadline=None)
def test_a_trace_is_in_one_file_and_every_span_in_some(
    ids: set[tuple[int, int]], trace: int
) -> None:
    """Dividing loses nothing, invents nothing and tears no trace apart."""
    ids = {*ids, *((trace, span) for span in range(1, 9))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces-a.jsonl"
        path.write_text("".join(line(one) for one in sorted(ids)))
        with open_run(path) as run:
            divided = ids_by_file(run)
            rows = run.engine.rows("SELECT trace_id, span_id FROM spans")
    assert sorted((int(trace, 16), int(span, 16)) for trace, span in rows) == sorted(ids)
    assert len(divided) == 4
    for i, some in enumerate(divided):
        for others in divided[i + 1 :]:
            assert not {trace for trace, _ in some} & {trace for trace, _ in others}


@pytest.mark.parametrize("shift", [0, 8, 64, 124])
def test_files_are_of_about_one_size_whichever_digits_of_the_ids_vary(
    tmp_path: Path, shift: int
) -> None:
    """Some generators count, and some put the time first."""
    count = min(2000, 2 ** (128 - shift) - 1)
    traces = [(trace + 1 << shift) % 2**128 or 1 for trace in range(count)]
    (tmp_path / "traces-a.jsonl").write_text(line(*((trace, 1) for trace in traces)))
    with open_run(tmp_path, cache=False) as run:
        sizes = [len(some) for some in ids_by_file(run)]
    assert sum(sizes) == count
    assert count < 100 or min(sizes) > count / 6


def test_spans_that_come_again_are_dropped_in_every_file(tmp_path: Path) -> None:
    """The first one counts, whether the others say the same or not."""
    ids = [(trace, 1) for trace in range(1, 41)]
    (tmp_path / "traces-a.jsonl").write_text(line(*ids) + line(*ids[:30]))
    (tmp_path / "traces-b.jsonl").write_text(line(*ids[20:], name="other"))
    with open_run(tmp_path, cache=False) as run:
        assert run.rejected == {"duplicate_span": 30, "conflicting_span": 20}
        assert run.engine.rows("SELECT count(*), min(name), max(name) FROM spans") == [
            (40, "n", "n")
        ]


def test_the_number_of_files_follows_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small runs are one file; each bucket of a large one can be held in memory."""
    monkeypatch.setattr(span_files, "_SMALL_RUN_SPANS", 250_000)
    mb = 1_000_000
    assert [buckets_for(size * mb) for size in (0, 1, 100, 450, 4_500, 10**6)] == [
        1,
        1,
        1,
        4,
        21,
        128,
    ]


def test_without_room_beside_the_run_the_spans_are_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the run costs the cache; a full one everywhere is told in one line."""
    (tmp_path / "traces-a.jsonl").write_text(line((1, 1), (2, 2)))
    os.utime(tmp_path / "traces-a.jsonl", (time.time() - 60,) * 2)
    write = SpanFiles.close

    def full(files: SpanFiles) -> None:
        if CACHE_FOLDER in str(files.paths[0]) or everywhere:
            raise StoreError(os.strerror(errno.ENOSPC))
        write(files)

    monkeypatch.setattr(SpanFiles, "close", full)
    everywhere = False
    with open_run(tmp_path) as run:
        assert run.engine.rows("SELECT count(*) FROM spans") == [(2,)]
        assert run.read == {"files": 1, "lines": 1, "spans": 2}
    assert list((tmp_path / CACHE_FOLDER).iterdir()) == []
    everywhere = True
    with pytest.raises(IngestError, match="No space left on device; set TMPDIR to a folder"):
        open_run(tmp_path)


def test_a_folder_with_a_name_like_a_pattern_is_itself(tmp_path: Path) -> None:
    """Stars, brackets and quotes in the name of a run are letters, not patterns."""
    for name in ("a*b", "a[x]b", "axb", "it's {1,2}?"):
        run = tmp_path / name
        run.mkdir()
        (run / "traces-a.jsonl").write_text(line((1, len(name)), (2, 2), (3, 3)))
        os.utime(run / "traces-a.jsonl", (time.time() - 60,) * 2)
    for _ in range(2):  # from the text, and from the cache
        for name in ("a*b", "a[x]b", "axb", "it's {1,2}?"):
            with open_run(tmp_path / name) as run:
                rows = run.engine.rows("SELECT span_id FROM spans ORDER BY trace_id")
                assert [int(span, 16) for (span,) in rows] == [len(name), 2, 3]
