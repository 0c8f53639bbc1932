"""What watching an idle service costs: CPU of a served app with agentscope, and of one without.

    python tests/benchmarks/sampler_cost.py [--seconds 600]

Nobody asks the services anything, so what they use above the bare one is what agentscope does all
the time: the event loop's watch, the collector's, the gauges once a second, the run directory.
Printed is CPU time of the process, as a share of one core, on asyncio and on uvloop. All run side
by side: a machine that is busy otherwise makes the watch look more often.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from agentscope.lab.postgres import EmbeddedPostgres

SETTLE_S = 5.0
APP = """
import os
from fastapi import FastAPI

app = FastAPI()
if os.environ.get("WATCHED"):
    import agentscope

    agentscope.instrument(app)
"""

VARIANTS = {
    "bare": {},
    "agentscope": {"WATCHED": "1"},
    "agentscope, sampling PostgreSQL": {"WATCHED": "1", "AGENTSCOPE_POSTGRES_DSN": "DSN"},
}


def main() -> None:
    """Start the services, wait, print the table."""
    parser = argparse.ArgumentParser(description="What watching an idle service costs.")
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "idle.py").write_text(APP)
        dsn = stack.enter_context(EmbeddedPostgres()).dsn
        served = {}
        for loop in ("asyncio", "uvloop"):
            for name, variables in VARIANTS.items():
                process = stack.enter_context(_serving(folder, loop, variables, dsn))
                stack.callback(process.terminate)
                served[loop, name] = process
        time.sleep(SETTLE_S)
        before = {key: _cpu_s(process) for key, process in served.items()}
        started_s = time.monotonic()
        time.sleep(seconds)
        passed_s = time.monotonic() - started_s
        shares = {
            key: (_cpu_s(process) - before[key]) / passed_s for key, process in served.items()
        }
    print(f"{'share of one core':<34}{'asyncio':>10}{'uvloop':>10}")
    for name in VARIANTS:
        print(f"{name:<34}{shares['asyncio', name]:>10.3%}{shares['uvloop', name]:>10.3%}")


def _serving(
    folder: Path, loop: str, variables: dict[str, str], dsn: str
) -> subprocess.Popen[bytes]:
    run_dir = tempfile.mkdtemp(dir=folder)
    given = {name: dsn if value == "DSN" else value for name, value in variables.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "idle:app", "--port", "0", "--loop", loop],
        cwd=folder,
        env={**os.environ, "AGENTSCOPE_RUN_DIR": run_dir, **given},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
