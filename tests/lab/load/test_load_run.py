"""Locust, as a user starts it, against a real server."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentscope.lab.load.runner import LoadPlan, LoadResult, LoadTally, run_load


def read_lines(run_dir: Path) -> list[dict[str, Any]]:
    files = sorted(run_dir.glob("load-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def received(agent: Any) -> Counter[str]:
    """Trace ids of what the server received, with the sampled flag checked."""
    parts = [traceparent.split("-") for _, _, traceparent, _ in agent.seen]
    assert all(version == "00" and flags == "01" for version, _, _, flags in parts)
    return Counter(trace_id for _, trace_id, _, _ in parts)


def scripts(tmp_path: Path, *conversations: list[str]) -> Path:
    path = tmp_path / "scripts.json"
    path.write_text(json.dumps(conversations))
    return path


def test_each_request_has_one_line_with_the_trace_id_it_sent(
    echo_agent: Any, tmp_path: Path
) -> None:
    """Received = written, one to one, sessions opened and closed around two turns each."""
    run_dir = tmp_path / "run"
    script = scripts(tmp_path, ["hello", "bye"])
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=script,
        users=3, spawn_rate=1, duration_s=5, think_s=(0.1, 0.3),
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    lines = read_lines(run_dir)
    turns = [line for line in lines if line["turn"] is not None]
    assert result == LoadResult(
        exit_code=0,
        turns=len(turns),
        errors=0,
        unfinished=0,
        sessions=len({line["session"] for line in lines}),
        users=3,
    ), (tmp_path / "log").read_text()
    assert received(echo_agent) == Counter(line["trace_id"] for line in lines)
    assert {(line["name"], line["status"], line["error"]) for line in lines} == {
        ("POST /api/sessions", 201, None),
        ("POST /api/sessions/[id]/messages", 200, None),
        ("DELETE /api/sessions/[id]", 204, None),
    }
    assert {line["turn"] for line in turns} == {1, 2}
    opened = [line["session"] for line in lines if line["name"] == "POST /api/sessions"]
    assert sorted(opened) == sorted(echo_agent.ended)  # none is left open
    assert {line["stage"] for line in lines} == {"ramp", "steady"}
    (file,) = run_dir.glob("load-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_intended_start_is_the_end_of_the_last_request_plus_the_think_time(
    echo_agent: Any, tmp_path: Path
) -> None:
    """Within a user nothing overlaps, and pauses lie between the least and the most think time."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=scripts(tmp_path, ["a", "b", "c"]),
        users=1, spawn_rate=10, duration_s=3, think_s=(0.2, 0.4),
    )  # fmt: skip
    run_load(plan, tmp_path / "log")

    lines = read_lines(run_dir)
    assert len(lines) > 5
    for before, line in pairwise(lines):
        pause_s = line["t_intended"] - (before["t_start"] + before["duration_s"])
        thinks = line["turn"] in (2, 3) or line["name"] == "POST /api/sessions"
        assert pause_s == pytest.approx(0.3 if thinks else 0.0, abs=0.1 if thinks else 0.01)
        assert 0 <= line["t_start"] - line["t_intended"] < 2  # late on a crowded machine, and told


def test_a_seed_makes_the_conversations_repeatable(echo_agent: Any, tmp_path: Path) -> None:
    """Two runs with one seed say the same things after the same pauses; another seed does not."""
    said: list[list[str]] = []
    for number, seed in enumerate((7, 7, 8)):
        echo_agent.seen.clear()
        plan = LoadPlan(
            host=echo_agent.url, run_dir=tmp_path / str(number), users=1, duration_s=3,
            think_s=(0.05, 0.1), seed=seed,
        )  # fmt: skip
        run_load(plan)
        said.append([text for _, path, _, text in echo_agent.seen if path.endswith("/messages")])
    shortest = min(map(len, said))
    assert shortest > 3
    first, again, other = (texts[:shortest] for texts in said)
    assert first == again != other


def test_first_byte_of_a_stream_is_not_its_headers_and_not_its_end(
    echo_agent: Any, tmp_path: Path
) -> None:
    """The server sends headers at 0, a short event at 0.15 s and the last 0.15 s later."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=scripts(tmp_path, ["hi"]),
        users=1, spawn_rate=10, duration_s=2, think_s=(0.1, 0.1), stream_share=1.0,
    )  # fmt: skip
    run_load(plan, tmp_path / "log")

    turns = [line for line in read_lines(run_dir) if line["turn"] is not None]
    assert {(line["error"], line["bytes"]) for line in turns} == {
        (None, len(b"data: hi\n\ndata: [DONE]\n\n"))
    }
    assert min(line["ttfb_s"] for line in turns) > 0.14
    assert all(line["duration_s"] - line["ttfb_s"] > 0.1 for line in turns)
    assert min(line["duration_s"] for line in turns) > 0.28


def test_failures_are_told_apart(echo_agent: Any, tmp_path: Path) -> None:
    """429, other statuses and empty answers fail with their own words, and the run goes on."""
    run_dir = tmp_path / "run"
    script = scripts(tmp_path, ["too many", "break", "nothing", "fine"])
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=script,
        users=1, spawn_rate=10, duration_s=2, think_s=(0.05, 0.05),
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    turns = [line for line in read_lines(run_dir) if line["turn"] is not None]
    assert {(line["turn"], line["status"], line["error"]) for line in turns} == {
        (1, 429, "Rate limited"),
        (2, 500, "Status 500"),
        (3, 200, "Empty response from agent"),
        (4, 200, None),
    }
    assert result.exit_code == 0
    assert result.errors == sum(line["error"] is not None for line in turns)


def test_a_service_that_is_not_there_is_a_failure_without_a_status(tmp_path: Path) -> None:
    """A refused connection leaves a line of its own: status 0, no first byte, the reason."""
    plan = LoadPlan(
        host="http://127.0.0.1:9", run_dir=tmp_path, users=1, duration_s=1, think_s=(0.2, 0.2)
    )
    result = run_load(plan)

    (line, *_) = read_lines(tmp_path)
    assert (line["name"], line["status"], line["ttfb_s"]) == ("POST /api/sessions", 0, None)
    assert "refused" in line["error"].lower()
    assert (result.turns, result.sessions) == (0, 0)


def test_two_processes_write_two_files_and_lose_nothing(echo_agent: Any, tmp_path: Path) -> None:
    """Across forked workers: received = written, no duplicates, users unique, whole lines."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, processes=2,
        users=6, spawn_rate=2, duration_s=5, think_s=(0.05, 0.2),
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    assert result.exit_code == 0, (tmp_path / "log").read_text()
    lines = read_lines(run_dir)
    assert len(list(run_dir.glob("load-*.jsonl"))) == 2
    assert received(echo_agent) == Counter(line["trace_id"] for line in lines)
    assert max(received(echo_agent).values()) == 1
    assert len({line["user"] for line in lines}) == 6
    assert {line["stage"] for line in lines} == {"ramp", "steady"}


