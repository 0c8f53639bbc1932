"""``agentscope questions``: every question can be read, and asked of a run."""

import csv
import json
import re

import duckdb
import pytest

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.attribution.tables import BOUNDS, SECTIONS, SWEEP_SPANS, TURNS
from agentscope_analyzer.commands import main
from agentscope_analyzer.commands._parameters import _VALUES, SAID
from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.sql import Param, Question, ask, questions

T0_NS = 1_790_000_000_000_000_000
ASKED = [question for question in questions().values() if not question.is_helper]


def given(param: Param) -> object:
    """Something for a parameter that has no default: the run's own time, windows of a second."""
    times = {"from_ns": T0_NS, "to_ns": T0_NS + 14 * 10**9, "window_ns": 10**9}
    return times.get(param.name, {"VARCHAR": "llm.rate_limit", "DOUBLE": 1.0}.get(param.type, 1))


def a_small_run(span):
    chat = {"operation": "chat", "model": "m", "provider": "openai", "input_tokens": 5}
    spans = []
    for i in range(1, 13):
        at = 1000 * i
        spans += [
            span(f"t{i}", "", at, at + 900, trace=i, is_turn=True, session=f"s{i % 4}"),
            span(f"c{i}", f"t{i}", at + 100, at + 800, trace=i, **chat),
            span(f"p{i}", f"c{i}", at + 100, at + 200, trace=i, http_method="POST",
                 http_status=429),
            span(f"w{i}", f"c{i}", at + 200, at + 500, trace=i, wait_kind="rate_limit"),
            span(f"q{i}", f"c{i}", at + 500, at + 800, trace=i, http_method="POST",
                 http_status=200),
            span(f"d{i}", f"t{i}", at + 800, at + 900, trace=i, db_system="x", db_summary="SELECT"),
        ]  # fmt: skip
    return spans


@pytest.fixture(scope="module")
def empty():
    with Engine.in_memory(threads=1) as engine:
        attribute(engine)
        yield engine


@pytest.mark.parametrize("question", ASKED, ids=lambda question: question.id)
def test_every_question_can_be_asked_of_an_empty_run(question: Question, empty):
    """No question fails for want of data; rows that there are have the columns of the header."""
    params = {param.name: given(param) for param in question.params if param.default is None}
    rows = ask(empty, question.id, **params)
    names = [column.name for column in question.columns]
    assert [list(row) for row in rows] == len(rows) * [names]


def test_every_question_can_be_asked_of_a_small_run(tell, span):
    """As above, where there is something to tell; most questions then do."""
    engine = tell(*a_small_run(span))
    told = {}
    for question in ASKED:
        params = {param.name: given(param) for param in question.params if param.default is None}
        rows = ask(engine, question.id, **params)
        names = [column.name for column in question.columns]
        assert [list(row) for row in rows] == len(rows) * [names], question.id
        told[question.id] = len(rows)
    assert sum(rows > 0 for rows in told.values()) > len(told) / 2


def test_all_questions_are_listed_with_what_they_take_and_give(capsys):
    """Helpers are private: other questions read them."""
    assert main(["questions"]) == 0
    listed = [block.splitlines() for block in capsys.readouterr().out.strip().split("\n\n")]
    assert [lines[0] for lines in listed] == [question.id for question in ASKED]
    assert ["turns/exemplars", "  Which turns show a cause best?", "  takes top=3",
            "  gives cause, place, trace_id, wall_s, duration_s"] in listed  # fmt: skip


def test_the_questions_of_a_topic_are_listed(capsys):
    """Eighty questions do not fit on a screen."""
    assert main(["questions", "waits"]) == 0
    listed = capsys.readouterr().out
    assert [line for line in listed.splitlines() if line and line[0] != " "] == ["waits/by_kind"]


def test_every_question_takes_what_it_needs_from_the_run():
    """Nobody has to know how long a run was, or which header a quota stands in.

    A new parameter has a default in the question's header, or one here.
    """
    needed = {param.name for one in ASKED for param in one.params if param.default is None}
    assert needed == SAID.keys() == _VALUES.keys()


def test_what_was_taken_from_the_run_is_said(written, span, capsys):
    """As what to type for the same answer; what is given by hand is not looked for."""
    run = str(written(*a_run(span)))
    assert main(["questions", "turns/cause_times", run]) == 0
    assert capsys.readouterr().err == (
        "agentscope questions: taken from the run: --param cause=tool.execution\n"
    )
    assert main(["questions", "run/over_time", run, "--param", "window_ns=20000000"]) == 0
    assert capsys.readouterr().err == (
        f"agentscope questions: taken from the run: --param from_ns={T0_NS} "
        f"--param to_ns={T0_NS + 100_000_000}\n"
    )


