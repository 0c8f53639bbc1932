"""Dirty files: what is good gives the clean result, what is not is counted by reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agentscope_analyzer.ingest import IngestError, blocks, open_run


def line(*numbers: int, **changes: Any) -> bytes:
    """One OTLP-JSON line with a span for each number."""
    spans = [
        {
            "traceId": f"{1:032x}",
            "spanId": f"{number:016x}",
            "name": f"span é {number}",
            "kind": 3,
            "startTimeUnixNano": "10",
            "endTimeUnixNano": "20",
            "attributes": [{"key": "http.status_code", "value": {"intValue": "200"}}],
            **changes,
        }
        for number in numbers
    ]
    batch = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}
    return json.dumps(batch, ensure_ascii=False).encode() + b"\n"


def ids(path: Path) -> tuple[list[int], dict[str, int]]:
    """The spans that were taken, in order, and what was rejected."""
    with open_run(path, cache=False) as run:
        rows = run.engine.rows("SELECT span_id FROM spans")
        return [int(span_id, 16) for (span_id,) in rows], run.rejected


def test_a_file_cut_at_any_byte_keeps_its_whole_lines(tmp_path: Path) -> None:
    """A kill leaves at most one torn line, and that line alone is lost."""
    first, whole = len(line(1)), len(line(1) + line(2))
    for cut in range(whole + 1):
        clean = (line(1) + line(2)).replace(b"0" * 31 + b"1", b"%032x" % (cut + 1))
        (tmp_path / f"traces-{cut:04}.jsonl").write_bytes(clean[:cut])
    # A line that lacks nothing but its newline is whole.
    good = {cut + 1: [1, 2] if cut >= whole - 1 else [1] for cut in range(first - 1, whole + 1)}
    torn = whole + 1 - len({0, first - 1, first, whole - 1, whole})

    with open_run(tmp_path, cache=False) as run:
        rows = run.engine.rows("SELECT trace_id, list(span_id) FROM spans GROUP BY 1")
        taken = {int(trace, 16): [int(span, 16) for span in spans] for trace, spans in rows}
        assert (taken, run.rejected) == (good, {"torn_line": torn})


BAD_LINES = {
    "torn, then glued to a good line": (line(8)[:-30] + line(9), "not_json"),
    "NUL bytes": (b"\0" * 50 + b"\n", "not_json"),
    "NaN": (line(9).replace(b'"10"', b"NaN"), "not_json"),
    "NaN as an attribute": (
        line(9, attributes=[{"key": "a", "value": {"doubleValue": float("nan")}}]),
        "not_json",
    ),
    "invalid UTF-8": (line(9).replace("é".encode(), b"\xff"), "not_utf8"),
    "invalid UTF-8 in a field nobody reads": (
        line(9, traceState="?").replace(b'"?"', b'"\xff"'),
        "not_utf8",
    ),
    "half a surrogate pair": (line(9).replace("é".encode(), rb"\ud800"), "lone_surrogate"),
    "integer beyond 64 bits": (line(9).replace(b'"200"', b"9" * 30), "bad_value"),
    "wrong type": (line(9, name=[1]), "bad_value"),
    "repeated key": (line(9).replace(b'"kind": 3', b'"kind": 3, "kind": 2'), "duplicate_key"),
    "two objects on a line": (line(8)[:-1] + line(9), "not_json"),
    "object and null on a line": (line(9)[:-1] + b" null\n", "not_json"),
    "null": (b"null\n", "not_otlp"),
    "a list": (b"[1, 2]\n", "not_otlp"),
    "another object": (b'{"a": {"resourceSpans": []}}\n', "not_otlp"),
    "spans that are no list": (b'{"resourceSpans": 7}\n', "not_otlp"),
    "text behind the object": (line(9)[:-1] + b" x\n", "not_json"),
    "nesting": (b'{"resourceSpans": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "too_deep"),
    "short id": (line(9, traceId="abc"), "bad_id"),
    "id of zeros": (line(9, spanId="0" * 16), "bad_id"),
    "id that is not hex": (line(9, spanId="g" * 16), "bad_id"),
    "parent that is not hex": (line(9, parentSpanId="g" * 16), "bad_id"),
    "no end": (line(9, endTimeUnixNano=None), "bad_time"),
    "end that is no number": (line(9, endTimeUnixNano="soon"), "bad_time"),
    "ends before it starts": (line(9, endTimeUnixNano="9"), "negative_duration"),
    "the same span again": (line(1), "duplicate_span"),
    "the same ids, other content": (line(1, name="other"), "conflicting_span"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("position", ["middle", "last"])
def test_a_bad_line_is_counted_and_spoils_no_other(
    tmp_path: Path, bad: bytes, reason: str, position: str
) -> None:
    """Around each kind of bad line, the good ones give what the clean file gives."""
    file = tmp_path / "traces-a.jsonl"
    file.write_bytes(line(1, 2) + (bad + line(3) if position == "middle" else line(3) + bad))
    assert ids(file) == ([1, 2, 3], {reason: 1})


@pytest.mark.parametrize(
    "harmless",
    [
        b"\n  \n",
        line(4).replace(b"\n", b"\r\n"),
        line(4, unread=[[[[None]]]]),
        line(4, name="a\0b"),
        line(4, name="x" * 17_000_000),
        line(4, name="x" * 17_000_000, kind="SPAN_KIND_CLIENT"),
        line(4, name="} null"),
        line(4, name="endTimeUnixNano"),
        line(4, attributes=None, kind=None, status=None),
        line(4, attributes=[{"key": "a", "value": {"boolValue": True}}] * 2),
    ],
    ids=[
        "blank",
        "CRLF",
        "unread",
        "NUL",
        "17 MB",
        "17 MB, enum by name",
        "null in text",
        "key in text",
        "nulls",
        "twice",
    ],
)
def test_unusual_lines_are_good_lines(tmp_path: Path, harmless: bytes) -> None:
    """What JSON and OTLP allow is taken, however odd it looks."""
    (tmp_path / "traces-a.jsonl").write_bytes(b"\xef\xbb\xbf" + line(1) + harmless + line(5))
    numbers = [1, 5] if harmless.isspace() else [1, 4, 5]
    assert ids(tmp_path / "traces-a.jsonl") == (numbers, {})


def test_read_is_good_plus_rejected(tmp_path: Path) -> None:
    """Every line and span that was read is a row or counted; one in a hundred is too many."""
    bad = b"".join(text for text, _ in BAD_LINES.values())
    (tmp_path / "traces-a.jsonl").write_bytes(line(1, 2, 3) + bad + b'{"resou')
    with open_run(tmp_path) as run:
        ((rows,),) = run.engine.rows("SELECT count(*) FROM spans")
        spans = ("bad_id", "bad_time", "bad_value", "negative_duration", "lone_surrogate",
                 "duplicate_span", "conflicting_span")  # fmt: skip
        assert rows == 3
        assert run.read["spans"] == 3 + sum(run.rejected[reason] for reason in spans)
        assert run.read["lines"] == 2 + len(BAD_LINES)
        assert sum(run.rejected.values()) == 1 + len(BAD_LINES)
        assert run.damaged
        assert run.manifest["complete"] is False


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    """Every kill leaves one; the results before it can be trusted."""
    (tmp_path / "traces-a.jsonl").write_bytes(line(1) + b'{"resourceSp')
    with open_run(tmp_path) as run:
        assert (run.rejected, run.damaged) == ({"torn_line": 1}, False)


def test_orphans_cycles_and_self_parents_are_kept(tmp_path: Path) -> None:
    """Ingest takes each span for what it says; what hangs together is not its business."""
    spans = line(1, parentSpanId=f"{2:016x}") + line(2, parentSpanId=f"{1:016x}")
    orphans = line(3, parentSpanId=f"{3:016x}") + line(4, parentSpanId=f"{99:016x}")
    (tmp_path / "traces-a.jsonl").write_bytes(spans + orphans)
    assert ids(tmp_path) == ([1, 2, 3, 4], {})


def test_compressed_files_of_any_name(tmp_path: Path) -> None:
    """gzip of several members and Zstandard of several frames are told by their content."""
    (tmp_path / "a.bin").write_bytes(gzip.compress(line(1)) + gzip.compress(line(2)))
    frames = [pa.compress(line(n), codec="zstd", asbytes=True) for n in (3, 4)]
    (tmp_path / "b").write_bytes(b"".join(frames))
    (tmp_path / "notes.txt").write_text("not telemetry")
    assert ids(tmp_path) == ([1, 2, 3, 4], {})


def test_a_truncated_gzip_gives_what_can_be_decoded(tmp_path: Path) -> None:
    """The lines before the damage are rows; the damage is counted once."""
    whole = gzip.compress(b"".join(line(n) for n in range(1, 2000)), compresslevel=0)
    (tmp_path / "traces-a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    numbers, rejected = ids(tmp_path)
    assert numbers[:3] == [1, 2, 3]
    assert 900 < len(numbers) < 1100
    assert rejected == {"bad_compression": 1, "torn_line": 1}


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_decompression_bomb_stops_at_the_limit(tmp_path: Path, codec: str) -> None:
    """What grows more than 200 times is cut off; what came before it counts."""
    bomb = line(1) + b"\n" * 80_000_000
    compress = gzip.compress if codec == "gzip" else lambda b: pa.compress(b, codec, asbytes=True)
    (tmp_path / "traces-a.jsonl.gz").write_bytes(compress(bomb))
    numbers, rejected = ids(tmp_path)
    assert rejected == {"decompression_limit": 1}
    assert numbers in ([], [1])


def test_a_line_beyond_the_limit_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that would not fit into memory is dropped while it is read."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 4000)
    long = line(9, name="x" * 10_000)
    (tmp_path / "traces-a.jsonl").write_bytes(line(1) + long + line(2) + line(3))
    assert ids(tmp_path) == ([1, 2, 3], {"too_large": 1})


def test_blocks_join_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the blocks, every line comes once and in order."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 700)
    (tmp_path / "traces-a.jsonl").write_bytes(b"".join(line(n, n + 1) for n in range(1, 60, 2)))
    assert ids(tmp_path) == (list(range(1, 61)), {})


def test_pipes_devices_and_loops_are_not_opened(tmp_path: Path) -> None:
    """Only regular files are read: a pipe would hang, a device never end."""
    os.mkfifo(tmp_path / "traces-pipe.jsonl")
    (tmp_path / "traces-zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "traces-loop.jsonl").symlink_to(tmp_path / "traces-loop.jsonl")
    (tmp_path / "traces-a.jsonl").write_bytes(line(1))
    assert ids(tmp_path) == ([1], {"unreadable_file": 3})
    with pytest.raises(IngestError, match="not a regular file"):
        open_run(tmp_path / "traces-pipe.jsonl")
