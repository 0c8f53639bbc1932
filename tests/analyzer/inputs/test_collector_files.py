"""Files of the Collector's file exporter and of OpenTelemetry's own: every form gives the same rows.

The lines are real ones, written by ``opentelemetry-exporter-otlp-json-file``; the Collector's forms
of them are made here as its documentation and its source describe.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agentscope_analyzer.ingest import IngestError, open_run

DATA = Path(__file__).parent / "data"
LINES = gzip.decompress((DATA / "genai.jsonl.gz").read_bytes()).splitlines(keepends=True)
SPANS = 216
PROTOBUF = b"\x0a\x10\x0a\x02\x0a\x00\x12\x0a" + b"x" * 10
"""How a message of traces begins; no more of it is looked at."""


def zstd(text: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(text, asbytes=True))


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4) + message


def rows(path: Path) -> list[dict[str, Any]]:
    with open_run(path, cache=False) as run:
        assert run.rejected == {}
        return run.engine.query("SELECT * FROM spans ORDER BY trace_id, span_id")


@pytest.fixture(scope="module")
def as_lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    file = tmp_path_factory.mktemp("lines") / "spans.json"
    file.write_bytes(b"".join(LINES))
    found = rows(file)
    assert len(found) == SPANS
    return found


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda: gzip.compress(b"".join(LINES)), id="gzip"),
        pytest.param(lambda: b"".join(map(gzip.compress, LINES)), id="gzip, a member a line"),
        pytest.param(lambda: zstd(b"".join(LINES)), id="zstd, one stream"),
        pytest.param(lambda: b"".join(map(zstd, LINES)), id="zstd, a frame a write"),
        pytest.param(lambda: b"".join(framed(zstd(x)) for x in LINES), id="zstd behind lengths"),
        pytest.param(lambda: b"".join(map(framed, LINES)), id="behind lengths"),
        pytest.param(lambda: zstd(b"".join(map(framed, LINES))), id="lengths within zstd"),
    ],
)
def test_every_form_gives_the_same_rows(
    written: Callable[[], bytes], as_lines: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The content decides, not the name: the same spans, column by column."""
    (tmp_path / "telemetry.data").write_bytes(written())
    assert rows(tmp_path / "telemetry.data") == as_lines
    assert rows(tmp_path) == as_lines


def test_rotated_files_are_one_run(as_lines: list[dict[str, Any]], tmp_path: Path) -> None:
    """The Collector renames what is full; each file is compressed or not on its own."""
    third = len(LINES) // 3
    (tmp_path / "data-2026-09-14T05-02-14.173.json").write_bytes(b"".join(LINES[:third]))
    (tmp_path / "data-2026-09-14T05-02-15.001.json.gz").write_bytes(
        gzip.compress(b"".join(LINES[third : 2 * third]))
    )
    (tmp_path / "data.json").write_bytes(b"".join(LINES[2 * third :]))
    assert rows(tmp_path) == as_lines
    assert rows(tmp_path / "data*") == as_lines


def test_a_folder_of_folders_says_how_to_name_them(
    as_lines: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The Collector's ``group_by`` makes a folder a service: the line's pattern reads all of them."""
    for number, lines in enumerate((LINES[:2], LINES[2:])):
        (tmp_path / f"service-{number}").mkdir()
        (tmp_path / f"service-{number}" / "traces.json").write_bytes(b"".join(lines))
    (tmp_path / "service-0" / "back").symlink_to(tmp_path)
    with pytest.raises(IngestError) as refused:
        open_run(tmp_path)
    told, _, pattern = str(refused.value).rpartition(": ")
    assert told == f"{tmp_path} holds its telemetry in folders; name all of it"
    assert pattern == f"'{tmp_path}/**/*.json'"
    assert rows(Path(pattern.strip("'"))) == as_lines


@pytest.mark.parametrize(
    "written", [framed(PROTOBUF), framed(zstd(PROTOBUF)), zstd(framed(PROTOBUF))]
)
def test_protobuf_is_refused_with_the_setting_that_helps(written: bytes, tmp_path: Path) -> None:
    """Alone it is an error; beside lines it is a file that is counted."""
    file = tmp_path / "traces.data"
    file.write_bytes(written)
    for path in (file, tmp_path):
        with pytest.raises(IngestError) as refused:
            open_run(path)
        assert str(refused.value) == (
            f"{file} is protobuf, which is not read: set `format: json` in the Collector's file "
            "exporter and record again"
        )
    (tmp_path / "spans.json").write_bytes(b"".join(LINES))
    with open_run(tmp_path) as run:
        assert (run.rejected, run.damaged) == ({"protobuf_file": 1}, True)
        assert run.engine.rows("SELECT count(*) FROM spans") == [(SPANS,)]


def test_a_torn_or_broken_message_costs_itself_alone(tmp_path: Path) -> None:
    """Good messages are read; a broken one, and the one cut off at the end, are counted."""
    good = [framed(zstd(line)) for line in LINES]
    assert len(LINES) > 2
    broken = framed(zstd(LINES[1])[:-9] + b"\0" * 9)
    (tmp_path / "a").write_bytes(b"".join([good[0], broken, *good[2:-1], good[-1][:-5]]))
    with open_run(tmp_path / "a") as run:
        assert run.rejected in ({"bad_message": 1, "torn_line": 1}, {"not_json": 1, "torn_line": 1})
        assert run.read["lines"] == len(LINES)
    (tmp_path / "b").write_bytes(good[0] + b"\xff\xff\xff\xff" + good[1])
    with open_run(tmp_path / "b") as run:
        assert run.rejected == {"too_large": 1}
        assert run.read["lines"] == 2


def test_a_message_that_grows_beyond_measure_ends_the_file(tmp_path: Path) -> None:
    """A few kilobytes that become 100 MB are not telemetry: what came before is kept."""
    bomb = framed(zstd(b" " * (100 << 20)))
    assert len(bomb) < 20_000
    (tmp_path / "x").write_bytes(framed(zstd(LINES[0])) + bomb + framed(zstd(LINES[1])))
    with open_run(tmp_path / "x") as run:
        assert run.rejected == {"decompression_limit": 1}
        assert run.read["lines"] == 1


def test_a_copy_of_a_file_is_not_read_twice(as_lines: list[dict[str, Any]], tmp_path: Path) -> None:
    """Plain beside its compressed form, or under another name: one recording, said and read once."""
    text = b"".join(LINES)
    (tmp_path / "spans.json").write_bytes(text)
    (tmp_path / "spans.json.gz").write_bytes(gzip.compress(text))
    (tmp_path / "spans (1).json").write_bytes(text[: len(text) // 2])
    with open_run(tmp_path) as run:
        assert (run.rejected, run.damaged) == ({"duplicate_file": 2}, False)
        assert run.engine.query("SELECT * FROM spans ORDER BY trace_id, span_id") == as_lines
