"""``agentscope`` as a newcomer types it: every mistake is one line that says what to type."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.commands import COMMANDS, demo, main

TRACE = """\
{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{},"spans":[
{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"POST /chats",
"kind":2,"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000002000000000",
"attributes":[{"key":"agentscope.turn","value":{"boolValue":true}}]}]}]}]}
""".replace("\n", "")


def typed(line: str) -> int:
    """What a shell would make of the line; the exit code."""
    program, *words = shlex.split(line)
    assert program == "agentscope"
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with one run in ``runs/today``."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "today"
    run.mkdir(parents=True)
    (run / "traces-1.jsonl").write_text(TRACE + "\n")
    return tmp_path


def test_alone_it_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer types the name and sees what there is; a script sees that it was wrong."""
    assert main([]) == 2
    told = capsys.readouterr().err
    assert all(command.name in told for command in COMMANDS)


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The first question of every report of a fault."""
    assert typed("agentscope --version") == 0
    version = importlib.metadata.version("agentscope-observability")
    assert capsys.readouterr().out == f"agentscope {version}\n"


TRANSCRIPT = """\
$ agentscope analize runs/today
agentscope: error: there is no command 'analize', did you mean analyze?; agentscope -h says more
$ agentscope zzz
agentscope: error: there is no command 'zzz'; agentscope -h says more
$ agentscope --quiet
agentscope: error: there is no option --quiet; agentscope -h
$ agentscope analyze runs/today --htlm x
agentscope analyze: error: there is no option --htlm, did you mean --html?; agentscope analyze -h says more
$ agentscope trace --slwest
agentscope trace: error: there is no option --slwest, did you mean --slowest?
$ agentscope analyze a b
agentscope analyze: error: 'b' is one argument too many;
$ agentscope analyze runs/today --html
agentscope analyze: error: --html needs its value: --html FILE;
$ agentscope analyze runs/today --targ 3
agentscope analyze: error: there is no option --targ, did you mean --target-p
$ agentscope analyze runs/today --target-p95 fast
agentscope analyze: error: --target-p95: 'fast' is not a number of seconds above 0;
$ agentscope mock-llm --rpm many
agentscope mock-llm: error: --rpm: 'many' is not a whole number; agentscope mock-llm -h says more
$ agentscope trace runs/today --p95 --slowest
agentscope trace: error: --slowest: not allowed with argument --p95;
$ agentscope dashboards
agentscope dashboards: error: ACTION is missing, as in agentscope dashboards export grafana; agentscope dashboards -h says more
$ agentscope dashboards exprt x
agentscope dashboards: error: there is no action 'exprt', did you mean export?;
$ agentscope dashboards export
agentscope dashboards export: error: DIR is missing, as in agentscope dashboards export grafana; agentscope dashboards export -h says more
$ agentscope record --sevice x -- true
agentscope record: error: there is no option --sevice, did you mean --service?;
$ agentscope demo --duration -1
agentscope demo: error: --duration: '-1' is not a number of seconds above 0;
$ agentscope analyze
agentscope analyze: error: no run is named: type agentscope analyze runs/today --fail-on "p95_s > 8"
$ agentscope trace
agentscope trace: error: no run is named: type agentscope trace runs/today --slowest
$ agentscope analyze ''
agentscope analyze: error: the name of the run is empty: type
$ agentscope trace todya
agentscope trace: error: todya does not exist; did you mean runs/today?
$ agentscope trace nowhere
agentscope trace: error: nowhere does not exist; name a run directory, such as runs/today
$ agentscope analyze runs
agentscope analyze: error: runs holds runs, not telemetry; name one, such as runs/today
$ agentscope analyze runs/today --limit 1/hour
agentscope analyze: error: cannot read '1/hour': write RESOURCE=N/UNIT, as in llm.requests=150/min;
$ agentscope analyze runs/today --fail-on 'p97_s > 8'
agentscope analyze: error: no figure is called 'p97_s': did you mean turns.p9
$ agentscope analyze runs/today --html no/r.html
agentscope analyze: error: cannot write no/r.html: there is no folder
$ agentscope analyze runs/today --html r --json r
agentscope analyze: error: --json and --html both name r; give each its own file
"""
"""What is typed, and how the answer begins."""
MISTAKES = [said.split("\n")[:2] for said in TRANSCRIPT.split("$ ")[1:]]


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line_of_the_verb_that_cannot_use_it(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    said: str,
) -> None:
    """Exit code 2, and nothing is read or written before it is said."""
    from agentscope_analyzer import report

    monkeypatch.setattr(report, "attribute", lambda *_: pytest.fail("analysed first"))
    assert typed(line) == 2
    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert (told.err.count("\n"), told.out) == (1, "")
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_where_files_went_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: standard output has the report."""
    files = "--json r.json --html r.html --markdown r.md"
    assert typed(f"agentscope analyze runs/today {files}") == 0
    assert capsys.readouterr().err.splitlines() == [
        f"agentscope analyze: wrote {name}" for name in ("r.json", "r.html", "r.md")
    ]
    assert all((here / name).stat().st_size for name in ("r.json", "r.html", "r.md"))


