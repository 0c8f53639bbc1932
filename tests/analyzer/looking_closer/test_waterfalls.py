"""The terminal's picture of a turn."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agentscope.conventions import CAUSES
from agentscope_analyzer.reporters import turn as reporter
from agentscope_analyzer.reporters.waterfall import LETTERS, waterfall
from agentscope_analyzer.traced import trace_of

TRACE = f"{1:032x}"

PAGE = """\
turn: 4 s from 14:13:20 UTC
trace 00000000000000000000000000000001, 6 spans
session s-1

                                   seconds 0                2 s              4 s
critical path                        4.000 ?????RRRRRRRRRFFFFFFFFF?LLLL?????????
turn                                 4.000 ?????------------------?LLLL?????????
 chat                                2.000      ------------------
  POST 429                           0.100      R
  wait rate_limit openai             0.900       RRRRRRRR
  POST 200                           1.000               FFFFFFFFF
 beside                              0.500       .....
event_loop.blocked agent.py:85       0.400                         ####

letters: own time on the critical path, by cause
- the path runs below it; . nobody waited for it; # stood still, or was held

  ?  unattributed               1.600 s    40 %
  F  llm.first_token            1.000 s    25 %
  R  llm.rate_limit             1.000 s    25 %
  L  runtime.event_loop         0.400 s    10 %
     in all                     4.000 s
"""


def shown(trace, width=80, colour=None, **options):
    console = Console(
        file=io.StringIO(), width=width, color_system=colour, force_terminal=bool(colour)
    )
    reporter.render(trace, console, **options)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def a_turn(span):
    chat = {"operation": "chat", "model": "m"}
    return [
        span("turn", "", 0, 4000, is_turn=True, session="s-1"),
        span("chat", "turn", 500, 2500, **chat),
        span("POST", "chat", 500, 600, http_method="POST", http_status=429, status="ERROR"),
        span("wait rate_limit", "chat", 600, 1500, wait_kind="rate_limit", wait_resource="openai"),
        span("POST 2", "chat", 1500, 2500, name="POST", http_method="POST", http_status=200),
        span("beside", "turn", 700, 1200, tool="t"),
        span("event_loop.blocked", "", 2600, 3000, trace=2, runtime_event="loop_blocked",
             code_function="agent.f", code_file="/srv/app/agent.py", code_line=85),
    ]  # fmt: skip


def test_a_turn_reads_without_colour(tell, span):
    """Who had the time, what was beside it, what stood still, and seconds that add up."""
    trace = trace_of(tell(*a_turn(span)), TRACE)
    assert shown(trace) == PAGE


def test_colour_adds_nothing_to_what_is_said(tell, span):
    """With colour the same characters stand in the same places."""
    trace = trace_of(tell(*a_turn(span)), TRACE)
    coloured = shown(trace, colour="truecolor")
    assert "\x1b[" in coloured
    plain = Console(file=io.StringIO(), width=80)
    plain.print(Text.from_ansi(coloured), soft_wrap=True, end="", highlight=False)
    lines = "\n".join(line.rstrip() for line in plain.file.getvalue().splitlines()) + "\n"
    assert lines == PAGE


@pytest.mark.parametrize("width", [40, 60, 80, 100, 300])
def test_no_line_is_wider_than_the_page(tell, span, width):
    """At 60 columns or more nothing wraps; narrower ones get the picture of 60."""
    names = ["日本語の長い名前" * 5, "x" * 300, "a\x1b[31mb\nc"]
    spans = [span(f"s{i}", "turn", i, i + 1, name=name) for i, name in enumerate(names)]
    page = shown(trace_of(tell(span("turn", "", 0, 10, is_turn=True), *spans), TRACE), width)
    assert max(cell_len(line) for line in page.splitlines()) <= max(60, min(width, 160))
    assert "\x1b" not in page
    assert "a\\x1b[31mb\\nc" in page


def test_every_cause_has_a_letter_of_its_own():
    """A bar can be read backwards."""
    assert list(LETTERS) == list(CAUSES)
    assert len(set(LETTERS.values())) == len(LETTERS)
    assert all(len(letter) == 1 for letter in LETTERS.values())


def test_of_thousands_of_spans_the_path_is_kept(tell, span):
    """Forty lines of spans; what is left out is summed up where it belongs."""
    calls = [
        span(f"q{i}", "tool", 10 + 3 * i, 12 + 3 * i, name="SELECT", db_system="x")
        for i in range(5_000)
    ]
    engine = tell(
        span("turn", "", 0, 20_000, is_turn=True),
        span("tool", "turn", 0, 19_000, tool="t"),
        *calls,
        span("last", "turn", 19_000, 20_000, wait_kind="lock"),
    )
    trace = trace_of(engine, TRACE)
    lines = waterfall(trace, cells=40)
    assert len(lines) == 42
    (rest,) = [line for line in lines if line.label.startswith("+")]
    assert rest.label == "+ 4 963 spans: SELECT"
    on_path = sum(line.ns for line in lines if line.label in (rest.label, "SELECT"))
    assert on_path == 5_000 * 2_000_000
    assert lines[-1].label == "last"


def test_a_chain_of_thousands_is_drawn_without_recursion(tell, span):
    """The deepest span has the time: it is drawn, with as much above it as there is room for."""
    chain = [span(f"d{i}", f"d{i - 1}" if i else "turn", i, 4_000 - i) for i in range(1_900)]
    engine = tell(
        span("turn", "", 0, 4_000, is_turn=True),
        *chain,
        span("deep", "d1899", 1_950, 2_050, tool="t"),
    )
    lines = waterfall(trace_of(engine, TRACE), cells=40, most_spans=10)
    (deep,) = [line for line in lines if line.label == "deep"]
    assert set(deep.bar.strip()) == {"T"}
    summed_up = [line for line in lines if line.label.startswith("+")]
    assert len(lines) - len(summed_up) == 11
    assert sum(line.ns for line in summed_up) > 0


def test_what_began_after_the_turn_is_marked(tell, span):
    """Work that a turn leaves behind is no part of its time."""
    engine = tell(span("turn", "", 0, 100, is_turn=True), span("after", "turn", 150, 300, tool="t"))
    lines = waterfall(trace_of(engine, TRACE), cells=10)
    assert [(line.label, line.bar) for line in lines] == [
        ("critical path", "?" * 10),
        ("turn", "?" * 10),
        ("after", " " * 9 + ">"),
    ]


def test_a_turn_of_no_length_is_drawn(tell, span):
    """Nothing is divided by nothing."""
    page = shown(trace_of(tell(span("turn", "", 5, 5, is_turn=True)), TRACE))
    assert "turn: 0 s from" in page
    assert page.splitlines()[-1].split() == ["in", "all", "0.000", "ms"]


def test_printed_seconds_add_up(tell, span):
    """Thirds of a millisecond are rounded so that the sum is the duration as printed."""
    kinds = ("db.pool", "lock", "threadpool")
    waits = [
        span(f"w{i}", "turn", i * 1000 / 3, (i + 1) * 1000 / 3, wait_kind=kind)
        for i, kind in enumerate(kinds)
    ]
    page = shown(trace_of(tell(span("turn", "", 0, 1000, is_turn=True), *waits), TRACE))
    figures = [line.split() for line in page.splitlines() if " s " in line and "." in line][-3:]
    assert sorted(words[2] for words in figures) == ["0.333", "0.333", "0.334"]
