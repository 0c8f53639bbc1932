"""Where the report goes: files, devices, directories, and readers that leave early."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.commands import main
from agentscope_analyzer.reporters import json

OTLP = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"POST /",'
    '"kind":2,"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000002000000000",'
    '"attributes":[{"key":"agentscope.turn","value":{"boolValue":true}}]}]}]}]}\n'
)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """One turn of two seconds."""
    file = tmp_path / "traces-1.jsonl"
    file.write_text(OTLP % (1, 1))
    return file


@pytest.mark.parametrize("target", ["", ".", "/"])
def test_a_name_that_is_no_file_is_one_line(
    run_file: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    """The current directory, the root: neither is replaced, and nothing breaks."""
    assert main(["analyze", str(run_file), "--json", target]) == 2
    assert capsys.readouterr().err.startswith("agentscope analyze: error: cannot write ")


def test_a_pipe_is_written_to_and_not_replaced(story: Any, tmp_path: Path) -> None:
    """Whatever is not a regular file keeps its place: a device must stay one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    story.turn("s", 0.0, ("llm.first_token", 1.0))
    report = story.report()
    small = report.__class__(
        **{**{f: getattr(report, f) for f in report.__struct_fields__}, "questions": {}}
    )
    json.write(small, pipe)
    assert os.read(reader, 1) == b"{"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_reader_that_leaves_early_does_not_pass_the_gate(run_file: Path) -> None:
    """The output's end is closed at once; the threshold still fails the run, without a traceback."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "agentscope_analyzer", "analyze", run_file, "--fail-on", "p95_s>1"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "FAILED: p95_s>1 (2)\n")


@pytest.mark.parametrize("seconds", ["abc", "-1", "nan", "inf", "0"])
def test_a_target_says_what_it_wants(
    run_file: Path, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    """The message names the value and no function of ours."""
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", str(run_file), f"--target-p95={seconds}"])
    assert stopped.value.code == 2
    assert f"{seconds!r} is not a number of seconds above 0" in capsys.readouterr().err
