"""``agentscope record``: services that know nothing of us, recorded; other commands left alone."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.commands import main

AGENT = """
import sys
import httpx2
import openai
from fastapi import FastAPI

answer = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}
transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
model = openai.AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient(transport=transport))
app = FastAPI()

@app.post("/chats/{session_id}")
async def message(session_id: str):
    question = {"role": "user", "content": "hi"}
    await model.chat.completions.create(model="gpt-4o-mini", messages=[question])

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=int(sys.argv[1]))
"""
SERVICE = """
from fastapi import FastAPI

app = FastAPI()

@app.post("/chats/{session_id}")
async def message(session_id: str):
    return {}
"""
RECORD = (sys.executable, "-m", "agentscope_analyzer", "record", "--run-dir", "run", "--")
UVICORN = ("-m", "uvicorn", "service:app", "--port", "PORT")
GUNICORN = ("service:app", "-b", "127.0.0.1:PORT", "-k", "asgi", "--no-control-socket")
ADVICE = "pip install agentscope-observability there"
NOTHING = "nothing was recorded"


def record(folder: Path, *command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Record a command that ends by itself."""
    return subprocess.run(
        [*RECORD, *command],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False, **more,
    )  # fmt: skip


def test_an_agent_that_knows_nothing_of_us_is_recorded(serve: Callable[..., Any]) -> None:
    """Turns with their sessions and model calls; no path that it did not have before."""
    service = serve(AGENT, *RECORD, sys.executable, "service.py", "PORT")
    for number in range(10):
        service.client.post(f"/chats/s{number}").raise_for_status()
    assert service.client.get("/metrics").status_code == 404
    assert service.end(signal.SIGTERM) == -signal.SIGTERM
    named = Counter(span["name"] for span in service.spans())
    expected = {"POST /chats/{session_id}": 10, "chat gpt-4o-mini": 10, "POST": 10, "GET": 1}
    assert {name: named[name] for name in expected} == expected
    sessions = {turn["attributes"]["gen_ai.conversation.id"] for turn in service.turns()}
    assert sessions == {f"s{number}" for number in range(10)}
    spans = len(service.spans())
    assert service.errors().splitlines()[-1] == (
        f"agentscope record: {spans} spans of 1 process; next: agentscope analyze run"
    )


@pytest.mark.parametrize(
    ("command", "processes"),
    [
        ((*UVICORN, "--workers", "2"), 2),
        (("-m", "gunicorn", *GUNICORN, "--workers", "2", "--preload"), 2),
    ],
    ids=["uvicorn --workers", "gunicorn --preload"],
)
def test_its_workers_record_themselves_and_nobody_else_does(
    serve: Callable[..., Any], command: tuple[str, ...], processes: int
) -> None:
    """Three files for each process that serves, none for those that start them."""
    service = serve(SERVICE, *RECORD, sys.executable, *command)
    for _ in range(10):
        service.client.post("/chats/s").raise_for_status()
    service.wait_for_processes(processes)
    assert service.end(signal.SIGTERM) == 0
    named = Counter(span["name"] for span in service.spans())
    assert named["POST /chats/{session_id}"] == 10
    assert len(service.manifests()) == processes
    assert len(list(service.run.iterdir())) == 3 * processes
    assert f"of {processes} process" in service.errors()


INSTRUMENTED = """
from fastapi import FastAPI
import agentscope

app = FastAPI()
agentscope.instrument(app, session="header:x-chat")

@app.post("/chats/{session_id}")
async def message(session_id: str):
    with agentscope.phase("plan"):
        return {}
"""


