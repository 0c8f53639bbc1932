"""The report as a terminal shows it."""

import io
from typing import Any

import pytest
from rich.console import Console

from agentscope_analyzer.costs import price_date, price_source
from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters import terminal
from agentscope_analyzer.reporters.page import Page

T0_NS = 1_790_000_000_000_000_000
PAGE = """\
run story: 30 turns of 6 sessions in 177 s, 150 spans, 1 instance

VERDICT
  The provider's quota binds: 33 % of turn time; 30 of 60 attempts refused with 429 or 529; p95 3 s
  (2 s without any contention); 60 requests/min are used up at 27 live sessions [25, 35] or fewer,
  so more pods will not help
  confidence: high

WHAT TO DO NEXT
  1. Get a larger quota, or ask for less of it: fewer calls a turn, shorter or cached prompts, a
     second model or deployment with a quota of its own.
  2. Admit only as many sessions as the quota carries, so that the others wait in sight and not in
     retries.
  3. More pods or a larger machine will not help: they share the quota.
  4. Plan with no more than 27 live sessions [25, 35] as they behaved in this run: beyond,
     llm.requests is used up (60 requests/min).

BINDS
  llm.rate_limit      the verdict above rests on:
    share of the wall time of all turns                              33 %  / 10 %  turns/causes
    share of the time of the slowest turns                           33 %  / 20 %  turns/causes
    attempts answered 429 or 529                              30 attempts  / 60    llm/summary
    refusals with none of 60 requests left                    30 attempts          llm/quota_headers
    slept before retries after 429 or 529                            27 s          waits/by_kind
    see trace 00000000000000000000000000000001
    see trace 00000000000000000000000000000002
    see trace 00000000000000000000000000000003

RULED OUT
  llm.first_token     the model's own response time: 63 % of turn time; p95 without contention is 2
                      s, within the 8 s target
  db.query            database queries: 3.3 % of turn time; inherent work binds from 40 %
  llm.retry           failed model calls and their retries: 0 % of turn time (watched from 3 %);
                      none of 60 attempts failed otherwise
  runtime.event_loop  the blocked event loop: 0 % of turn time (watched from 3 %); the loop stood
                      still for 0 % of the run; the loop was never later than 4 ms

NOT MEASURED, SO NOT RULED OUT
  llm.generation      no first chunk of an answer was recorded: see llm.first_token
  llm.connection      no wait for a connection and no agentscope.http.pool metric
  db.pool             no wait for a connection and no db.client.connection metric
  runtime.cpu         the CPU time of single turns was not recorded
  runtime.threadpool  no agentscope.threadpool metric
  runtime.gc          no agentscope.gc.pause metric
  runtime.throttled   no agentscope.cgroup.cpu metric
  tool.execution      no tool execution was recorded
  http.upstream       no HTTP call but the models' was recorded
  context.load        no context loading was marked
  client.send         no turn measured its send()
  wait.lock           no wait for a lock was recorded

WHERE 90 s OF TURN TIME WENT
  cause            seconds  share                 p95 turns  low – high
  llm.first_token     57 s   63 %  █████████████       63 %
  llm.rate_limit      30 s   33 %  ███████             33 %
  db.query             3 s  3.3 %  █                  3.3 %

WHY THE SLOWEST TURNS ARE SLOW
  No tail to explain: the slowest turns take hardly longer than middle ones (3 s against 3 s)

WHAT GROWS WITH LOAD
  Load hardly varied (1 and 1 turns in flight): nothing can be said to grow with it

CEILINGS
  resource                limit  a session       sessions  reached
  llm.requests  60 requests/min     ≥ 1.92  ≤ 27 [25, 35]  yes, first
  First limit: llm.requests at 27 live sessions [25, 35] or fewer; more pods will not help: the
  quota is the account's
  llm.requests: limit of openai gpt-4o-mini from rate-limit headers; window rule, at most 1 % of
  minutes over; means alone say 31; 6 sessions; extrapolated from 48-s windows; corrected for
  back-off; refused attempts taken as not charged; refusals held sessions back, so demand is at
  least this, sessions at most
  scalability         not enough data: 23 turns to go by, 100 are needed

TURNS
                   p50  p90    p95  p99  max  a second  failed
  duration         3 s  3 s    3 s  3 s  3 s     0.169     0 %
  to first byte  2.5 s       2.5 s

MODEL CALLS
       calls  a turn  attempts  hidden retries  refused  back-off
  all     30       1        60              30       30     1.5 s
  model               calls  retries  refused  back-off     p50     p95
  openai gpt-4o-mini     30       30       30     1.5 s  100 ms  100 ms
                      first token  p95  tokens/s  tokens in  cached  out      cost
  openai gpt-4o-mini            –    –         –      3 000       –  600  $0.00081
  cost: $0.00081 by PRICES

CAN THIS RUN BE BELIEVED?
  ok  models  no call to a model says which host it went to: mock or provider is not known
  ok: turns, length, sums, rejected, goodbye, failed, timeouts, think_time, unattributed
"""


