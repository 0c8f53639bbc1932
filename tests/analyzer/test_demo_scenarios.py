"""The five scenarios, end to end: the analysis finds what each one plants."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

PLANTED = {
    "healthy": {None},
    "rate-limit": {"llm.rate_limit"},
    "slow-llm": {"llm.generation", "llm.first_token"},
    "db-pool": {"db.pool"},
    "event-loop": {"runtime.event_loop"},
}

QUICK = ("healthy", "rate-limit", "event-loop")
"""Those that every test run makes; the others are ``make proofs``."""

CASES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.proofs) for name in PLANTED]


def run_demo(scenario: str, run_dir: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "agentscope_analyzer", "demo", "--output", str(run_dir)]
    done = subprocess.run(
        [*command, "--scenario", scenario, "--duration", "25"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    report: dict[str, Any] = json.loads((run_dir / "report.json").read_text())
    return report


@pytest.mark.parametrize("scenario", CASES)
def test_the_verdict_names_what_was_planted(scenario: str, tmp_path: Path) -> None:
    """Twenty users for 25 s are enough; every turn that Locust saw is in the report."""
    run_dir = tmp_path / "run"
    report = run_demo(scenario, run_dir)

    assert report["verdict"]["cause"] in PLANTED[scenario], report["verdict"]
    files = run_dir.glob("load-*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    sent = Counter(line["trace_id"] for line in lines if line["turn"] is not None)
    assert report["run"]["turns"] == len(sent)
    assert max(sent.values()) == 1
    # The scenario's name is nowhere that the analyzer reads.
    told = [*run_dir.glob("manifest*.json"), *run_dir.glob("load-*.jsonl")]
    assert [path.name for path in told if scenario in path.read_text()] == []
