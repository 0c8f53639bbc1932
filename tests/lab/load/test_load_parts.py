"""Stages, scripts, options, lines and manifest, without a server."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from agentscope.lab.load.answers import Body, events_of, json_of, read_body
from agentscope.lab.load.lines import LineWriter, RequestLine
from agentscope.lab.load.manifest import RunManifest
from agentscope.lab.load.runner import LoadPlan, LoadTally
from agentscope.lab.load.scripts import SCRIPTS, Script, ScriptError, load_scripts
from agentscope.lab.load.settings import LoadSettings, parse_share, parse_think
from agentscope.lab.load.stages import Stage, parse_duration, parse_stages, stage_at


def line(**changes: Any) -> RequestLine:
    values: dict[str, Any] = {
        "t_intended": 1.0, "t_start": 1.5, "duration_s": 2.0, "ttfb_s": 0.5, "name": "POST /m",
        "session": "s1", "turn": 1, "status": 200, "error": None, "bytes": 7, "trace_id": "ab",
        "user": "u1", "stage": "steady",
    }  # fmt: skip
    return RequestLine(**{**values, **changes})


def test_stages_have_users_time_and_a_name() -> None:
    """Names are the user's or the stage's number."""
    assert parse_stages("5:20s,10:1m30s, peak=20:2m") == (
        Stage("stage 1", 5, 20.0),
        Stage("stage 2", 10, 90.0),
        Stage("peak", 20, 120.0),
    )


@pytest.mark.parametrize("text", ["", "5", "5:", "x:20s", "5:0s", "5:20x", "a=1:1s,a=2:1s", "1:."])
def test_what_is_no_stage_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="stage"):
        parse_stages(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5s", 1.5), ("3m", 180), ("1h30m", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    """Seconds need no unit."""
    assert parse_duration(text) == seconds


def test_the_stage_of_a_moment() -> None:
    """A stage begins on its second and ends before the next one's."""
    stages = parse_stages("1:2s,3:3s")
    names = [stage and stage.name for stage in (stage_at(stages, s) for s in (0, 1.9, 2, 4.9, 5))]
    assert names == ["stage 1", "stage 1", "stage 2", "stage 2", None]


def test_the_shipped_conversations_have_two_to_ten_turns() -> None:
    """Both ends occur, and so do order numbers, which make the agent use its tools."""
    assert {len(script.turns) for script in SCRIPTS} >= {2, 10}
    assert all(2 <= len(script.turns) <= 10 for script in SCRIPTS)
    assert any("#12345" in turn for script in SCRIPTS for turn in script.turns)
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS)


def test_a_users_own_conversations(tmp_path: Path) -> None:
    """A list of lists; a conversation may have a name."""
    path = tmp_path / "mine.json"
    path.write_text('[["Hello", "Bye"], {"name": "angry", "turns": ["Hey!"]}]')
    assert load_scripts(path) == (
        Script("script 1", ("Hello", "Bye")),
        Script("angry", ("Hey!",)),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ("[[]]", "conversation 1 is not"),
        ('[["a"], ["b", 3]]', "conversation 2 is not"),
        ('["hello"]', "conversation 1 is not"),
        ('[["  "]]', "conversation 1 is not"),
        ("[[", "is not JSON"),
    ],
)
def test_a_bad_script_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    """The message names the file and the place."""
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match=says):
        load_scripts(path)


def test_a_missing_script_file_is_a_script_error(tmp_path: Path) -> None:
    """As for any other fault of the file."""
    with pytest.raises(ScriptError, match="No such file"):
        load_scripts(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["3,1", "-1,2", "nan,1", "a", "1,2,3", "", "1,inf"])
def test_a_think_time_must_be_two_numbers_in_order(text: str) -> None:
    """From the least to the most, both finite."""
    with pytest.raises(ValueError):
        parse_think(text)
    assert parse_think("1.5,4") == (1.5, 4.0)
    assert parse_think("3") == (3.0, 3.0)


def test_a_share_lies_between_nothing_and_everything() -> None:
    """Both ends included."""
    assert [parse_share(share) for share in ("0", "0.3", 1)] == [0.0, 0.3, 1.0]
    with pytest.raises(ValueError, match="share"):
        parse_share("1.1")


def test_settings_read_locusts_options(tmp_path: Path) -> None:
    """Values are the strings of the command line: a Locust master sends them to its workers."""
    options = Namespace(
        run_dir=str(tmp_path), think="1,2", stream_share="0.5", turn_timeout="30", script="",
        stages="1:2s", seed="7", metrics_port="9646",
    )  # fmt: skip
    assert LoadSettings.of(options) == LoadSettings(
        run_dir=tmp_path,
        think_s=(1.0, 2.0),
        stream_share=0.5,
        turn_timeout_s=30.0,
        stages=(Stage("stage 1", 1, 2.0),),
        seed=7,
        metrics_at=("127.0.0.1", 9646),
    )
    assert LoadSettings.of(None) == LoadSettings()


