"""The whole command on broken and hostile input: an exit code, one clear line, never a traceback.

0: judged. 2: nothing to judge, and the line says what to type. 3: judged, but not to be believed.
The many cases that each take a whole analysis run with ``make proofs``.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agentscope_analyzer.commands import main

T0_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000
TURNS = 40
YEAR_2262_NS = 2**63 - 1 - 200 * SECOND_NS


def span(trace: int, number: int, parent: int, kind: int, ns: tuple[int, int], **attrs: str) -> Any:
    made = {
        "traceId": f"{trace:032x}",
        "spanId": f"{trace * 10 + number:016x}",
        "name": "POST /chat" if kind == 2 else "chat m",
        "kind": kind,
        "startTimeUnixNano": str(ns[0]),
        "endTimeUnixNano": str(ns[1]),
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": value}}
            for key, value in attrs.items()
        ],
    }
    return made | ({"parentSpanId": f"{trace * 10 + parent:016x}"} if parent else {})


def line(trace: int, at_ns: int, took_ns: int = SECOND_NS // 2) -> bytes:
    """A turn that is all model."""
    whole = (at_ns, at_ns + took_ns)
    asked = {"agentscope__turn": "true", "gen_ai__conversation__id": f"s{trace % 7}"}
    called = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o"}
    spans = [span(trace, 1, 0, 2, whole, **asked), span(trace, 2, 1, 3, whole, **called)]
    instance = {"key": "service.instance.id", "value": {"stringValue": "i1"}}
    scoped = [{"scope": {"name": "s"}, "spans": spans}]
    document = {"resourceSpans": [{"resource": {"attributes": [instance]}, "scopeSpans": scoped}]}
    return json.dumps(document).encode() + b"\n"


def run(start_ns: int = T0_NS, unit: int = 1) -> bytes:
    return b"".join(
        line(trace, (start_ns + trace * 2 * SECOND_NS) // unit, SECOND_NS // 2 // unit)
        for trace in range(1, TURNS + 1)
    )


GOOD = run()
TRACES, ZIPPED = "traces-a.jsonl", "traces-a.jsonl.gz"


def files(**contents: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).write_bytes(content)

    return make


def zstd(text: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(text, asbytes=True))


def fifo_named_like_traces(folder: Path) -> None:
    os.mkfifo(folder / "traces-f.jsonl")


def links_in_circles(folder: Path) -> None:
    (folder / TRACES).write_bytes(GOOD)
    (folder / "loop").symlink_to(folder)
    (folder / "x.jsonl").symlink_to(folder / "y.jsonl")
    (folder / "y.jsonl").symlink_to(folder / "x.jsonl")


def folders_named_like_files(folder: Path) -> None:
    (folder / TRACES).write_bytes(GOOD)
    for name in ("traces-dir.jsonl", "manifest.json", "load-x.jsonl", "x_stats.csv"):
        (folder / name).mkdir()


def four_gigabytes_of_nothing(folder: Path) -> None:
    (folder / TRACES).write_bytes(GOOD)
    with (folder / "traces-s.jsonl").open("wb") as file:
        file.truncate(4 << 30)


def deep(depth: int) -> bytes:
    return b'{"resourceSpans":' + b"[" * depth + b"]" * depth + b"}\n"


Case = tuple[Callable[[Path], None], int, str]
WITHHELD = "Verdict withheld: "
MUCH = WITHHELD + "more than 1 % of the input could not be read"
CASES: dict[str, Case] = {
    "clean": (files(**{TRACES: GOOD}), 0, "Nothing binds at this load"),
    "microseconds": (
        files(**{TRACES: run(unit=1000)}), 3,
        "times are microseconds since 1970, not nanoseconds: multiply them where they are written",
    ),
    "twice": (files(**{TRACES: GOOD, ZIPPED: gzip.compress(GOOD)}), 0, "duplicate_file 1"),
    "pipe": (fifo_named_like_traces, 2, "traces-f.jsonl: not a regular file, or no permission"),
    "bomb": (files(**{ZIPPED: gzip.compress(b" " * (100 << 20))}), 3, "decompression_limit 1"),
}  # fmt: skip
"""Run with every test run."""

MORE: dict[str, Case] = {
    "milliseconds": (files(**{TRACES: run(unit=10**6)}), 3, "times are milliseconds since 1970"),
    "seconds": (files(**{TRACES: run(unit=10**9)}), 3, WITHHELD),
    "1970": (files(**{TRACES: run(1)}), 3, "turns lie outside the years 2001 to 2100"),
    "2262": (files(**{TRACES: run(YEAR_2262_NS)}), 3, "turns lie outside the years 2001 to 2100"),
    "one turn of 1970": (files(**{TRACES: GOOD + line(99, 1)}), 0, "a clock was wrong"),
    "one turn of 2262": (files(**{TRACES: GOOD + line(99, YEAR_2262_NS)}), 0, "a clock was wrong"),
    "ten years long": (
        files(**{TRACES: GOOD + line(99, T0_NS, 3650 * 86_400 * SECOND_NS)}), 0, "a clock was wrong",
    ),
    "gzip cut": (files(**{ZIPPED: gzip.compress(GOOD)[:-200]}), 3, "bad_compression 1"),
    "gzip with a wrong sum": (
        files(**{ZIPPED: gzip.compress(GOOD)[:-8] + b"\0" * 8}), 3, "bad_compression 1",
    ),
    "zstd cut": (files(**{"traces-a.jsonl.zst": zstd(GOOD)[:-50]}), 3, "bad_compression 1"),
    "zstd bomb": (
        files(**{"traces-a.jsonl.zst": zstd(b"\n" * (100 << 20))}), 3, "decompression_limit 1",
    ),
    "bomb in a bomb": (
        files(**{ZIPPED: gzip.compress(gzip.compress(b" " * (100 << 20)))}), 3, MUCH,
    ),
    "links in circles": (links_in_circles, 0, "Nothing binds"),
    "folders named like files": (folders_named_like_files, 0, "Nothing binds"),
    "pipe as a manifest": (
        lambda folder: (files(**{TRACES: GOOD})(folder), os.mkfifo(folder / "manifest.json"))[1], 3,
        "bad_manifest 1",
    ),
    "empty files": (files(**{TRACES: b"", "load-a.jsonl": b""}), 3, "no turn was found"),
    "4 GB of nothing": (four_gigabytes_of_nothing, 3, "too_large 1"),
    "NULs at the end": (files(**{TRACES: GOOD + b"\0" * 5000}), 0, "torn_line 1"),
    "NULs inside": (files(**{TRACES: GOOD.replace(b"chat m", b"ch\0t m")}), 3, "not_json 40"),
    "UTF-16": (files(**{TRACES: GOOD.decode().encode("utf-16")}), 3, MUCH),
    "UTF-16 under another name": (
        files(**{"x.json": GOOD.decode().encode("utf-16")}), 2, "holds no OTLP-JSON lines",
    ),
    "200 000 brackets": (files(**{TRACES: GOOD + deep(200_000)}), 3, "too_deep 1"),
    "ids twice in two files": (
        files(**{TRACES: GOOD, "traces-b.jsonl": GOOD.replace(b"chat m", b"chat q")}), 3,
        "conflicting_span 40",
    ),
    "a page of the web": (files(**{"x.html": b"<html>"}), 2, "holds no OTLP-JSON lines"),
    "one JSON document": (
        files(**{"x.json": b"[" + GOOD.strip().replace(b"\n", b",") + b"]"}), 2, "no OTLP-JSON lines",
    ),
    "a manifest of nonsense": (
        files(**{
            TRACES: GOOD,
            "manifest.json": b'{"schema":"agentscope.run/1","load":{"stages":[{"name":1,'
            b'"start_ns":"x","end_ns":1e400}],"users":"many"},"note":[1]}',
            "manifest-x.json": b'{"schema":"agentscope.run/1","instance":["x"],"ended_ns":{},'
            b'"ledger":[{"created":"x"}],"open_turns":-5,"internal_errors":[1]}',
        }), 0, "Nothing binds",
    ),
    "tables of nonsense": (
        files(**{
            TRACES: GOOD,
            "x_stats.csv": b"Type,Name,Request Count,Failure Count,50%\nGET,/,1,9,x\n\0\n" + b'"' * 9,
            "k6.json": b'{"type":"Metric","metric":"vus","data":{}}\n{"vus"}\n[]\n"vus"\n',
        }), 0, "bad_row",
    ),
}  # fmt: skip
"""Run with ``make proofs``."""

SLOWEST_S = 60.0


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_ends_in_one_clear_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code, and the line that says why."""
    judge(CASES[name], tmp_path, capsys)


@pytest.mark.proofs
@pytest.mark.parametrize("name", MORE)
def test_more_hostile_input(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same of everything else that was thought of."""
    judge(MORE[name], tmp_path, capsys)


@pytest.mark.proofs
def test_a_cut_anywhere_is_never_a_wrong_figure(tmp_path: Path) -> None:
    """A file cut at any of 40 places, plain and compressed: turns are those whose lines were whole."""
    from agentscope_analyzer.report import analyze_run

    for place in range(0, len(GOOD), len(GOOD) // 40):
        (tmp_path / TRACES).write_bytes(GOOD[:place])
        report = analyze_run(tmp_path / TRACES)
        assert report.run.turns == GOOD[:place].count(b"\n")
        assert report.turns.p50_s in (None, 0.5)


def judge(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, exit_code, phrase = case
    make(folder)
    began_s = time.monotonic()
    assert main(["analyze", str(folder)]) == exit_code
    assert time.monotonic() - began_s < SLOWEST_S
    told = capsys.readouterr()
    if exit_code == 2:
        assert told.out == ""
        assert told.err.count("\n") == 1
    assert phrase in " ".join((told.out + told.err).split())
