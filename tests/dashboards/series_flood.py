"""What becomes of ``/metrics`` when callers choose every name they can: figures.

    python tests/dashboards/series_flood.py

A real service is asked with thousands of Host headers, paths, models that do not exist, tools and
a million sessions. Printed before and after: series, bytes, seconds of a scrape, memory; and
whether a route and a model that are real, and came last, can be seen.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agentscope.lab.scenarios import Component

HERE = Path(__file__).parent
AGENTSCOPE = Path(sys.executable).with_name("agentscope")
START_TIMEOUT_S = 60.0
SESSIONS_A_REQUEST = 10_000
SCRAPES = 5
REAL_MODEL = "gpt-real@profile=instant;out=1"


@dataclass(frozen=True)
class Seen:
    """One look at ``/metrics``, and at who serves it."""

    series: int
    size_bytes: int
    scrape_s: float
    """The middle one of a few."""
    memory_bytes: int
    values: dict[str, float]

    def counted(self, name: str, **labels: str) -> float:
        """The sum of all series of that name with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for series, value in self.values.items()
            if series.startswith(f"{name}{{") and all(one in series for one in wanted)
        )


def flood(
    directory: Path, *, names: int = 5_000, sessions: int = 1_000_000
) -> Iterator[tuple[str, Seen]]:
    """Look at ``/metrics`` before, after each kind of flood, and after a real request at last."""
    with ExitStack() as stack:
        model = Component(
            "mock LLM", [str(AGENTSCOPE), "mock-llm", "--port", "0", "--profile", "instant"],
            directory / "mock-llm.log",
        )  # fmt: skip
        stack.callback(model.stop, 5)
        model.start()
        variables = {**os.environ, "OPENAI_API_KEY": "sk-mock", "NO_PROXY": "127.0.0.1"}
        variables["OPENAI_BASE_URL"] = model.wait_ready(r"ready on (\S+)", START_TIMEOUT_S)[1]
        command = [sys.executable, "-m", "uvicorn", "flood_service:app", "--app-dir", str(HERE)]
        service = Component(
            "the service", [*command, "--port", "0", "--no-access-log"],
            directory / "service.log", variables=variables,
        )  # fmt: skip
        stack.callback(service.stop, 5)
        service.start()
        port = int(service.wait_ready(r"http://127\.0\.0\.1:(\d+)", START_TIMEOUT_S)[1])
        assert service.pid is not None
        caller = _Caller(port, service.pid)
        stack.callback(caller.connection.close)

        caller.get("/")
        caller.get(f"/ask?model={quote('gpt-first@profile=instant')}")
        caller.get("/use?tool=first")
        yield "before", caller.look()
        for number in range(names):
            caller.get("/", host=f"host-{number}.example")
        yield f"{names:,} Host headers", caller.look()
        for number in range(names):
            caller.get(f"/path-{number}", expected=404)
        yield f"{names:,} unknown paths", caller.look()
        for number in range(names):
            caller.get(f"/ask?model={quote(f'model-{number}@status=404')}")
        yield f"{names:,} models, each answered 404", caller.look()
        for number in range(names):
            caller.get(f"/use?tool=tool-{number}")
        yield f"{names:,} tools", caller.look()
        for first in range(0, sessions, SESSIONS_A_REQUEST):
            caller.get(f"/sessions?first={first}&number={min(SESSIONS_A_REQUEST, sessions)}")
        yield f"{sessions:,} sessions", caller.look()
        caller.get("/new/thing")
        caller.get(f"/ask?model={quote(REAL_MODEL)}")
        yield "a real route and a real model", caller.look()


class _Caller:
    def __init__(self, port: int, pid: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._process = psutil.Process(pid)

    def get(self, path: str, host: str = "", expected: int = 200) -> bytes:
        headers = {"host": host} if host else {}
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        assert response.status == expected, (path, response.status, body)
        return body

    def look(self) -> Seen:
        took = []
        for _ in range(SCRAPES):
            began_s = time.perf_counter()
            text = self.get("/metrics").decode()
            took.append(time.perf_counter() - began_s)
        values = {
            _written(sample): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        memory_bytes = self._process.memory_info().rss
        return Seen(len(values), len(text), sorted(took)[SCRAPES // 2], memory_bytes, values)


def _written(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}"


def main(argv: list[str] | None = None) -> int:
    """Print a line after each flood."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--names", type=int, default=5_000)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    options = parser.parse_args(argv)
    print(f"{'after':32} {'series':>8} {'kB':>8} {'scrape':>9} {'memory':>9}")
    with tempfile.TemporaryDirectory() as directory:
        for after, seen in flood(Path(directory), names=options.names, sessions=options.sessions):
            print(
                f"{after:32} {seen.series:8,} {seen.size_bytes / 1e3:8,.0f} "
                f"{seen.scrape_s * 1e3:6,.0f} ms {seen.memory_bytes / 1e6:6,.0f} MB"
            )
    route = seen.counted("http_server_request_duration_seconds_count", http_route="/new/{thing}")
    model = seen.counted(
        "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model=REAL_MODEL
    )
    turns = seen.counted("agentscope_turn_duration_seconds_count", route="chat")
    print(f"\nthe real route: {route:g} request; the real model: {model:g} call")
    print(f"turns counted: {turns:,.0f} of {options.sessions:,} sessions")
    print("folded into other:")
    for series, count in sorted(seen.values.items()):
        if series.startswith("agentscope_sdk_folded_total"):
            print(f"  {series.partition('{')[2][:-1]:60} {count:10,.0f}")
    return 0 if route == model == 1 and turns == options.sessions else 1


if __name__ == "__main__":
    sys.exit(main())