def test_the_second_opinion_can_be_asked_for(written, span, capsys):
    """Its table is not kept by attribution; what is kept of an attribution has none at all."""
    run = str(written(*a_small_run(span)))
    for _ in range(2):  # computed, then from what was kept
        assert main(["questions", "attribution/equal_share", run, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert sum(row["wall_s"] for row in rows) == pytest.approx(12 * 0.9)
        assert {row["cause"] for row in rows} >= {"llm.rate_limit", "llm.first_token", "db.query"}


def test_a_question_is_explained(capsys):
    """Types, units and defaults, from the header that a machine checks."""
    assert main(["questions", "turns/cause_times"]) == 0
    assert (
        capsys.readouterr().out
        == """\
When was a session held up by one cause?
One row per section of that cause in a turn of a known session.

reads sections, turns_sessions
takes
  cause     VARCHAR   cause (default: the one that took most time)
gives
  session   VARCHAR   session
  start_ns  BIGINT    from
  end_ns    BIGINT    to
"""
    )


@pytest.fixture(scope="module")
def elsewhere():
    with duckdb.connect(":memory:") as connection:
        for table in (*TABLES.values(), TURNS, SECTIONS, BOUNDS, SWEEP_SPANS):
            connection.execute(table.ddl)
        yield connection


@pytest.mark.parametrize("question", ASKED, ids=lambda question: question.id)
def test_the_sql_runs_as_it_is_printed(question: Question, elsewhere, capsys):
    """In any DuckDB that has the tables: helpers stand in the text, its parameters are named."""
    assert main(["questions", "--sql", question.id]) == 0
    sql = capsys.readouterr().out
    for param in question.params:
        sql = re.sub(rf"\${param.name}\b", f"CAST(NULL AS {param.type})", sql)
    described = elsewhere.execute(f"DESCRIBE {sql}").fetchall()
    assert [row[0] for row in described] == [column.name for column in question.columns]


def test_a_run_is_asked(written, span, capsys):
    """A table for people, CSV and JSON for machines."""
    run = str(written(*a_run(span)))
    asked = ["questions", "turns/exemplars", run, "--param", "top=1"]
    assert main(asked) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table == [
        ["cause", "place", "trace_id", "wall_s", "duration_s"],
        ["tool.execution", "1", f"{1:032x}", "0.08", "0.1"],
        ["unattributed", "1", f"{1:032x}", "0.02", "0.1"],
    ]
    assert main([*asked, "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["wall_s"] for row in rows] == ["0.08", "0.02"]
    assert main([*asked, "--json"]) == 0
    assert [row["wall_s"] for row in json.loads(capsys.readouterr().out)] == [0.08, 0.02]


def test_what_needs_no_attribution_gets_none(written, span, capsys, monkeypatch):
    """Questions about the recorded tables are answered at once."""
    from agentscope_analyzer import attribution

    monkeypatch.setattr(attribution, "attribute", lambda _: pytest.fail("attributed"))
    assert main(["questions", "run/spans", str(written(*a_run(span)))]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "2"


def a_run(span):
    return [
        span("turn0001", "", 0, 100, is_turn=True),
        span("tool0001", "turn0001", 10, 90, tool="t"),
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["turns/exemplar"],
            "there is no question 'turns/exemplar'; did you mean turns/exemplars?",
        ),
        (["zzz"], "there is no question 'zzz'; agentscope questions lists them"),
        (["turns/sums", "--csv"], "give the run to ask: agentscope questions turns/sums RUN"),
        (["/"], "name the question first: agentscope questions ID /"),
        (["turns/exemplars", "RUN", "--param", "top=x"], "--param top=x: give a BIGINT"),
        (["turns/exemplars", "RUN", "--param", "most=3"], "turns/exemplars takes top=…"),
        (["turns/sums", "RUN", "--param", "top"], "turns/sums takes no parameters"),
        (["turns/sums", "/nowhere"], "error: /nowhere does not exist; name a run directory"),
        (
            ["turns/sums", ""],
            "error: the name of the run is empty: type agentscope questions turns/",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_type(capsys, arguments, complaint):
    """Exit code 2, and no traceback."""
    assert main(["questions", *arguments]) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"from_ns": "0", "window_ns": "1"}, "--param window_ns=1: give at least 10000, for a run"),
        ({"from_ns": "0", "window_ns": "-5"}, "--param window_ns=-5: give at least 10000"),
        ({"from_ns": "9" * 20, "window_ns": "1"}, f"--param from_ns={'9' * 20}: give a BIGINT"),
        ({"from_ns": f"-{2**63 - 1}", "window_ns": "10000"}, "cannot be answered with these"),
    ],
)
def test_windows_without_number_are_refused(written, span, capsys, given, complaint):
    """A run of 0.1 s has 10^8 windows of 1 ns: they would take all memory there is."""
    run = str(written(*a_run(span)))
    params = [text for name, value in given.items() for text in ("--param", f"{name}={value}")]
    assert main(["questions", "ceilings/turns_by_window", run, *params]) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
