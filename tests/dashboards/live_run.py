"""Two workers of the example agent under load, scraped by a real Prometheus: do all agree?

    python tests/dashboards/live_run.py --minutes 5

PostgreSQL, a mock model that now and then fails, two uvicorn workers that share one ``/metrics``,
eight users. Halfway the users hold their breath and one worker is killed. At the end the same
counts are read in three places: from Prometheus, from ``/metrics``, and from the spans of the run
directory. The command prints them side by side and exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "dashboards")]

from live_service import JOB, MODEL, Service, Users
from prometheus_server import Labels, Prometheus, serving

from agentscope import conventions as c
from agentscope_analyzer.ingest import open_run

SETTLE_S = 2.0
"""Both workers have flushed their spans: that happens once a second."""

SETTLED_WITHIN_S = 30.0

Counts = dict[Labels, float]


@dataclass(kw_only=True)
class Found:
    """What the three of them say, and what else was seen."""

    prometheus: dict[str, Counts]
    scraped: dict[str, Counts]
    truth: dict[str, Counts]
    exemplars: set[str]
    """Trace ids that Prometheus leads to."""
    traces: set[str]
    """Trace ids of the run directory."""
    processes: float
    """How many ``/metrics`` speaks for at the end."""
    alive: int
    """How many workers there are."""
    body_bytes: int
    scrape_s: list[float]
    memory_bytes: dict[int, int]
    """Resident memory of each worker at the end."""
    answered: dict[str, int]
    """What the users saw: answers by status."""
    refused: list[str]
    """Requests that got no answer at all."""
    started_s: float
    ended_s: float
    killed: int

    def differences(self) -> list[str]:
        """A line for each count that is not the same everywhere."""
        served: Counter[str] = Counter()
        for labels, number in self.truth["requests"].items():
            served[dict(labels)["http_response_status_code"]] += int(number)
        unseen = [] if served == self.answered else [f"users {self.answered}, spans {served}"]
        return unseen + [
            f"{name} {dict(labels)}: run directory {true}, /metrics {there}, Prometheus {kept}"
            for name, labels, true, there, kept in self.rows()
            if not _close(true, there) or not _close(there, kept)
        ]

    def rows(self) -> Iterator[tuple[str, Labels, float, float, float]]:
        """Every count: its name, its labels, and what each of the three says."""
        for name in self.truth:
            every = (self.truth[name], self.scraped[name], self.prometheus[name])
            for labels in sorted({labels for counts in every for labels in counts}):
                true, there, kept = (counts.get(labels, 0.0) for counts in every)
                yield name, labels, true, there, kept


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(1.0, abs(one))


@contextmanager
def live(
    directory: Path, *, seconds: float, users: int = 8, scrape_every_s: int = 1
) -> Iterator[tuple[Found, Prometheus]]:
    """Make such a run in ``directory``; Prometheus can be asked until the block ends."""
    with ExitStack() as stack:
        service = Service(directory, stack)
        target = f"127.0.0.1:{service.port}"
        config = (
            f"global: {{scrape_interval: {scrape_every_s}s}}\n"
            f"scrape_configs: [{{job_name: {JOB}, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        # With native histograms on, Prometheus asks for protobuf first, and takes text as before.
        flags = ("--enable-feature=exemplar-storage,native-histograms",)
        prometheus = stack.enter_context(serving(directory, config, flags=flags))
        started_s = time.time()
        load = Users(service.port, users)
        load.go(seconds / 2)
        _settle(prometheus, load)
        killed = service.kill_one()
        load.go(seconds / 2)
        _settle(prometheus, load)
        ended_s = time.time()
        body = service.metrics()
        from_prometheus = {name: prometheus.at(expr, ended_s) for name, expr in _EXPRS.items()}
        memory = {worker.pid: worker.memory_info().rss for worker in service.workers()}
        took = prometheus.over("scrape_duration_seconds", started_s, ended_s, scrape_every_s)
        processes = prometheus.at(f"sum({c.PROCESSES.prometheus_name})", ended_s)
        exemplars = _exemplars(prometheus, started_s, ended_s)
        service.stop()
        truth, traces = _truth(service.run_dir)
        found = Found(
            prometheus=from_prometheus,
            scraped=_scraped(body),
            truth=truth,
            exemplars=exemplars,
            traces=traces,
            processes=processes[()],
            alive=len(memory),
            body_bytes=len(body),
            scrape_s=next(iter(took.values())),
            memory_bytes=memory,
            answered={str(status): n for status, n in Counter(load.answered).items()},
            refused=load.refused,
            started_s=started_s,
            ended_s=ended_s,
            killed=killed,
        )
        yield found, prometheus


def _settle(prometheus: Prometheus, load: Users) -> None:
    """Wait until Prometheus knows of every answer, and the files do too."""
    everything = f"sum({c.HTTP_SERVER_DURATION.prometheus_name}_count)"
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        if prometheus.at(everything, time.time()).get((), 0) >= len(load.answered):
            break
        time.sleep(0.1)
    time.sleep(SETTLE_S)


def _scraped(text: str) -> dict[str, Counts]:
    values: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, []).append((sample.labels, sample.value))
    return {name: _summed(values.get(series, []), by) for name, (series, by) in COUNTS.items()}


def _summed(samples: list[tuple[Mapping[str, str], float]], by: tuple[str, ...]) -> Counts:
    counts: Counts = {}
    for labels, value in samples:
        key = tuple(sorted((name, labels[name]) for name in by if labels[name]))
        counts[key] = counts.get(key, 0.0) + value
    return counts


COUNTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "turns": (f"{c.TURN_DURATION.prometheus_name}_count", ("route", "status")),
    "seconds of turns": (f"{c.TURN_DURATION.prometheus_name}_sum", ("route", "status")),
    "requests": (
        f"{c.HTTP_SERVER_DURATION.prometheus_name}_count",
        ("http_route", "http_response_status_code"),
    ),
    "failed turns": (c.ERRORS.prometheus_name, ("error_type",)),
    "calls": (
        f"{c.OPERATION_DURATION.prometheus_name}_count", ("gen_ai_request_model", "error_type"),
    ),
    "tokens": (
        f"{c.TOKEN_USAGE.prometheus_name}_sum", ("gen_ai_request_model", "gen_ai_token_type"),
    ),
    "attempts": (c.LLM_ATTEMPTS.prometheus_name, ("model", "status_class", "outcome")),
    "seconds asleep": (c.LLM_BACKOFF.prometheus_name, ("model", "reason")),
    "tool calls": (c.TOOL_CALLS.prometheus_name, ("tool", "status")),
    "waits": (f"{c.WAIT_DURATION.prometheus_name}_count", ("kind",)),
}  # fmt: skip
"""What is compared: the series on ``/metrics``, and the labels to sum it by."""

_EXPRS = {name: f"sum by ({', '.join(by)}) ({series})" for name, (series, by) in COUNTS.items()}

_SECONDS = "sum(end_ns - start_ns) / 1e9"
_FAILED = "if(status = 'ERROR', 'error', 'ok')"
_CLASS = "coalesce(http_status // 100 || 'xx', 'none')"
_TRUTH = {
    "turns": ("http_route as route, http_status as status", "count(*)", "is_turn"),
    "seconds of turns": ("http_route as route, http_status as status", _SECONDS, "is_turn"),
    "requests": (
        "http_route, http_status as http_response_status_code", "count(*)", "kind = 'SERVER'",
    ),
    "failed turns": ("error_type", "count(*)", "is_turn and status = 'ERROR'"),
    "calls": (
        "model as gen_ai_request_model, error_type", "count(*)", "operation = 'chat'",
    ),
    "attempts": (
        f"'{MODEL}' as model, {_CLASS} as status_class, {_FAILED} as outcome",
        "count(*)",
        "kind = 'CLIENT' and resend_count is not null",
    ),
    "seconds asleep": (
        f"'{MODEL}' as model, wait_kind as reason", _SECONDS,
        "wait_kind in ('rate_limit', 'retry_backoff')",
    ),
    "tool calls": (f"tool, {_FAILED} as status", "count(*)", "operation = 'execute_tool'"),
    "waits": ("wait_kind as kind", "count(*)", "wait_kind is not null"),
}  # fmt: skip
"""The same counts of spans: their labels, what is counted, and of which."""


def _truth(run_dir: Path) -> tuple[dict[str, Counts], set[str]]:
    with open_run(run_dir) as run:
        truth = {
            name: _counts(
                run.engine.query(f"select {by}, {what} as n from spans where {where} group by all")
            )
            for name, (by, what, where) in _TRUTH.items()
        }
        tokens = [
            row
            for kind in ("input", "output")
            for row in run.engine.query(
                f"select model as gen_ai_request_model, '{kind}' as gen_ai_token_type, "
                f"sum({kind}_tokens) as n from spans where {kind}_tokens is not null "
                "and operation = 'chat' group by all"
            )
        ]
        truth["tokens"] = _counts(tokens)
        traces = {row["trace_id"] for row in run.engine.query("select trace_id from spans")}
    return truth, traces


def _counts(rows: list[dict[str, object]]) -> Counts:
    counts: Counts = {}
    for row in rows:
        number = row.pop("n")
        assert isinstance(number, int | float)
        labels = tuple(sorted((name, str(value)) for name, value in row.items() if value))
        counts[labels] = float(number)
    return counts


def _exemplars(prometheus: Prometheus, start_s: float, end_s: float) -> set[str]:
    query = f"{c.TURN_DURATION.prometheus_name}_bucket"
    found = prometheus.get("query_exemplars", query=query, start=start_s, end=end_s)
    return {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}


def table(found: Found) -> Iterator[str]:
    """The comparison, a line a count."""
    head = ("what", "run directory", "/metrics", "Prometheus")
    yield f"{head[0]:70} {head[1]:>15} {head[2]:>15} {head[3]:>15}"
    for name, labels, *values in found.rows():
        what = f"{name} " + " ".join(value for _, value in labels)
        told = " ".join(f"{value:15,.3f}".replace(".000", "    ") for value in values)
        yield f"{what:70} {told}"
    slowest = max(found.scrape_s)
    typical = sorted(found.scrape_s)[len(found.scrape_s) // 2]
    memory = ", ".join(f"{size / 1e6:.0f} MB" for size in found.memory_bytes.values())
    yield ""
    yield f"killed: worker {found.killed}; /metrics speaks for {found.processes:g} of {found.alive}"
    answers = ", ".join(f"{n:,} x {status}" for status, n in sorted(found.answered.items()))
    yield f"the users saw: {answers}"
    yield f"requests without an answer: {len(found.refused)}"
    yield f"scrapes: {len(found.scrape_s)}, {typical * 1e3:.0f} ms, at most {slowest * 1e3:.0f} ms"
    yield f"/metrics: {found.body_bytes / 1e3:.0f} kB; resident memory of the workers: {memory}"
    lost = found.exemplars - found.traces
    yield f"exemplars: {len(found.exemplars)} traces, {len(lost)} of them not in the run directory"


def main(argv: list[str] | None = None) -> int:
    """Run it and print the comparison; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--users", type=int, default=8)
    options = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as directory,
        live(
            Path(directory), seconds=60 * options.minutes, users=options.users, scrape_every_s=5
        ) as (found, _),
    ):
        for line in table(found):
            print(line)
    differences = found.differences()
    for line in differences:
        print(f"DIFFERENT: {line}")
    return 1 if differences or found.exemplars - found.traces else 0


if __name__ == "__main__":
    sys.exit(main())
