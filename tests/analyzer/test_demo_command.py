"""``agentscope demo``: what it refuses, and that it stops everything however it ends."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agentscope.lab.scenarios import BOTTLENECKS, DEFAULT_SCENARIO, SCENARIOS
from agentscope_analyzer.commands import main
from agentscope_analyzer.commands.demo import _ramp_s


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scenario", "nope"], "there is no scenario 'nope'; choose from healthy, rate-limit"),
        (["--users", "0"], "--users is 0: it must be more than 0"),
        (["--ramp", "90"], "--ramp 90 is all of the load: give less, or a longer --duration"),
        (["--processes", "0"], "--processes is 0: it must be more than 0"),
        (["--think", "4,1"], "type --think 1,4"),
        (["--output", "taken"], "taken is not an empty directory; choose another --output"),
        (["--users", "100000000"], "100000000 users need 200000200 open files, the limit is"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, nothing started, nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if arguments[1] == "100000000" and limits[1] == resource.RLIM_INFINITY:
        pytest.skip("this system has no limit on open files")
    assert main(["demo", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (
            ("locust", "openai"),
            "the lab extra is needed: pip install 'agentscope-observability[lab]'",
        ),
        (
            ("duckdb", "locust"),
            (
                "the analyzer and lab extras are needed: "
                "pip install 'agentscope-observability[analyzer,lab]'"
            ),
        ),
    ],
)
def test_missing_extras_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: tuple[str, ...],
    said: str,
) -> None:
    """Before anything is started, and all of them: nobody installs twice."""

    def find_spec(name: str) -> object:
        return None if name in missing else object()

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == f"agentscope demo: error: {said}\n"


@pytest.mark.parametrize(
    ("duration_s", "users", "ramp_s"),
    [(75, 20, 37.5), (60, 20, 25), (25, 20, 5), (13, 20, 5), (600, 20, 60), (20, 2, 2), (4, 20, 2)],
)
def test_users_come_slowly_where_there_is_time_for_it(
    duration_s: float, users: int, ramp_s: float
) -> None:
    """All are there for 35 s; what is left shows how the service does with fewer."""
    assert _ramp_s(users, duration_s) == ramp_s


def test_the_list_has_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """And the help's default is the catalogue's."""
    assert main(["demo", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == [*SCENARIOS, *BOTTLENECKS]
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert f"(default: {DEFAULT_SCENARIO})" in capsys.readouterr().out


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


class Demo:
    """The command as a user's shell starts it: in a foreground group of its own."""

    def __init__(self, run_dir: Path, *arguments: str, **variables: str) -> None:
        self.run_dir = run_dir
        self.output = run_dir.with_suffix(".out")
        with self.output.open("wb") as output:
            command = [sys.executable, "-m", "agentscope_analyzer", "demo"]
            command += [
                "--output",
                str(run_dir),
                "--users",
                "6",
                "--ramp",
                "1",
                "--think",
                "0.2,0.5",
            ]
            self.process = subprocess.Popen(
                [*command, "--scenario", "healthy", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        self.started: set[psutil.Process] = set()

    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            self.look()
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        self.look()

    def wait_for_turns(self, count: int = 10) -> None:
        self.wait_until(lambda: self.turns() >= count)

    def turns(self) -> int:
        files = self.run_dir.glob("load-*.jsonl")
        return sum('"turn":null' not in line for file in files for line in _lines(file))

    def children(self, *, recursive: bool = False) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=recursive)
        except psutil.NoSuchProcess:
            return []

    def look(self) -> None:
        """Remember every process that it has started, itself or through others."""
        self.started.update(self.children(recursive=True))

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        os.killpg(self.process.pid, number)  # as the terminal does it

    def end(self, timeout_s: float = 60) -> int:
        code = self.process.wait(timeout=timeout_s)
        assert len(self.started) >= 3
        _, alive = psutil.wait_procs(self.started, timeout=5)
        assert [process.cmdline() for process in alive] == []
        return code


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    demos: list[Demo] = []

    def start(*arguments: str, **variables: str) -> Demo:
        demos.append(Demo(tmp_path / f"run{len(demos)}", *arguments, **variables))
        return demos[-1]

    yield start
    for one in demos:
        one.process.kill()
        one.process.wait()
        for process in one.started:
            if process.is_running():
                process.kill()


def test_ctrl_c_ends_the_load_early_and_the_report_still_comes(demo: Callable[..., Demo]) -> None:
    """What there is is analysed; nothing is left running, Locust's workers included."""
    run = demo("--duration", "600", "--processes", "2")
    run.wait_for_turns()
    run.interrupt()
    assert run.end() == 0, run.said()

    report = json.loads((run.run_dir / "report.json").read_text())
    assert report["run"]["turns"] == run.turns()
    assert len(list(run.run_dir.glob("load-*.jsonl"))) == 2
    assert {path.name for path in (run.run_dir / "logs").iterdir()} == {
        "agent.log",
        "locust.log",
        "mock-llm.log",
    }
    assert str(run.run_dir / "report.json") in run.said()
    assert str(run.run_dir / "report.html") in run.said()
    assert (run.run_dir / "report.html").read_text().startswith("<!doctype html>")


def test_a_second_ctrl_c_stops_at_once(demo: Callable[..., Demo]) -> None:
    """No report, the shell's exit code for an interrupt, nothing left running."""
    run = demo("--duration", "600", "--scenario", "slow-llm")
    run.wait_until(lambda: any(run.run_dir.glob("load-*.jsonl")))
    run.interrupt()
    time.sleep(0.3)
    run.interrupt()
    assert run.end(timeout_s=15) == 130, run.said()
    assert not (run.run_dir / "report.json").exists()
    assert "Traceback" not in run.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(demo: Callable[..., Demo], number: signal.Signals) -> None:
    """Before there is a load there is nothing to analyse: all of it stops."""
    run = demo("--duration", "600")
    run.wait_until(lambda: "starting the example agent" in run.said())
    run.wait_until(lambda: len(run.started) >= 3)
    run.interrupt(number)
    assert run.end(timeout_s=30) == 128 + number, run.said()
    assert "Traceback" not in run.said()


def test_sigterm_in_the_load(demo: Callable[..., Demo]) -> None:
    """Stops all of it, without a report."""
    run = demo("--duration", "600")
    run.wait_for_turns()
    run.interrupt(signal.SIGTERM)
    assert run.end(timeout_s=30) == 143, run.said()
    assert not (run.run_dir / "report.json").exists()


def test_a_part_that_dies_in_the_load(demo: Callable[..., Demo]) -> None:
    """One line with its last words, exit 1, the others stopped."""
    run = demo("--duration", "600")
    run.wait_for_turns()
    (agent,) = (process for process in run.children() if "uvicorn" in process.cmdline())
    agent.kill()
    assert run.end(timeout_s=40) == 1, run.said()
    last = run.said().splitlines()[-1]
    assert re.match(
        r"agentscope demo: error: the example agent ended in the middle of the run", last
    )


def test_a_part_that_cannot_start(demo: Callable[..., Demo]) -> None:
    """An agent without its database ends before it is ready; its log says why."""
    dsn = "postgresql://nobody@127.0.0.1:9/none"
    run = demo(AGENTSCOPE_EXAMPLE_DSN=dsn)
    assert run.process.wait(timeout=60) == 1
    last = run.said().splitlines()[-1]
    assert "agentscope demo: error: the example agent ended before it was ready" in last
    assert "Connect" in last
