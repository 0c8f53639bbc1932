"""Several processes of one service: a file and an instance each, nothing lost, nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.gathering import gather
from agentscope_analyzer.ingest import open_run

SERVICE = """
import os
from fastapi import FastAPI
import agentscope

app = FastAPI()
agentscope.instrument(app)
handled = os.open("handled", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@app.post("/chats/{session_id}")
async def message(session_id: str):
    with agentscope.phase("plan"):
        os.write(handled, b"x")
    return {"pid": os.getpid()}
"""
GUNICORN = (
    "-m",
    "gunicorn",
    "service:app",
    "--bind",
    "127.0.0.1:PORT",
    "--worker-class",
    "asgi",
    "--no-control-socket",
    "--log-level",
    "warning",
)
UVICORN = ("-m", "uvicorn", "service:app", "--port", "PORT")


def ask(service: Any, requests: int) -> Counter[int]:
    """Send requests from a few clients at a time; returns how many each process answered."""

    def one(number: int) -> int:
        for _ in range(50):  # a worker that is about to end may close a connection unanswered
            try:
                return int(client.post(f"/chats/s{number}").json()["pid"])
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(service.errors())

    fresh = httpx.Limits(max_keepalive_connections=0)  # so that every worker gets some
    with (
        httpx.Client(base_url=service.url, timeout=30, limits=fresh, verify=False) as client,
        ThreadPoolExecutor(4) as callers,
    ):
        return Counter(callers.map(one, range(requests)))


def pid_of(instance: str) -> int:
    return int(instance.partition("-")[0])


def one_file_each(service: Any) -> bool:
    """Whether each process that served wrote its files, and their parent, which did not, none."""
    instances = {manifest["instance"] for manifest in service.manifests()}
    files = Counter(file.name.partition("-")[0] for file in service.run.iterdir())
    return service.process.pid not in {pid_of(instance) for instance in instances} and (
        files == dict.fromkeys(("manifest", "metrics", "traces"), len(instances))
    )


def test_workers_of_a_parent_that_has_imported_the_service(serve: Callable[..., Any]) -> None:
    """Each of them records for itself; the parent, which serves nobody, does not."""
    service = serve(SERVICE, sys.executable, *GUNICORN, "--workers", "2", "--preload")
    answered = ask(service, 60)
    service.wait_for_processes(2)
    assert service.end(signal.SIGTERM) == 0
    assert Counter(pid_of(turn["instance"]) for turn in service.turns()) == answered
    assert one_file_each(service)


def test_a_service_that_is_reloaded_goes_on_in_another_file(serve: Callable[..., Any]) -> None:
    """What the process before had recorded is complete."""
    service = serve(SERVICE, sys.executable, *UVICORN, "--reload", "--reload-delay", "0.1")
    first = ask(service, 20)
    (service.run.parent / "service.py").write_text(SERVICE + "\n")
    deadline = time.monotonic() + 20
    while (second := ask(service, 1)).keys() == first.keys():
        first += second
        assert time.monotonic() < deadline
    service.end(signal.SIGTERM)
    assert Counter(pid_of(turn["instance"]) for turn in service.turns()) == first + second
    assert all(manifest["ended_ns"] for manifest in service.manifests())


LIMIT = 150
"""Requests after which gunicorn replaces a worker."""


def both_stay(service: Any, since_ns: int) -> bool:
    """Whether two workers live that are not about to be replaced, as they said after ``since_ns``.

    One that gunicorn tells to end while it boots does not hear of it, and is killed.
    """
    living = [manifest for manifest in service.manifests() if manifest["ended_ns"] is None]
    return len(living) == 2 and all(
        one["updated_ns"] > since_ns and one["ledger"][0]["created"] < 2 * LIMIT for one in living
    )


def test_recycled_workers_lose_nothing_and_leave_the_gauges(serve: Callable[..., Any]) -> None:
    """Two workers, hundreds of requests, workers replaced in between: every count is exact."""
    recycling = ("--workers", "2", "--max-requests", str(LIMIT), "--graceful-timeout", "10")
    service = serve(SERVICE, sys.executable, *GUNICORN, *recycling)
    answered: Counter[int] = Counter()
    while len(answered) < 3:
        answered += ask(service, 50)
        assert answered.total() < 20_000
    last_ns, deadline = time.time_ns(), time.monotonic() + 60
    while not both_stay(service, last_ns):
        time.sleep(0.05)
        assert time.monotonic() < deadline, service.errors()
    service.end(signal.SIGTERM)
    handled = (service.run.parent / "handled").stat().st_size
    assert handled >= answered.total()
    spans = service.spans()
    assert len(service.turns()) == handled
    assert one_file_each(service)
    assert len({span["spanId"] for span in spans}) == len(spans)
    with open_run(service.run) as run:
        attribute(run.engine)
        facts = gather(
            run.engine, manifest=run.manifest, manifests=run.manifests, rejected=run.rejected
        )
        served = run.engine.rows(
            "SELECT sum(n) FROM (SELECT max(count) AS n FROM metrics"
            " WHERE name = 'agentscope.turn.duration' GROUP BY instance, attrs)"
        )
        last = run.engine.rows(
            "SELECT instance, max(time_ns), arg_max(value, time_ns) FROM metrics"
            " WHERE name = 'agentscope.turns.active' GROUP BY instance"
        )
    assert served == [(handled,)]
    ended = {manifest["instance"]: manifest["ended_ns"] for manifest in run.manifests}
    assert {instance for instance, _, _ in last} == ended.keys()
    # After its end a process has no point: whoever adds up the living does not count it.
    assert all(time_ns <= ended[instance] for instance, time_ns, _ in last)
    assert {turns for _, _, turns in last} == {0}
    assert (facts.unfinished, facts.cut_off, run.manifest["complete"]) == (0, [], True)


FAMILY = """
import multiprocessing, os, sys
import agentscope

def turns(name, number):
    for _ in range(number):
        with agentscope.turn(name):
            pass

def child():
    agentscope.instrument()
    turns("child", 50)

if __name__ == "__main__":
    agentscope.instrument()
    turns("parent", 10)
    if sys.argv[1] == "os.fork":
        for _ in range(2):
            if not os.fork():
                turns("child", 50)
                sys.exit()
        for _ in range(2):
            os.wait()
    else:
        context = multiprocessing.get_context(sys.argv[1])
        children = [context.Process(target=child) for _ in range(2)]
        for one in children:
            one.start()
        for one in children:
            one.join()
    turns("parent", 10)
"""


@pytest.mark.parametrize("method", ["os.fork", "fork", "spawn", "forkserver"])
def test_children_of_a_recording_process_record_for_themselves(tmp_path: Path, method: str) -> None:
    """However they are made: their own file, and none of the parent's spans in it."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    run = tmp_path / "run"
    subprocess.run(
        [sys.executable, str(script), method],
        env={"AGENTSCOPE_RUN_DIR": str(run), "AGENTSCOPE_TESTING_RAISE": "1"},
        timeout=60,
        check=True,
    )
    files = [
        Counter(
            span["name"]
            for line in file.read_text().splitlines()
            for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
            if span["name"] != "gc.pause"
        )
        for file in run.glob("traces-*.jsonl")
    ]
    assert sorted(files, key=str) == [{"child": 50}, {"child": 50}, {"parent": 20}]
    manifests = [json.loads(file.read_text()) for file in run.glob("manifest-*.json")]
    assert len({manifest["pid"] for manifest in manifests}) == len(manifests) == 3
    assert all(manifest["ended_ns"] for manifest in manifests)
