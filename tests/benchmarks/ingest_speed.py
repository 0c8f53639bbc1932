"""How fast a run directory becomes a report: wall and CPU seconds, peak memory, where they go.

    python tests/benchmarks/ingest_speed.py --spans 100000 1000000 --parts

writes agent traces of 20 spans (512 spans a line, about 4.5 attributes a span, int64 as strings,
as the recorder writes them) to a temporary directory and analyses them in fresh processes, three
times: from the text ("cold"), with the tables kept beside it but no answer known ("cached"), and as
anybody analyses a run a second time ("again"). The control reads the same bytes and does nothing
with them. CPU seconds and peak memory are those of the whole process tree; memory is the sum of
resident sets, sampled twenty times a second. Every process checks how many spans it saw. Modules
are compiled once beforehand, as an installer does it.

Shapes: "flat" has all spans below the turn, one after the other. "agent" has phases, streamed
answers, attempts, a slow reader, every fifth turn with two tools at once, every twentieth with a
refused attempt, two blocks of the event loop a second: all that needs a closer look.
"huge" has traces of 50 000 spans.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SPANS_A_TRACE = 20
SPANS_A_LINE = 512
SPANS_A_HUGE_TRACE = 50_000
COPIED_SPANS = 1_000_000
"""What is larger consists of copies with other ids: writing JSON in Python takes long."""
START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
MODES = ("control", "cold", "cached", "again")
Span = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--shape", choices=("flat", "agent", "huge"), default="flat")
    parser.add_argument("--parts", action="store_true", help="say where the time goes")
    parser.add_argument("--folder", type=Path, help="write there instead of to the temporary one")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read is not None:
        print(json.dumps(_measure(args.read, args.mode)))
        return
    print("   spans  mode     wall s   CPU s  us/span  peak MiB")
    compiled = tempfile.TemporaryDirectory(prefix="ingest-speed-")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = compiled.name
    with tempfile.TemporaryDirectory(prefix="ingest-speed-", dir=args.folder) as name:
        write_run(Path(name), SPANS_A_LINE)
        _in_fresh_process(Path(name), "cold")
    for spans in args.spans:
        with tempfile.TemporaryDirectory(prefix="ingest-speed-", dir=args.folder) as name:
            write_run(Path(name), spans, args.files, args.shape)
            for mode in MODES:
                _report(Path(name), spans, mode, parts=args.parts)
    compiled.cleanup()


def _report(run: Path, spans: int, mode: str, *, parts: bool) -> None:
    if mode == "cached":
        for answers in run.glob(".agentscope-cache/*/*/answers.msgpack"):
            answers.unlink()
    figures = _in_fresh_process(run, mode)
    print(
        f"{spans:8}  {mode:8} {figures['wall_s']:6.2f}  {figures['cpu_s']:6.2f}"
        f"  {figures['cpu_s'] / spans * 1e6:7.2f}  {figures['peak_mib']:8.0f}"
    )
    if mode != "control" and figures["spans"] != spans:
        sys.exit(f"{mode}: {figures['spans']} of {spans} spans")
    if parts:
        for part, (wall_s, cpu_s) in figures["parts"].items():
            print(f"{'':10}{part:40} {wall_s:6.2f}  {cpu_s:6.2f}")


def write_run(run: Path, spans: int, files: int = 1, shape: str = "flat") -> int:
    """Write a run of agent traces; returns its size in bytes."""
    copied = min(spans, COPIED_SPANS)
    first = run / "traces-0.jsonl"
    with first.open("wb") as file:
        for line in _lines(SHAPES[shape](copied)):
            file.write(line)
    if spans > copied:
        _write_copies(run, first, spans, copied)
    if files > 1:
        _divide(run, files)
    long_ago = time.time() - 60
    for path in run.iterdir():
        os.utime(path, (long_ago, long_ago))  # a file written just now is not cached
    return sum(path.stat().st_size for path in run.iterdir())


def _write_copies(run: Path, first: Path, spans: int, copied: int) -> None:
    if spans % copied or spans // copied > 99:
        sys.exit(f"more than {copied} spans: give a multiple of it, up to 99 times as many")
    text = first.read_bytes()
    for number in range(1, spans // copied):
        copy = text
        for name in (b"traceId", b"spanId", b"parentSpanId"):
            copy = copy.replace(b'"%b":"00' % name, b'"%b":"%02d' % (name, number))
        for name in (b"session-", b"instance-"):
            copy = copy.replace(b'"%b' % name, b'"%b%d-' % (name, number))
        (run / f"traces-{number}.jsonl").write_bytes(copy)


def _divide(run: Path, files: int) -> None:
    """Deal the lines out to so many files instead."""
    whole = sorted(run.iterdir())
    outs = [(run / f"traces-part-{number}.jsonl").open("wb") for number in range(files)]
    for path in whole:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                outs[number % files].write(line)
        path.unlink()
    for out in outs:
        out.close()


def _lines(spans: Iterator[Span]) -> Iterator[bytes]:
    line: list[Span] = []
    for span in spans:
        line.append(span)
        if len(line) == SPANS_A_LINE:
            yield _line(line)
            line = []
    if line:
        yield _line(line)


def _line(spans: list[Span]) -> bytes:
    resource_attributes = [
        _attribute("service.name", "support-agent"),
        _attribute("service.instance.id", "instance-0"),
    ]
    scope_spans = [{"scope": {"name": "agentscope", "version": "0.1.0"}, "spans": spans}]
    batch = {
        "resourceSpans": [
            {"resource": {"attributes": resource_attributes}, "scopeSpans": scope_spans}
        ]
    }
    return json.dumps(batch, separators=(",", ":")).encode() + b"\n"


def _flat(spans: int) -> Iterator[Span]:
    for number in range(spans):
        trace, position = divmod(number, SPANS_A_TRACE)
        begin_ns = START_NS + trace * 20 * MS
        start_ns = begin_ns + position * 150 * MS
        if position == 0:
            yield _turn(trace, number, begin_ns, begin_ns + SPANS_A_TRACE * 150 * MS)
            continue
        name, kind, attributes = (
            ("SELECT orders", 3, _query()),
            ("ask_model", 1, [_attribute("agentscope.phase", "llm_call")]),
            ("chat gpt-4o-mini", 3, _inference(number)),
            ("POST", 3, _attempt(number, 200, 0)),
        )[position % 4]
        parent = trace * SPANS_A_TRACE
        yield _span(trace, number, parent, name, kind, start_ns, start_ns + 120 * MS, attributes)


def _agent(spans: int) -> Iterator[Span]:
    """Turns as the recorder writes them: nested, streamed, some with what needs a decision."""
    for trace in range(spans // SPANS_A_TRACE):
        yield from _agent_turn(trace, trace * SPANS_A_TRACE)
    rest = spans % SPANS_A_TRACE
    for number in range(spans - rest, spans):
        yield _stop(number, START_NS + number * MS)


def _agent_turn(trace: int, root: int) -> Iterator[Span]:
    begin_ns = START_NS + trace * 20 * MS
    refused, parallel = trace % 20 == 7, trace % 5 == 3
    waits = [_attribute("agentscope.response.time_to_first_byte", 2.0)]
    waits.append(_attribute("agentscope.response.send_wait", 0.004))
    yield _turn(trace, root, begin_ns, begin_ns + 3000 * MS, waits)

    def span(
        i: int, above: int, name: str, kind: int, a: int, b: int, attributes: list[Span]
    ) -> Span:
        start_ns, end_ns = begin_ns + a * MS, begin_ns + b * MS
        return _span(trace, root + i, root + above, name, kind, start_ns, end_ns, attributes)

    context = [_attribute("agentscope.phase", "context_load")]
    yield span(1, 0, "load_conversation", 1, 5, 60, context)
    yield span(2, 1, "SELECT messages", 3, 8, 55, _query())
    for call, (at, i) in enumerate(((100, 3), (1200, 10))):
        phase = [_attribute("agentscope.phase", "llm_call")]
        yield span(i, 0, "ask_model", 1, at, at + 900, phase)
        streamed = _inference(root + i)
        streamed.append(_attribute("gen_ai.request.stream", True))
        yield span(i + 1, i, "chat gpt-4o-mini", 3, at + 5, at + 890, streamed)
        if refused and call == 0:
            yield span(i + 2, i + 1, "POST", 3, at + 6, at + 60, _attempt(root + i, 429, 0))
            yield span(i + 3, i + 1, "POST", 3, at + 200, at + 880, _attempt(root + i, 200, 1))
        else:
            yield span(i + 2, i + 1, "POST", 3, at + 6, at + 880, _attempt(root + i, 200, 0))
            yield span(i + 3, i, "parse", 1, at + 891, at + 899, [])
    shift = -40 if parallel else 0
    for tool, (at, i) in enumerate(((1010, 7), (1100 + shift, 14))):
        named = [_attribute("gen_ai.tool.name", f"lookup_{tool}")]
        yield span(i, 0, f"execute_tool lookup_{tool}", 1, at, at + 80, named)
        yield span(i + 1, i, "SELECT orders", 3, at + 5, at + 70, _query())
    yield span(9, 8, "fetch", 1, 1020, 1030, [])
    yield span(16, 0, "INSERT messages", 3, 2200, 2260, _query())
    yield span(17, 0, "render", 1, 2300, 2350, [])
    yield span(18, 17, "escape", 1, 2310, 2320, [])
    if trace % 25 == 0:
        yield _stop(root + 19, begin_ns)
    else:
        yield span(19, 0, "log", 1, 2400, 2410, [])


def _stop(number: int, start_ns: int) -> Span:
    attributes = [_attribute("agentscope.runtime.event", "loop_blocked")]
    attributes.append(_attribute("code.function.name", "render_markdown"))
    name, end_ns = "event_loop.blocked", start_ns + 25 * MS
    return _span(number, number, None, name, 1, start_ns, end_ns, attributes)


def _huge(spans: int) -> Iterator[Span]:
    for number in range(spans):
        trace, position = divmod(number, SPANS_A_HUGE_TRACE)
        begin_ns = START_NS + trace * 20 * MS
        if position == 0:
            yield _turn(trace, number, begin_ns, begin_ns + SPANS_A_HUGE_TRACE * 10 * MS)
            continue
        start_ns = begin_ns + position * 10 * MS
        parent = trace * SPANS_A_HUGE_TRACE
        yield _span(trace, number, parent, "SELECT", 3, start_ns, start_ns + 9 * MS, _query())


SHAPES: dict[str, Callable[[int], Iterator[Span]]] = {
    "flat": _flat,
    "agent": _agent,
    "huge": _huge,
}


def _turn(
    trace: int, number: int, start_ns: int, end_ns: int, more: list[Span] | None = None
) -> Span:
    name = "POST /api/sessions/{session_id}/messages"
    attributes = [
        _attribute("agentscope.turn", True),
        _attribute("http.request.method", "POST"),
        _attribute("http.route", "/api/sessions/{session_id}/messages"),
        _attribute("http.response.status_code", 200),
        _attribute("gen_ai.conversation.id", f"session-{trace % 5000}"),
        _attribute("agentscope.outcome", "ok"),
        *(more or []),
    ]
    return _span(trace, number, None, name, 2, start_ns, end_ns, attributes)


def _span(
    trace: int,
    number: int,
    parent: int | None,
    name: str,
    kind: int,
    start_ns: int,
    end_ns: int,
    attributes: list[Span],
) -> Span:
    above = {} if parent is None else {"parentSpanId": _id(parent, 14)}
    return {
        "traceId": _id(trace, 30),
        "spanId": _id(number, 14),
        **above,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "attributes": attributes,
        "status": {},
    }


def _id(number: int, digits: int) -> str:
    """An id that looks drawn at random; its first two digits are kept free for copies."""
    mixed = (number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 16**digits
    return f"00{mixed:0{digits}x}"


def _inference(number: int) -> list[Span]:
    return [
        _attribute("gen_ai.operation.name", "chat"),
        _attribute("gen_ai.provider.name", "openai"),
        _attribute("gen_ai.request.model", "gpt-4o-mini"),
        _attribute("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
        _attribute("gen_ai.usage.input_tokens", 400 + number % 800),
        _attribute("gen_ai.usage.output_tokens", 20 + number % 200),
        _attribute("gen_ai.response.time_to_first_chunk", 0.1 + number % 97 / 1000),
    ]


def _attempt(number: int, status: int, resent: int) -> list[Span]:
    return [
        _attribute("http.request.method", "POST"),
        _attribute("http.response.status_code", status),
        _attribute("http.request.resend_count", resent),
        _attribute("server.address", "127.0.0.1"),
        _attribute("http.response.header.x-ratelimit-remaining-requests", [str(number % 500)]),
    ]


def _query() -> list[Span]:
    return [
        _attribute("db.system.name", "postgresql"),
        _attribute("db.operation.name", "SELECT"),
        _attribute("db.collection.name", "orders"),
        _attribute("db.client.connection.pool.name", "main"),
    ]


def _attribute(key: str, value: object) -> Span:
    return {"key": key, "value": _value(value)}


def _value(value: object) -> Span:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(element) for element in value]}}
    return {"stringValue": value}


def _in_fresh_process(run: Path, mode: str) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, __file__, "--read", str(run), "--mode", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak_kib = 0
        while process.poll() is None:
            peak_kib = max(peak_kib, sum(_resident_kib(pid) for pid in _tree(process.pid)))
            time.sleep(0.05)
        assert process.stdout is not None
        answer = process.stdout.read()
    if process.returncode:
        sys.exit(f"{mode} failed with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures: dict[str, Any] = json.loads(answer)
    figures["wall_s"] = time.perf_counter() - started
    figures["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures["peak_mib"] = peak_kib / 1024
    return figures


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:  # grows as it is walked
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _resident_kib(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Parts:
    """Wall and CPU seconds of parts, of this process and of those it has waited for."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def timed(self, name: str, call: Callable[..., Any], *args: Any, **given: Any) -> Any:
        wall_s, cpu_s = time.perf_counter(), _cpu_s()
        try:
            return call(*args, **given)
        finally:
            known = self.seconds.setdefault(name, [0.0, 0.0])
            known[0] += time.perf_counter() - wall_s
            known[1] += _cpu_s() - cpu_s


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _measure(run: Path, mode: str) -> dict[str, Any]:
    parts = Parts()
    if mode == "control":
        parts.timed("read", _read, run)
        return {"spans": None, "parts": parts.seconds}
    report, questions = parts.timed("import", _modules)
    opened, attributed = report.open_run, report.attribute
    ask, prepare = questions.Asker.ask, questions.Asker.prepare
    asked = Parts()

    def prepared(asker: Any, *helpers: str) -> None:
        for helper in helpers:
            asked.timed(helper, prepared_now, asker, helper)

    def prepared_now(asker: Any, helper: str) -> None:
        prepare(asker, helper)
        if mode == "cached":  # else they wait for a question, which then seems to take so long
            asker.engine.rows("SELECT 1")

    report.open_run = lambda *args, **given: parts.timed("ingest", opened, *args, **given)
    report.attribute = lambda engine: parts.timed("attribution", attributed, engine)
    questions.Asker.ask = lambda asker, name, /, **given: asked.timed(
        name, ask, asker, name, **given
    )
    questions.Asker.prepare = prepared
    result = parts.timed("all", report.analyze_run, run)
    slowest = sorted(asked.seconds.items(), key=lambda one: -one[1][1])
    total = [sum(seconds[i] for _, seconds in slowest) for i in (0, 1)]
    parts.seconds[f"questions ({len(slowest)})"] = total
    parts.seconds.update({f"  {name}": seconds for name, seconds in slowest[:12]})
    return {"spans": result.run.spans, "parts": parts.seconds}


def _modules() -> tuple[Any, Any]:
    from agentscope_analyzer import report, sql

    return report, sql


def _read(run: Path) -> None:
    for path in sorted(run.glob("*.jsonl")):
        with path.open("rb") as file:
            while file.read(1 << 25):
                pass


if __name__ == "__main__":
    main()
