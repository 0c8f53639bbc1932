"""The load generator's own metrics, scraped from Locust while it runs."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentscope import conventions as c
from agentscope.lab.load.lines import RequestLine
from agentscope.lab.load.metrics import RequestCounts, outcome_of
from agentscope.lab.load.runner import LoadPlan
from agentscope.lab.load.settings import parse_address

LINE = RequestLine(
    t_intended=0, t_start=0, duration_s=0.5, ttfb_s=0.1, name="POST /x", session="s", turn=1,
    status=200, error=None, bytes=2, trace_id=None, user="u", stage="one",
)  # fmt: skip

Samples = dict[tuple[str, ...], float]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def locust(plan: LoadPlan, port: int) -> Iterator[subprocess.Popen[str]]:
    """Locust as a user starts it, gone when the test is."""
    command = [*plan.command(), "--metrics-port", str(port)]
    running = subprocess.Popen(
        command, env=plan.environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=30)


def scrape(port: int) -> Samples:
    """Every sample by its name and label values; empty while nobody serves."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (URLError, ConnectionError):
        return {}
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrapes(running: subprocess.Popen[str], port: int) -> Iterator[tuple[float, float, Samples]]:
    """Scrapes five times a second until Locust ends, with when each began and ended."""
    while running.poll() is None:
        begun_s = time.time()
        if found := scrape(port):
            yield begun_s, time.time(), found
        time.sleep(0.2)


def ended(run_dir: Path, by_s: float) -> Counter[str]:
    lines = [
        json.loads(line)
        for file in run_dir.glob("load-*")
        for line in file.read_text().splitlines()
    ]
    done = [line for line in lines if line["t_start"] + line["duration_s"] <= by_s]
    return Counter(outcome_of(RequestLine(**line)) for line in done)


def test_a_scrape_tells_users_stage_and_requests(echo_agent: Any, tmp_path: Path) -> None:
    """Two stages, one after the other; each request that has ended is counted once."""
    script = tmp_path / "scripts.json"
    script.write_text(json.dumps([["hello", "too many", "break", "nothing"]]))
    port = free_port()
    plan = LoadPlan(
        host=echo_agent.url, run_dir=tmp_path / "run", script=script,
        stages="few=1:2s,more=3:2s", spawn_rate=10, think_s=(0.05, 0.1),
    )  # fmt: skip
    with locust(plan, port) as running:
        seen = list(scrapes(running, port))
    stages = [
        {key[1] for key in found if key[0] == "agentscope_load_stage"} for _, _, found in seen
    ]
    assert [
        one for one, before in zip(stages, [set(), *stages], strict=False) if one != before
    ] in (
        [{"few"}, {"more"}],
        [{"few"}, {"more"}, set()],  # it is served until Locust quits: the run itself is over
    )
    assert max(found["agentscope_load_users",] for _, _, found in seen) == 3
    begun_s, ended_s, last = seen[-1]
    outcomes: Counter[str] = Counter()
    for (name, *labels), value in last.items():
        if name == "agentscope_load_requests_total":
            outcomes[labels[1]] += int(value)
    assert ended(plan.run_dir, begun_s) <= outcomes <= ended(plan.run_dir, ended_s + 0.1)
    assert set(outcomes) >= {"ok", "429", "5xx", "content"}
    turns = "POST /api/sessions/[id]/messages"
    duration = "agentscope_load_request_duration_seconds"
    count = last[f"{duration}_count", turns]
    assert count == last[f"{duration}_bucket", "+Inf", turns] > 0
    assert 0 < last[f"{duration}_sum", turns] < 5 * count
    assert {key[0] for key in last} == {
        name
        for metric in c.LOAD_METRICS.values()
        for name in (
            (f"{metric.prometheus_name}{part}" for part in ("_bucket", "_count", "_sum"))
            if metric.instrument == "histogram"
            else (metric.prometheus_name,)
        )
    } - ({"agentscope_load_stage"} if stages[-1] == set() else set())


def test_a_master_serves_the_sums_over_its_workers(echo_agent: Any, tmp_path: Path) -> None:
    """Two processes: what the master tells is what both of them wrote, three seconds late."""
    port = free_port()
    plan = LoadPlan(
        host=echo_agent.url, run_dir=tmp_path / "run",
        users=4, spawn_rate=4, duration_s=6, think_s=(0.05, 0.1), processes=2,
    )  # fmt: skip
    with locust(plan, port) as running:
        seen = list(scrapes(running, port))
    begun_s, ended_s, last = seen[-1]
    told = sum(value for key, value in last.items() if key[0] == "agentscope_load_requests_total")
    files = list(plan.run_dir.glob("load-*"))
    assert len(files) == 2
    least = max(len(file.read_text().splitlines()) for file in files)
    assert told > least  # more than either of the two
    assert ended(plan.run_dir, begun_s - 4).total() <= told
    assert told <= ended(plan.run_dir, ended_s).total()
    assert max(found["agentscope_load_users",] for _, _, found in seen) == 4


def test_a_port_that_is_taken_is_said_in_one_line(echo_agent: Any, tmp_path: Path) -> None:
    """No run without the metrics that were asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with locust(LoadPlan(host=echo_agent.url, run_dir=tmp_path, duration_s=5), port) as running:
            _, said = running.communicate(timeout=30)
    assert said.splitlines()[-1] == (
        f"--metrics-port 127.0.0.1:{port}: Address already in use; take another one"
    )
    assert running.returncode == 1
    assert list(tmp_path.glob("load-*")) == []


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (200, None, "ok"),
        (429, "Rate limited", "429"),
        (404, "Status 404", "4xx"),
        (503, "Status 503", "5xx"),
        (200, "Empty response from agent", "content"),
        (0, "ConnectionRefusedError", "no_answer"),
        (0, "unfinished", "unfinished"),
    ],
)
def test_outcomes_are_told_apart_in_seven_words(
    status: int, error: str | None, outcome: str
) -> None:
    """An error's own text may hold anything, so it is no label."""
    assert outcome_of(replace_line(status=status, error=error)) == outcome


def replace_line(**changes: Any) -> RequestLine:
    fields = {name: getattr(LINE, name) for name in LINE.__struct_fields__}
    return RequestLine(**{**fields, **changes})


def test_what_one_process_takes_another_merges() -> None:
    """Nothing is counted twice, and a request that was cut off has no duration."""
    worker, master = RequestCounts(), RequestCounts()
    for duration_s, error in ((0.1, None), (0.15, None), (1000.0, "Late"), (3.0, "unfinished")):
        worker.add(replace_line(duration_s=duration_s, error=error))
    sent = json.loads(json.dumps(worker.take()))
    assert worker == RequestCounts()
    master.merge(sent)
    master.merge(worker.take())
    assert master == RequestCounts(
        requests={("POST /x", "ok"): 2, ("POST /x", "content"): 1, ("POST /x", "unfinished"): 1},
        durations={"POST /x": [1, 1, *[0] * (len(c.TURN_BUCKETS) - 2), 1]},
        sums_s={"POST /x": pytest.approx(1000.25)},
    )


def test_an_address_is_a_port_with_or_without_a_host() -> None:
    """Loopback unless the user says otherwise."""
    assert parse_address("9646") == ("127.0.0.1", 9646)
    assert parse_address("0.0.0.0:9646") == ("0.0.0.0", 9646)


@pytest.mark.parametrize("text", ["", "0", "65536", "nine", "host:", "-1", "²"])
def test_what_is_no_port_is_refused(text: str) -> None:
    """The message shows what to type."""
    with pytest.raises(ValueError, match="is not a port such as 9646"):
        parse_address(text)