def test_no_turn_begins_when_the_time_is_over(echo_agent: Any, tmp_path: Path) -> None:
    """A session that is being opened then is closed again; the last stage ended before."""
    echo_agent.opening_s = 2.5
    run_dir = tmp_path / "run"
    plan = LoadPlan(host=echo_agent.url, run_dir=run_dir, users=1, spawn_rate=10, duration_s=1)
    assert run_load(plan, tmp_path / "log").turns == 0

    lines = read_lines(run_dir)
    names = [line["name"] for line in lines]
    assert names == ["POST /api/sessions", "DELETE /api/sessions/[id]"]
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["load"]["stages"][-1]["end_ns"] / 1e9 < lines[-1]["t_start"]
    assert lines[-1]["t_start"] < manifest["ended_ns"] / 1e9


def test_what_the_end_cuts_off_is_written_as_unfinished(echo_agent: Any, tmp_path: Path) -> None:
    """A turn that was sent and never answered is on record with its trace id."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=scripts(tmp_path, ["slow"]),
        users=2, spawn_rate=10, duration_s=2, drain_s=1,
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    lines = read_lines(run_dir)
    cut = [line for line in lines if line["turn"] is not None]
    assert [(line["status"], line["error"], line["ttfb_s"]) for line in cut] == [
        (0, "unfinished", None)
    ] * 2
    assert min(line["duration_s"] for line in cut) > 0.5
    assert received(echo_agent) == Counter(line["trace_id"] for line in lines)
    assert (result.turns, result.unfinished, result.errors) == (2, 2, 0)


def test_forked_workers_may_finish_their_turns_too(echo_agent: Any, tmp_path: Path) -> None:
    """The run is over when the last worker has written its last line, not when the master left."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, script=scripts(tmp_path, ["a while"]),
        users=4, spawn_rate=20, duration_s=2, drain_s=20, processes=2, think_s=(0.1, 0.1),
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    assert (result.exit_code, result.errors, result.unfinished) == (0, 0, 0)
    assert result.turns == 4
    lines = read_lines(run_dir)
    assert received(echo_agent) == Counter(line["trace_id"] for line in lines)
    ended_ns = json.loads((run_dir / "manifest.json").read_text())["ended_ns"]
    assert ended_ns / 1e9 > max(line["t_start"] + line["duration_s"] for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_early_and_loses_nothing(
    echo_agent: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped half-way: every request that was received is on record, the manifest has an end."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, users=4, spawn_rate=20, duration_s=60,
        think_s=(0.05, 0.1), drain_s=2,
    )  # fmt: skip
    run_dir.mkdir()
    process = subprocess.Popen(
        plan.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=plan.environment(),
    )  # fmt: skip
    try:
        tally = LoadTally(run_dir)
        while tally.update().turns < 10:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()

    assert received(echo_agent) == Counter(line["trace_id"] for line in read_lines(run_dir))
    assert json.loads((run_dir / "manifest.json").read_text())["ended_ns"] is not None


def test_stages_are_held_in_order_and_named_in_every_line(echo_agent: Any, tmp_path: Path) -> None:
    """``1:2s,3:3s``: one user first, three later; lines and manifest agree on the names."""
    run_dir = tmp_path / "run"
    plan = LoadPlan(
        host=echo_agent.url, run_dir=run_dir, stages="1:2s,busy=3:3s", think_s=(0.1, 0.2),
        spawn_rate=20,
    )  # fmt: skip
    result = run_load(plan, tmp_path / "log")

    assert result.exit_code == 0, (tmp_path / "log").read_text()
    users: dict[str, set[str]] = {"stage 1": set(), "busy": set()}
    for line in read_lines(run_dir):
        users[line["stage"]].add(line["user"])
    assert {stage: len(seen) for stage, seen in users.items()} == {"stage 1": 1, "busy": 3}
    manifest = json.loads((run_dir / "manifest.json").read_text())
    stages = manifest["load"]["stages"]
    assert [(stage["name"], stage["users"]) for stage in stages] == [("stage 1", 1), ("busy", 3)]
    assert manifest["started_ns"] <= stages[0]["start_ns"]
    assert stages[0]["end_ns"] == stages[1]["start_ns"]
    assert stages[1]["end_ns"] <= manifest["ended_ns"]
    assert manifest["load"]["users"] == 3
    assert manifest["load"]["think_time_s"] == [0.1, 0.2]
    assert manifest["load"]["generator"].startswith("locust 2.")
