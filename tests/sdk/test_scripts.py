"""Processes without a server: what they recorded is on disk when they end, however they end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ENDINGS = {
    "the end of the file": ("", 0),
    "asyncio.run": (
        """
import asyncio
async def main():
    with agentscope.turn("job"):
        await asyncio.sleep(0)
asyncio.run(main())
""",
        0,
    ),
    "sys.exit in a turn": (
        """
import sys
with agentscope.turn("job"):
    sys.exit(3)
""",
        3,
    ),
    "an exception": (
        """
with agentscope.turn("job"):
    raise SystemError
""",
        1,
    ),
    "a worker pool": (
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
def work(number):
    with agentscope.turn("job"):
        pass
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    list(pool.map(work, range(4)))
""",
        0,
    ),
}
JOBS = {"the end of the file": 1, "a worker pool": 5}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_script_that_ends_has_delivered(tmp_path: Path, ending: str) -> None:
    """Nobody has to call ``shutdown()``; exit codes and stderr stay what they were."""
    run = tmp_path / "run"
    code, exit_code = ENDINGS[ending]
    first = 'import agentscope\nagentscope.instrument()\nwith agentscope.turn("job"):\n    pass\n'
    done = subprocess.run(
        [sys.executable, "-c", first + code],
        env={"AGENTSCOPE_RUN_DIR": str(run), "AGENTSCOPE_TESTING_RAISE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == exit_code
    assert "agentscope" not in done.stderr
    names = Counter(
        span["name"]
        for file in run.glob("traces-*.jsonl")
        for line in file.read_text().splitlines()
        for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    )
    assert names["job"] == JOBS.get(ending, 2)
    manifests = [json.loads(file.read_text()) for file in run.glob("manifest-*.json")]
    assert all(manifest["ended_ns"] for manifest in manifests)
    created = sum(manifest["ledger"][0]["created"] for manifest in manifests)
    assert created == sum(names.values())


def test_a_process_that_recorded_nothing_leaves_nothing(tmp_path: Path) -> None:
    """The parent of workers is no instance of the service."""
    run = tmp_path / "run"
    code = "import agentscope\nagentscope.instrument()"
    environment = {"AGENTSCOPE_RUN_DIR": str(run)}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=True)
    assert list(run.iterdir()) == []