def test_a_service_that_instruments_itself_is_recorded_once_and_as_it_says(
    serve: Callable[..., Any],
) -> None:
    """Its own settings win."""
    command = (sys.executable, *UVICORN)
    service = serve(INSTRUMENTED, *RECORD, *command, environment={"AGENTSCOPE_PROMETHEUS": "1"})
    service.client.post("/chats/s1", headers={"x-chat": "c1"}).raise_for_status()
    assert service.client.get("/metrics").status_code == 200
    assert service.end(signal.SIGINT) == 0
    (turn,) = service.turns()
    assert turn["attributes"]["gen_ai.conversation.id"] == "c1"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("kill -KILL $$", -9), ("kill -TERM $$", -15)]
)
def test_the_command_ends_as_it_would_alone(tmp_path: Path, command: str, code: int) -> None:
    """Exit code or signal; and a clear word that it was no service."""
    done = record(tmp_path, "sh", "-c", f"echo out; echo err >&2; {command}")
    assert (done.returncode, done.stdout) == (code, "out\n")
    assert "err" in done.stderr.splitlines()
    assert f"{NOTHING}, so run is removed: the command served no" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only what the recording made is taken away again, folders above it included."""
    (tmp_path / "kept").mkdir()
    for run in (tmp_path / "kept", tmp_path / "made" / "here"):
        assert main(["record", "-o", str(run), "--", "true"]) == 0
    said = capfd.readouterr().err
    assert f"{NOTHING}: the command" in said
    assert f"{NOTHING}, so {tmp_path / 'made' / 'here'} is removed: " in said
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_is_passed_on(tmp_path: Path, sent: signal.Signals) -> None:
    """The command decides what it does with it, as often as it comes."""
    script = (
        "import signal, sys, time\n"
        f"got = []\nsignal.signal({sent.value}, lambda *a: got.append(a))\n"
        "print('ready', flush=True)\n"
        "for number in (1, 2):\n"
        "    while len(got) < number:\n        time.sleep(0.005)\n"
        "    print('got', flush=True)\n"
        "sys.exit(5)"
    )
    command = [*RECORD, sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as recording:
        assert recording.stdout is not None
        assert recording.stdout.readline() == "ready\n"
        for _ in range(2):
            recording.send_signal(sent)
            assert recording.stdout.readline() == "got\n"
        assert recording.wait(20) == 5


SHOW = "import os, sys; print(sys.path, os.environ.get('PYTHONPATH'), getattr(sys, 'marked', 0))"


def test_the_users_own_sitecustomize_and_paths_stay(tmp_path: Path) -> None:
    """What Python would have run is run, and sys.path is what it would have been."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("import sys\nsys.marked = __file__\n")
    environment = {**os.environ, "PYTHONPATH": str(theirs)}
    alone = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    recorded = record(tmp_path, sys.executable, "-c", SHOW, env=environment)
    folder = str(Path(sys.modules["agentscope"].__file__ or "").parent / "bootstrap")
    assert recorded.stdout.replace(f"{folder}{os.pathsep}", "") == alone.stdout
    assert str(theirs / "sitecustomize.py") in recorded.stdout


