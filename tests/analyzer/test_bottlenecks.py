"""Small services with one bottleneck each, under Locust: found by name, and missed in the twin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentscope.lab.scenarios import BOTTLENECKS

FOUND = {
    "lock": ("binds", "wait.lock", "bottlenecks/lock.py:20"),
    "threadpool": ("binds", "runtime.threadpool", "all 4 worker threads of 'anyio' in use"),
    "sync-client": ("binds", "runtime.event_loop", "ask_blocking (sync_client.py:20)"),
    "slow-query": ("binds", "db.query", "'SELECT notes'"),
    "held-connection": ("binds", "db.pool", "held at held_connection.py:30"),
    "collector": ("binds", "runtime.gc", "send_message (collector.py:20)"),
    "interpreter": ("binds", "runtime.cpu", "'execute_tool find_article'"),
    "upstream": ("binds", "http.upstream", "service '127.0.0.1:"),
    "connections": ("binds", "llm.connection", "all 2 connections to '127.0.0.1:"),
    # It is slow for a single user too, and the targets are met: watched, not bound.
    "slow-tool": ("watch", "tool.execution", "'run_report'"),
    "cpu-quota": ("binds", "runtime.throttled", "CPU quota of 0.1 cores"),
}
"""Scenario → what kind of finding, of which cause, that names what."""

QUICK = ("threadpool",)
"""What every test run makes; the others are ``make proofs``."""

CASES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.proofs) for name in FOUND]


def report_of(run_dir: Path, *options: str) -> dict[str, Any]:
    """The report of a quarter of a minute's load of 20 users."""
    command = [sys.executable, "-m", "agentscope_analyzer", "demo", "--output", str(run_dir)]
    done = subprocess.run(
        [*command, *options, "--duration", "13"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    if "no CPU quota can be set" in done.stdout:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout
    report: dict[str, Any] = json.loads((run_dir / "report.json").read_text())
    return report


def test_every_bottleneck_has_its_truth() -> None:
    """The catalogue and this file name the same services."""
    assert set(FOUND) == set(BOTTLENECKS)


@pytest.mark.parametrize("scenario", CASES)
def test_the_finding_names_cause_and_culprit(scenario: str, tmp_path: Path) -> None:
    """One finding has the planted cause, and its words or evidence name the resource or the line."""
    report = report_of(tmp_path / "run", "--scenario", scenario)

    kind, cause, named = FOUND[scenario]
    said = [finding for finding in report["findings"] if finding["kind"] != "ruled_out"]
    (finding,) = (each for each in said if each["cause"] == cause)
    assert finding["kind"] == kind, report["verdict"]
    assert named in json.dumps(finding, ensure_ascii=False) + report["verdict"]["statement"]
    if kind == "binds":
        assert report["verdict"]["cause"] == cause, report["verdict"]


@pytest.mark.proofs
@pytest.mark.parametrize("scenario", FOUND)
def test_nothing_is_claimed_of_the_healthy_twin(scenario: str, tmp_path: Path) -> None:
    """The same service and load without the bottleneck: nothing binds, nothing planted is watched."""
    report = report_of(tmp_path / "run", "--scenario", scenario, "--healthy")

    said = [finding for finding in report["findings"] if finding["kind"] != "ruled_out"]
    assert report["verdict"]["cause"] is None, report["verdict"]
    assert FOUND[scenario][1] not in {finding["cause"] for finding in said}
