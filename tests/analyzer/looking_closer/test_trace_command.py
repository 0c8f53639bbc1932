"""``agentscope trace`` from files to exit code."""

import json

import pytest

from agentscope_analyzer.commands import main


@pytest.fixture
def run(written, span):
    """Three turns: one that waits for a pool, a slow one, one that failed."""
    return written(
        span("turn0001", "", 0, 100, trace=0xA1 << 120, is_turn=True, name="POST /a"),
        span("wait0001", "turn0001", 10, 90, trace=0xA1 << 120, wait_kind="db.pool"),
        span("turn0002", "", 0, 900, trace=0xB2 << 120, is_turn=True, name="POST /b"),
        span("tool0002", "turn0002", 100, 800, trace=0xB2 << 120, tool="t"),
        span("turn0003", "", 0, 10, trace=0xB3 << 120, is_turn=True, name="POST /c",
             status="ERROR"),
    )  # fmt: skip


def test_a_turn_is_shown_by_the_beginning_of_its_id(run, capsys):
    """The picture, then the causes with seconds that add up."""
    assert main(["trace", str(run), "b2"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(
        f"POST /b: 900 ms from 14:13:20 UTC\ntrace {0xB2 << 120:032x}, 2 spans\n"
    )
    assert [line.split() for line in page.splitlines()[-3:]] == [
        ["T", "tool.execution", "700.000", "ms", "78", "%"],
        ["?", "unattributed", "200.000", "ms", "22", "%"],
        ["in", "all", "900.000", "ms"],
    ]
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (["--slowest"], "POST /b"),
        (["--p95"], "POST /b"),
        (["--median"], "POST /a"),
        (["--cause", "db.pool"], "POST /a"),
        (["--cause", "tool.execution"], "POST /b"),
    ],
)
def test_a_turn_is_chosen_by_what_it_shows(run, capsys, choice, name):
    """Nobody has to know an id."""
    assert main(["trace", str(run), *choice]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_json_has_the_keys_of_the_contract(run, capsys):
    """Machines read the same turn."""
    assert main(["trace", str(run), f"{0xB2 << 120:032x}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["trace_id", "duration_s", "critical_path", "causes", "spans"]
    assert (document["trace_id"], document["duration_s"]) == (f"{0xB2 << 120:032x}", 0.9)
    assert [list(section) for section in document["critical_path"]] == 3 * [
        ["span_id", "name", "cause", "start_ns", "end_ns"]
    ]
    assert document["causes"] == {"tool.execution": 0.7, "unattributed": 0.2}
    assert [one["name"] for one in document["spans"]] == ["POST /b", "tool0002"]


def test_without_a_choice_turns_are_listed(run, capsys):
    """Each with the reason to look at it, and what to type next."""
    assert main(["trace", str(run)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"{0xB2 << 120:032x}  slowest    900 ms  POST /b",
        f"{0xA1 << 120:032x}  median     100 ms  POST /a",
        f"{0xB3 << 120:032x}  slow        10 ms  POST /c, failed",
    ]
    assert told.err == "give one of these ids, its first digits, or --cause llm.rate_limit\n"


def test_a_perfetto_file_is_written_beside(run, capsys, tmp_path):
    """The picture is printed as well, and where the file opens is said."""
    file = tmp_path / "turn.json"
    assert main(["trace", str(run), "a1", "--perfetto", str(file)]) == 0
    assert json.loads(file.read_text())["otherData"]["trace_id"] == f"{0xA1 << 120:032x}"
    assert capsys.readouterr().err == (
        f"agentscope trace: wrote {file}: open it in https://ui.perfetto.dev\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["b"], "2 traces begin with b; give more digits: b2"),
        (["c"], "no trace begins with c; agentscope trace RUN lists some"),
        (["a1", "--slowest"], "give a trace id, or one of --slowest, --p95, --median and --cause"),
        (["--turn", "x"], "--turn chooses among the turns of one trace: give its id as well"),
        (["a1", "--turn", "x"], "has no turn x; give "),
        (["--json"], "give a trace id, or one of --slowest"),
        (["--cause", "quota"], "there is no cause 'quota'; give one of llm.first_token"),
        (["--cause", "db.query"], "no turn spent time on db.query; give one of db.pool"),
        (
            ["a1", "--perfetto", "/nowhere/x.json"],
            "cannot write /nowhere/x.json: there is no folder /nowhere",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_type(run, capsys, arguments, complaint):
    """Exit code 2, and no traceback."""
    assert main(["trace", str(run), *arguments]) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


def test_a_folder_without_a_run_is_said(tmp_path, capsys):
    """As every command says it."""
    assert main(["trace", str(tmp_path / "no"), "--slowest"]) == 2
    assert capsys.readouterr().err.startswith("agentscope trace: error: ")