def test_a_sitecustomize_that_fails_fails_as_it_did(tmp_path: Path) -> None:
    """Python reports it and goes on; so it is with us."""
    (tmp_path / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = record(tmp_path, sys.executable, "-c", "print('on')", env=environment)
    assert done.stdout == "on\n"
    assert "Error in sitecustomize" in done.stderr
    assert "ValueError: theirs" in done.stderr


REFUSING = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name == "agentscope":
            raise ModuleNotFoundError("No module named 'agentscope'", name=name)
sys.meta_path.insert(0, Refusing())
"""


def test_a_python_without_agentscope_runs_on_and_says_so(tmp_path: Path) -> None:
    """One line, where a web framework is imported, and what to type."""
    (tmp_path / "sitecustomize.py").write_text(REFUSING)
    script = "import fastapi; fastapi.FastAPI(); print('on')"
    # Not in our own environment: the command itself needs agentscope.
    line = f'PYTHONPATH="$PYTHONPATH:{tmp_path}" exec {sys.executable} -c "{script}"'
    done = record(tmp_path, "sh", "-c", line)
    assert done.stdout == "on\n"
    said = [line for line in done.stderr.splitlines() if "cannot be recorded" in line]
    reason = "No module named 'agentscope'"
    assert said == [f"agentscope record: {sys.executable} cannot be recorded: {reason}; {ADVICE}"]


def test_a_process_that_only_imports_an_application_leaves_no_file(tmp_path: Path) -> None:
    """Migrations and checks import the application too."""
    (tmp_path / "service.py").write_text(SERVICE)
    done = record(tmp_path, sys.executable, "-c", "import service")
    assert done.returncode == 0
    assert NOTHING in done.stderr
    assert not (tmp_path / "run").exists()


def script(folder: Path, first_line: str) -> str:
    path = folder / "serve"
    path.write_text(f"{first_line}\nimport sys\n")
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ([], 2, "write the command after --"),
        (["no-such-command"], 127, "no command 'no-such-command'"),
        (["./app.py"], 126, "./app.py is not executable: write python ./app.py"),
        (["python", "-I", "app.py"], 2, "python -I ignores PYTHONPATH"),
        (["python", "-W", "ignore", "-BE", "-m", "uvicorn"], 2, "python -E ignores PYTHONPATH"),
        (["python", "-Xdev", "-S", "app.py"], 2, "python -S imports no sitecustomize"),
        (["#!/usr/bin/python3 -sE"], 2, "python -E ignores PYTHONPATH"),
        (["#!/usr/bin/env -S python3 -I"], 2, "python -I ignores PYTHONPATH"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_it_runs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: Sequence[str],
    code: int,
    said: str,
) -> None:
    """One line that says what to type instead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    (tmp_path / "app.py").write_text("")
    if command and command[0].startswith("#!"):
        command = [script(tmp_path, command[0])]
    assert main(["record", "--", *command]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("agentscope record: error: ")
    assert said in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "options",
    [["-c", "0", "-I"], ["-m", "this", "-E"], ["-W", "ignore", "-c", "0"], ["-Wd", "x.py"]],
)
def test_what_stands_behind_the_script_is_the_scripts(
    tmp_path: Path, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Only Python's own options keep us out."""
    (tmp_path / "x.py").write_text("")
    options = [str(tmp_path / "x.py") if word == "x.py" else word for word in options]
    run = str(tmp_path / "run")
    assert main(["record", "-o", run, sys.executable, *options]) == 0
    assert NOTHING in capfd.readouterr().err


@pytest.mark.parametrize("ending", ["2>&-", "2>&1 >/dev/null | true"], ids=["closed", "unread"])
def test_nobody_to_tell_is_no_reason_not_to_run(tmp_path: Path, ending: str) -> None:
    """The command runs, and what we would have said is not in its output."""
    command = shlex.join([*RECORD, sys.executable, "-c", "open('proof', 'w')"])
    line = f"{{ sleep 0.1; {command}; }} {ending}"
    said = subprocess.check_output(["sh", "-c", line], cwd=tmp_path, timeout=60)
    assert said == b""
    assert (tmp_path / "proof").exists()


def test_two_runs_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless they are to be analysed as one."""
    manifest = tmp_path / "manifest-1-a.json"
    manifest.write_text(json.dumps({"started_ns": 1, "ledger": []}))
    line = ["record", "-o", str(tmp_path), "--", "true"]
    assert main(line) == 2
    assert "choose another directory with -o, or --add to it" in capsys.readouterr().err
    assert main([*line[:3], "--add", *line[3:]]) == 0
    assert NOTHING in capsys.readouterr().err
    assert manifest.exists()


def test_a_directory_that_cannot_be_written_is_said_before_the_service_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after the load run."""
    (tmp_path / "file").write_text("")
    assert main(["record", "-o", str(tmp_path / "file" / "run"), "--", "true"]) == 2
    said = capsys.readouterr().err
    assert "not a directory; choose another with -o" in said
