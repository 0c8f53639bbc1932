"""How fast a run directory becomes tables: wall and CPU seconds, peak memory.

    python tests/benchmarks/ingest_speed.py --spans 1000000

writes agent traces of 20 spans (512 spans a line, about 4.5 attributes a span, int64 as strings,
as the recorder writes them) to a temporary directory, then opens them three times, each in a
fresh process: without the cache, without but writing it, and from it. The control reads the same
bytes and does nothing with them. Every process checks the rows it got.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPANS_A_TRACE = 20
SPANS_A_LINE = 512
START_NS = 1_790_000_000_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read is not None:
        print(json.dumps(_measure(args.read, args.mode)))
        return
    with tempfile.TemporaryDirectory(prefix="ingest-speed-") as name:
        run = Path(name)
        size = write_run(run, args.spans, args.files)
        print(f"{args.spans} spans, {args.files} files, {size / 1e6:.0f} MB")
        for mode in ("control", "no cache", "writes cache", "from cache"):
            figures = _in_fresh_process(run, mode)
            print(
                f"{mode:13} wall {figures['wall_s']:5.2f} s  CPU {figures['cpu_s']:5.2f} s  "
                f"peak {figures['peak_mib']:5.0f} MiB  spans {figures['spans']}"
            )
            if mode != "control" and figures["spans"] != args.spans:
                sys.exit(f"{mode}: {figures['spans']} of {args.spans} spans")


def write_run(run: Path, spans: int, files: int) -> int:
    """Write a run of agent traces; returns its size in bytes."""
    size = 0
    for number in range(files):
        path = run / f"traces-{number}.jsonl"
        with path.open("wb") as file:
            first, last = spans * number // files, spans * (number + 1) // files
            for start in range(first, last, SPANS_A_LINE):
                line = [_span(i) for i in range(start, min(start + SPANS_A_LINE, last))]
                file.write(_line(number, line))
        long_ago = time.time() - 60
        os.utime(path, (long_ago, long_ago))  # a file written just now is not cached
        size += path.stat().st_size
    return size


def _line(instance: int, spans: list[dict[str, object]]) -> bytes:
    resource = {
        "attributes": [
            _attribute("service.name", "support-agent"),
            _attribute("service.instance.id", f"instance-{instance}"),
        ]
    }
    scope_spans = [{"scope": {"name": "agentscope", "version": "0.1.0"}, "spans": spans}]
    batch = {"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans}]}
    return json.dumps(batch, separators=(",", ":")).encode() + b"\n"


def _span(number: int) -> dict[str, object]:
    trace, position = divmod(number, SPANS_A_TRACE)
    start_ns = START_NS + trace * 20_000_000 + position * 150_000_000
    end_ns = start_ns + 120_000_000
    span: dict[str, object] = {"traceId": f"{trace + 1:032x}", "spanId": f"{number + 1:016x}"}
    if position == 0:
        end_ns = start_ns + SPANS_A_TRACE * 150_000_000
        name, kind, attributes = "POST /api/sessions/{session_id}/messages", 2, _turn(trace)
    elif position % 4 == 1:
        name, kind, attributes = "ask_model", 1, [_attribute("agentscope.phase", "llm_call")]
    elif position % 4 == 2:
        name, kind, attributes = "chat gpt-4o-mini", 3, _inference(number)
    elif position % 4 == 3:
        name, kind, attributes = "POST", 3, _attempt(number)
    else:
        name, kind, attributes = "SELECT orders", 3, _query()
    if position:
        span["parentSpanId"] = f"{trace * SPANS_A_TRACE + 1:016x}"
    return {
        **span,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "attributes": attributes,
        "status": {},
    }


def _turn(trace: int) -> list[dict[str, object]]:
    return [
        _attribute("agentscope.turn", True),
        _attribute("http.request.method", "POST"),
        _attribute("http.route", "/api/sessions/{session_id}/messages"),
        _attribute("http.response.status_code", 200),
        _attribute("gen_ai.conversation.id", f"session-{trace % 5000}"),
        _attribute("agentscope.outcome", "ok"),
    ]


def _inference(number: int) -> list[dict[str, object]]:
    return [
        _attribute("gen_ai.operation.name", "chat"),
        _attribute("gen_ai.provider.name", "openai"),
        _attribute("gen_ai.request.model", "gpt-4o-mini"),
        _attribute("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
        _attribute("gen_ai.usage.input_tokens", 400 + number % 800),
        _attribute("gen_ai.usage.output_tokens", 20 + number % 200),
        _attribute("gen_ai.response.time_to_first_chunk", 0.1 + number % 97 / 1000),
    ]


def _attempt(number: int) -> list[dict[str, object]]:
    return [
        _attribute("http.request.method", "POST"),
        _attribute("http.response.status_code", 200),
        _attribute("http.request.resend_count", 0),
        _attribute("server.address", "127.0.0.1"),
        _attribute("http.response.header.x-ratelimit-remaining-requests", [str(number % 500)]),
    ]


def _query() -> list[dict[str, object]]:
    return [
        _attribute("db.system.name", "postgresql"),
        _attribute("db.operation.name", "SELECT"),
        _attribute("db.collection.name", "orders"),
        _attribute("db.client.connection.pool.name", "main"),
    ]


def _attribute(key: str, value: object) -> dict[str, object]:
    return {"key": key, "value": _value(value)}


def _value(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(element) for element in value]}}
    return {"stringValue": value}


def _in_fresh_process(run: Path, mode: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--read", str(run), "--mode", mode]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _measure(run: Path, mode: str) -> dict[str, float]:
    from agentscope_analyzer.ingest import open_run

    spans = 0
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    if mode == "control":
        for path in sorted(run.iterdir()):
            with path.open("rb") as file:
                while file.read(1 << 25):
                    pass
    else:
        with open_run(run, cache=mode != "no cache") as opened:
            ((spans,),) = opened.engine.rows("SELECT count(*) FROM spans")
    return {
        "wall_s": time.perf_counter() - wall_s,
        "cpu_s": time.process_time() - cpu_s,
        "peak_mib": _peak_mib(),
        "spans": spans,
    }


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):  # unlike getrusage, it does not inherit the parent's peak
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