def shown(report: Report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    terminal.render(report, console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_the_page_reads_without_colour(story: Any) -> None:
    """Verdict, what it rests on, what is ruled out and why, what nobody measured, the figures."""
    for i in range(30):
        trace = story.turn(
            f"s{i % 6}",
            i * 6.0,
            ("llm.rate_limit", 1.0),
            ("llm.first_token", 1.9),
            ("db.query", 0.1),
            first_byte_s=2.5,
        )
        story.call(trace, i * 6.0, 429, 200)
        story.span(trace, wait_kind="rate_limit", start_ns=i * 10**9, end_ns=i * 10**9 + 9 * 10**8)
    story.gauge("agentscope.event_loop.delay.max", 0.002, 0.004)
    prices = f"{price_source()}, prices checked up to {price_date()}"
    assert shown(story.report()) == PAGE.replace("PRICES", prices)


def test_a_narrow_terminal_loses_nothing(story: Any) -> None:
    """At 80 columns lines wrap; no cause and no check disappears."""
    for i in range(30):
        story.turn("s", i * 6.0, ("llm.first_token", 1.9), ("runtime.event_loop", 0.1))
    report = story.report()
    page = shown(report, width=80)
    assert max(len(line) for line in page.splitlines()) <= 80
    said = " ".join(page.split())
    assert all(finding.cause in said for finding in report.findings)
    assert all(check.check in said for check in report.validity if check.check != "not_measured")


WIDE = [
    ("memory", "23.5 GiB", "7.21 KiB", "3.41 M [2.2 M, 7.65 M]", "yes, first"),
    ("db.pool:postgres@localhost", "10 connections", "0.004", "2 394", "no"),
]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (100, ("resource", "limit", "a session", "sessions", "reached")),
        (80, ("resource", "limit", "a session", "sessions", "reached")),
        (70, ("resource", "limit", "sessions", "reached")),
        (60, ("resource", "sessions", "reached")),
    ],
)
def test_no_figure_of_a_table_is_ever_cut(width: int, columns: tuple[str, ...]) -> None:
    """Where the page is narrow names fold and whole columns go: 644 must not stand for 644 ms."""
    file = io.StringIO()
    names = ("resource", "limit", "a session", "sessions", "reached")
    Page(Console(file=file, width=width, color_system=None)).table(
        names, WIDE, wraps="limit", dispensable=("a session", "limit")
    )
    page = file.getvalue()
    assert [name for name in names if name in page] == list(columns)
    assert max(len(line.rstrip()) for line in page.splitlines()) <= width
    whole = [row[names.index(name)] for row in WIDE for name in columns[-2:]]
    assert all(cell in page for cell in whole)


def test_data_cannot_move_the_cursor(story: Any) -> None:
    """Escape sequences, line breaks and invisible characters from the run are spelled out."""
    trace = story.turn("s", 0, ("runtime.event_loop", 1.0), ("llm.first_token", 1.0))
    story.span(
        trace,
        runtime_event="loop_blocked",
        start_ns=T0_NS,
        end_ns=T0_NS + 10**9,
        code_function="\x1b[2J[red]evil\u202e",
        code_file="/x\n.py",
        code_line=1,
    )
    page = shown(story.report())
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert r"\x1b[2J[red]evil\u202e (x\n.py:1)" in " ".join(page.split())


@pytest.mark.parametrize(("statuses", "told"), [((429, 200), True), ((200,), False)])
def test_a_first_token_after_retries_is_not_taken_for_the_models_own(
    story: Any, statuses: tuple[int, ...], told: bool
) -> None:
    """The table of models shows what the service waited; what of it is the model's is a cause."""
    for i in range(30):
        trace = story.turn(f"s{i % 6}", i * 6.0, ("llm.first_token", 1.9))
        story.call(trace, i * 6.0, *statuses)
    for span in story.spans:
        if span.get("operation"):
            span |= {"streamed": True, "first_chunk_s": 0.05}
    assert (terminal.RETRIES_INCLUDED in " ".join(shown(story.report()).split())) is told