def test_a_line_holds_the_contracts_fields(tmp_path: Path) -> None:
    """One object a line, in a file of mode 0600 that names its process."""
    writer = LineWriter(tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing to say, no file
    writer.write(line())
    writer.write(line(turn=None, error="unfinished"))
    writer.close()

    (path,) = tmp_path.iterdir()
    assert path.name.startswith("load-")
    assert f"-{os.getpid()}-" in path.name
    assert path.stat().st_mode & 0o777 == 0o600
    first, second = (json.loads(text) for text in path.read_text().splitlines())
    assert first == {
        "t_intended": 1.0, "t_start": 1.5, "duration_s": 2.0, "ttfb_s": 0.5, "name": "POST /m",
        "session": "s1", "turn": 1, "status": 200, "error": None, "bytes": 7, "trace_id": "ab",
        "user": "u1", "stage": "steady",
    }  # fmt: skip
    assert (second["turn"], second["error"]) == (None, "unfinished")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child only writes
def test_a_forked_process_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """Parent and child share the writer and not the file."""
    writer = LineWriter(tmp_path)
    writer.write(line(user="parent"))
    child = os.fork()
    if child == 0:
        writer.write(line(user="child"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.write(line(user="parent"))
    writer.close()

    users = {
        path.name.rsplit("-", 2)[1]: [
            json.loads(text)["user"] for text in path.read_text().splitlines()
        ]
        for path in tmp_path.iterdir()
    }
    assert users == {str(os.getpid()): ["parent", "parent"], str(child): ["child"]}


def test_the_tally_reads_on_and_leaves_a_torn_line_for_later(tmp_path: Path) -> None:
    """Turns, failures and cut-off turns are counted apart; sessions' own requests are no turns."""
    writer = LineWriter(tmp_path)
    tally = LoadTally(tmp_path)
    writer.write(line())
    writer.write(line(turn=None))
    assert (tally.update().turns, tally.errors, tally.unfinished) == (1, 0, 0)

    writer.write(line(user="u2", session="s2", error="Rate limited"))
    writer.write(line(error="unfinished"))
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"turn": 1, "us')
    assert (tally.update().turns, tally.errors, tally.unfinished) == (3, 1, 1)
    assert (tally.users, tally.sessions) == ({"u1", "u2"}, {"s1", "s2"})
    writer.close()


def test_the_manifest_has_the_stages_back_to_back(tmp_path: Path) -> None:
    """Each stage ends where the next begins, the last one as its users are told to stop."""
    manifest = RunManifest(tmp_path, 0, 4.0, (1.0, 2.0), "locust 2")
    manifest.start(now_ns=1_000_000_000)
    manifest.stage("ramp", 5, now_ns=1_000_000_001)
    assert json.loads((tmp_path / "manifest.json").read_text())["ended_ns"] is None
    manifest.stage("steady", 20, now_ns=2_000_000_000)
    manifest.stop(now_ns=2_500_000_000)
    manifest.end(now_ns=3_000_000_000)

    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written.pop("run_id").startswith("19700101T000001Z-")
    assert written == {
        "schema": "agentscope.run/1",
        "started_ns": 1_000_000_000,
        "ended_ns": 3_000_000_000,
        "load": {
            "stages": [
                {"name": "ramp", "start_ns": 1_000_000_001, "end_ns": 2_000_000_000, "users": 5},
                {"name": "steady", "start_ns": 2_000_000_000, "end_ns": 2_500_000_000, "users": 20},
            ],
            "users": 20,
            "spawn_rate": 4.0,
            "think_time_s": [1.0, 2.0],
            "generator": "locust 2",
        },
    }
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_plan_with_stages_leaves_users_and_time_to_them() -> None:
    """Locust would warn of options that it does not use."""
    command = LoadPlan(host="http://h", run_dir=Path("run"), stages="1:2s").command()
    assert "--users" not in command
    assert "--run-time" not in command
    assert command[command.index("--run-dir") + 1] == str(Path("run").absolute())


class Wire:
    """A response that arrives in pieces, one a second of a hand-moved clock."""

    def __init__(self, *pieces: bytes | Exception, whole: bool = True) -> None:
        self.pieces = list(pieces)
        self.now_s = 0.0
        self.message_complete = whole
        self.released = False

    def read(self, _size: int) -> bytes:
        self.now_s += 1.0
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def release(self) -> None:
        self.released = True


def test_the_first_byte_is_when_it_came() -> None:
    """Not when the headers came and not when a block is full."""
    wire = Wire(b"d", b"ata: x", b"\n\n")
    assert read_body(wire, lambda: wire.now_s) == Body(b"data: x\n\n", 9, 1.0)


def test_an_answer_that_breaks_off_says_so() -> None:
    """What came is kept, the connection is not used again."""
    wire = Wire(b"d", TimeoutError("timed out"))
    assert read_body(wire, lambda: wire.now_s) == Body(b"d", 1, 1.0, "TimeoutError: timed out")
    assert wire.released

    wire = Wire(b"d", whole=False)
    body = read_body(wire, lambda: wire.now_s)
    assert body.broken == "connection closed before the end of the answer"


def test_events_of_a_stream() -> None:
    """Names, several data lines, comments and a last event without its empty line."""
    stream = b'event: token\ndata: {"a":1}\n\n: ping\n\ndata: x\ndata:  y\n\ndata: [DONE]'
    assert events_of(stream) == [
        ("token", '{"a":1}'),
        ("message", "x\n y"),
        ("message", "[DONE]"),
    ]


def test_what_is_no_json_object_is_an_empty_one() -> None:
    """A judge of content never sees an exception."""
    assert [json_of(text) for text in (b'{"a": 1}', b"[1]", b"<html>", b"")] == [
        {"a": 1},
        {},
        {},
        {},
    ]