def test_a_run_without_an_id_is_called_by_its_time(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other recorders give runs no name, and nobody wants to read that."""
    assert typed("agentscope analyze runs/today --html r.html --markdown r.md") == 0
    called = "run of 2026-09-21 14:13 UTC"
    assert capsys.readouterr().out.startswith(f"{called}: 1 turn ")
    assert called in (here / "r.html").read_text()
    assert f"{called} · 1 turn" in (here / "r.md").read_text()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_help_ends_with_an_example(
    here: Path, capsys: pytest.CaptureFixture[str], command: Any
) -> None:
    """Of the newest run that is there, so that it can be pasted."""
    (here / "runs" / "today").rename(here / "runs" / "a run")
    assert typed(f"agentscope {command.name} --help") == 0
    example = capsys.readouterr().out.splitlines()[-1].removeprefix("example: ")
    assert example == command.example.replace("runs/today", "'runs/a run'")


@pytest.mark.parametrize("name", ["analyze", "trace", "questions", "dashboards"])
def test_the_examples_work_as_they_stand(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Pasted, they end well and print something."""
    assert typed(_example(name)) == 0
    told = capsys.readouterr()
    assert told.out
    assert "error" not in told.err


def test_the_demos_example_works(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plan does; that every scenario runs is held elsewhere."""
    planned = []
    monkeypatch.setattr(demo, "_load", lambda scenario, plan, *_: planned.append((scenario, plan)))
    monkeypatch.setattr(demo, "_report", lambda *_: None)
    assert typed(_example("demo")) == 0
    ((scenario, plan),) = planned
    assert (scenario.name, plan.users, plan.duration_s) == ("db-pool", 20, 75)


def test_the_mock_llms_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port may be another program's here, so it is read and not bound."""
    served = []
    monkeypatch.setattr(
        "agentscope.lab.mock_llm.serve", lambda settings, _: served.append(settings)
    )
    assert typed(_example("mock-llm")) == 0
    assert [(one.rpm, one.port) for one in served] == [(60, 8089)]


def test_the_example_of_record_records(here: Path) -> None:
    """Twice in a row: each recording has a folder of its own."""
    (here / "app.py").write_text(
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef hello(): return {}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "agentscope_analyzer", *shlex.split(_example("record"))[1:]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "UVICORN_PORT": str(port), "PATH": path}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as recording:
        try:
            _wait_for(lambda: _answers(f"http://127.0.0.1:{port}/"))
        finally:
            recording.send_signal(signal.SIGTERM)
        said = recording.stderr.read() if recording.stderr is not None else ""
    (run,) = (here / "runs").glob("record-*")
    assert f"next: agentscope analyze runs/{run.name}" in said
    manifests = [json.loads(file.read_text()) for file in run.glob("manifest-*.json")]
    assert len(manifests) == 2


def _example(name: str) -> str:
    (command,) = (command for command in COMMANDS if command.name == name)
    return command.example


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _wait_for(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
