"""The service's own bottlenecks: each finding names the resource and the line of the user's code."""

from typing import Any

import pytest

from agentscope_analyzer.facts import Targets

T0_NS = 1_790_000_000_000_000_000
TURNS = 40
LINE = {"code_function": "app.ask", "code_file": "/srv/app.py", "code_line": 42}


def at(seconds: float) -> int:
    return T0_NS + round(seconds * 1e9)


def turns(story: Any, *parts: tuple[str, float], every_s: float = 2.0) -> list[str]:
    return [story.turn(f"s{i % 4}", i * every_s, *parts) for i in range(TURNS)]


def found(report: Any, cause: str) -> tuple[str, str]:
    (finding,) = [finding for finding in report.findings if finding.cause == cause]
    return finding.kind, finding.statement


def test_a_lock_is_named_by_its_line_with_how_long_a_turn_at_it_takes(story: Any) -> None:
    """Nineteen wait at a time, and one gets it every 0.4 s."""
    trace = turns(story, ("wait.lock", 1.5), ("llm.first_token", 0.5))[0]
    for i in range(19):
        story.span(
            trace,
            wait_kind="lock",
            wait_resource="app.py:22",
            start_ns=at(0),
            end_ns=at(0.4 * (i + 1)),
        )
    assert found(story.report(), "wait.lock") == (
        "binds",
        (
            "locks and semaphores in the service bind: 75 % of turn time; the lock at app.py:22 was waited "
            "for 19 times, by up to 19 at once, and handed on every 400 ms"
        ),
    )


def test_a_full_pool_of_threads_is_named_with_since_when_and_its_ceiling(story: Any) -> None:
    """Four threads, all in use from the third second on, by four sessions."""
    for trace in turns(story, ("runtime.threadpool", 1.0), ("llm.first_token", 1.0)):
        for _ in range(2):
            story.span(
                trace, wait_kind="threadpool", wait_resource="anyio", start_ns=at(0), end_ns=at(1)
            )
    story.gauge("agentscope.threadpool.limit", *[4.0] * 10, limiter="anyio")
    story.gauge("agentscope.threadpool.borrowed", 0.0, 3.0, *[4.0] * 8, limiter="anyio")
    report = story.report()
    assert found(report, "runtime.threadpool") == (
        "binds",
        (
            "the worker threads bind: 50 % of turn time; all 4 worker threads of 'anyio' in use from "
            "14:13:22 UTC on, 80 % of the time; 80 waits for a worker thread of 'anyio', up to 80 at once; "
            "4 threads are used up at 3 live sessions [2, 3]"
        ),
    )
    (ceiling,) = report.ceilings
    assert (ceiling.resource, ceiling.limit, ceiling.reached, ceiling.binding) == (
        "threadpool",
        4.0,
        True,
        True,
    )


def test_a_connection_held_while_the_model_answers_is_watched(story: Any) -> None:
    """The pool does not bind yet, but it is held 0.9 s for a query of 8 ms."""
    for i, trace in enumerate(turns(story, ("llm.first_token", 1.0))):
        story.call(trace, i * 2.0 + 0.05, 200, took_s=0.8)
        story.span(
            trace,
            kind="CLIENT",
            db_system="postgresql",
            start_ns=at(i * 2.0),
            end_ns=at(i * 2.0 + 0.008),
        )
        story.span(
            trace,
            runtime_event="connection_held",
            db_pool="main",
            start_ns=at(i * 2.0),
            end_ns=at(i * 2.0 + 0.9),
            **LINE,
        )
    assert found(story.report(), "db.pool") == (
        "watch",
        (
            "the database connection pool: 0 % of turn time so far, but a connection of pool 'main' is "
            "held 900 ms, 800 ms of them during calls of the model, though a query takes 8 ms "
            "(held at app.py:42)"
        ),
    )


def test_a_connection_given_back_before_the_call_is_no_finding(story: Any) -> None:
    """Held for other work, next to no model's call: nothing is said."""
    for i, trace in enumerate(turns(story, ("llm.first_token", 1.0))):
        story.call(trace, i * 2.0 + 0.2, 200, took_s=0.7)
        held = {"start_ns": at(i * 2.0), "end_ns": at(i * 2.0 + 0.2)}
        story.span(trace, runtime_event="connection_held", db_pool="main", **held)
    assert found(story.report(), "db.pool")[0] == "ruled_out"


def test_the_function_in_which_the_collector_runs_is_named(story: Any) -> None:
    """Three of four pauses came in one line's blocks; the other was in a thread."""
    turns(story, ("runtime.gc", 1.0), ("llm.first_token", 1.0))
    for i in range(TURNS):
        story.span(
            "b", runtime_event="loop_blocked", start_ns=at(i * 2), end_ns=at(i * 2 + 1), **LINE
        )
        pauses = [i * 2 + 0.1, i * 2 + 0.4, i * 2 + 0.7, i * 2 + 1.5]
        for start_s in pauses:
            story.span(
                "b",
                runtime_event="gc_pause",
                start_ns=at(start_s),
                end_ns=at(start_s + 0.2),
                attrs={"agentscope.gc.generation": "2"},
            )
    story.metrics.append(
        {
            "name": "agentscope.gc.pause",
            "kind": "histogram",
            "time_ns": 1,
            "count": 160,
            "total": 32.0,
        }
    )
    assert found(story.report(), "runtime.gc") == (
        "binds",
        (
            "the garbage collector binds: 50 % of turn time; 160 pauses, 40 % of the run; 75 % of it in "
            "app.ask (app.py:42), 120 pauses, all full collections"
        ),
    )


def test_a_quota_is_named_with_how_much_of_the_run_it_froze(story: Any) -> None:
    """Half of a run without a tenth of a core."""
    turns(story, ("runtime.throttled", 1.0), ("llm.first_token", 1.0))
    for i in range(TURNS):
        story.span("f", runtime_event="cpu_throttled", start_ns=at(i * 2), end_ns=at(i * 2 + 1))
    story.gauge("agentscope.cgroup.cpu.limit", 0.1)
    assert found(story.report(), "runtime.throttled") == (
        "binds",
        (
            "the container's CPU quota binds: 50 % of turn time; CPU quota of 0.1 cores: throttled for 50 % "
            "of the run"
        ),
    )


def test_calls_made_synchronously_are_named_with_the_line(story: Any) -> None:
    """Every call of the model began and ended within one block."""
    for i, trace in enumerate(turns(story, ("runtime.event_loop", 2.0))):
        story.span(
            trace,
            name="chat m",
            kind="CLIENT",
            operation="chat",
            start_ns=at(i * 2 + 0.1),
            end_ns=at(i * 2 + 1.8),
        )
        story.span(
            trace, runtime_event="loop_blocked", start_ns=at(i * 2), end_ns=at(i * 2 + 1.9), **LINE
        )
    assert found(story.report(), "runtime.event_loop") == (
        "binds",
        (
            "the blocked event loop binds: 100 % of turn time; the loop stood still for 95 % of the run; "
            "app.ask (app.py:42) stopped it 40 times, 76 s in all, by calls 'chat m' that it made "
            "synchronously"
        ),
    )


@pytest.mark.parametrize(
    ("waited_s", "kind"), [(0.0, "binds"), (0.3, "binds"), (0.8, "watch"), (1.0, "ruled_out")]
)
def test_a_crowded_machine_is_not_blamed_on_the_service(
    story: Any, waited_s: float, kind: str
) -> None:
    """Of each block of a second so much was a wait for a free processor."""
    turns(story, ("runtime.event_loop", 0.5), ("llm.first_token", 1.5))
    for i in range(TURNS):
        story.span(
            "b",
            runtime_event="loop_blocked",
            start_ns=at(i * 2),
            end_ns=at(i * 2 + 1),
            attrs={"agentscope.runtime.processor_wait": str(waited_s)},
        )
    report = story.report()
    assert found(report, "runtime.event_loop")[0] == kind
    (check,) = [check for check in report.validity if check.check == "processors"]
    assert (check.status, check.value) == (
        "warn" if waited_s else "ok",
        pytest.approx(waited_s / 2),
    )


def test_a_service_that_takes_longer_the_more_ask_has_a_queue(story: Any) -> None:
    """Half a second alone, 2 s with four at a time: it is used up, though users would still wait."""
    for i in range(TURNS):
        alone = i < TURNS / 2
        at_s = i * 10.0 if alone else 200 + (i // 4) * 10.0
        took_s = 0.5 if alone else 2.0
        trace = story.turn(f"s{i % 4}", at_s, ("http.upstream", took_s), ("llm.first_token", 0.2))
        story.span(
            trace,
            kind="CLIENT",
            http_method="GET",
            server_address="profiles",
            server_port=80,
            start_ns=at(at_s),
            end_ns=at(at_s + took_s),
        )
    assert found(story.report(), "http.upstream") == (
        "binds",
        (
            "other HTTP services bind: 86 % of turn time; service 'profiles:80' takes 1.25 s (40 calls); "
            "500 ms a turn with 1 turn in flight, 2 s with 3.15"
        ),
    )


def test_work_that_takes_most_of_a_turn_is_named_although_nobody_waits_too_long(story: Any) -> None:
    """A tool of 1.2 s: the target is met, and yet there is nothing larger to mend."""
    for i, trace in enumerate(turns(story, ("tool.execution", 1.2), ("llm.first_token", 0.3))):
        story.span(trace, tool="report", start_ns=at(i * 2), end_ns=at(i * 2 + 1.2))
    report = story.report()
    assert report.verdict.cause is None
    assert found(report, "tool.execution") == (
        "watch",
        (
            "the tools' own work: 80 % of turn time, more than all else together; no target is missed; "
            "tool 'report' takes 1.2 s (40 calls)"
        ),
    )


def test_threads_that_compete_for_the_interpreter_bind_and_the_loop_only_follows(
    story: Any,
) -> None:
    """The loop waits for the lock that the service's own threads keep."""
    turns(story, ("runtime.cpu", 1.0), ("runtime.event_loop", 0.5), ("db.query", 0.5))
    for row in story.sections:
        if row["cause"] == "runtime.cpu":
            row["span_id"] = story.span(
                row["trace_id"],
                name="execute_tool score",
                tool="score",
                start_ns=row["start_ns"],
                end_ns=row["end_ns"],
            )
    for i in range(TURNS):
        story.span("b", runtime_event="loop_blocked", start_ns=at(i * 2), end_ns=at(i * 2 + 1))
    story.gauge("agentscope.interpreter.lock_wait", 0.009, 0.011)
    report = story.report()
    assert report.verdict.statement == (
        "the service's own code binds: 50 % of turn time; threads compete for one interpreter: one that "
        "is ready waits 10 ms for its lock on average; 100 % of it in 'execute_tool score'"
    )
    assert found(report, "runtime.event_loop") == (
        "watch",
        (
            "the blocked event loop: 25 % of turn time; it waits for the interpreter lock that the service's "
            "own threads keep: see runtime.cpu"
        ),
    )


@pytest.mark.parametrize(
    ("growth", "p50_s", "kind", "told"),
    [
        (
            0.4,
            3.0,
            "binds",
            "80 % of turn time; 1.05 s a turn with 5.62 turns in flight, 1.42 s with 17.1",
        ),
        (0.1, 1.0, "binds", "it hardly grows with load (1.04 s and 1.13 s a turn"),
    ],
)
def test_growth_that_is_proved_is_never_called_none(
    story: Any, growth: float, p50_s: float, kind: str, told: str
) -> None:
    """Forty per cent longer, every time, is a queue, though the database never had little to do."""
    for part, (took_s, every_s) in enumerate(
        ((1.0, 0.25), (1 + growth / 2, 0.14), (1 + growth, 0.1))
    ):
        for i in range(120):
            at_s = part * 60.0 + i * every_s
            parts = [("db.query", took_s * (1 + 0.01 * (i % 7))), ("llm.first_token", 0.3)]
            story.turn(f"s{i % 30}", at_s, *parts)
    report = story.report(targets=Targets(p50_s=p50_s, p95_s=8.0))
    kinds = {one.cause: one.kind for one in report.growth.causes}
    assert kinds["db.query"] == "grows"
    judged, statement = found(report, "db.query")
    assert (judged, statement.count(told), statement.count("a turn with")) == (kind, 1, 1)


def test_threads_that_compete_are_named_where_the_loop_binds(story: Any) -> None:
    """The loop stands still, and so does every thread that wants the interpreter."""
    turns(story, ("runtime.event_loop", 1.0), ("llm.first_token", 1.0), ("runtime.cpu", 0.05))
    for i in range(TURNS):
        story.span(
            "b", runtime_event="loop_blocked", start_ns=at(2 * i), end_ns=at(2 * i + 1), **LINE
        )
    story.gauge("agentscope.interpreter.lock_wait", *[0.003] * 80)
    kind, statement = found(story.report(), "runtime.event_loop")
    assert kind == "binds"
    assert statement.endswith(
        "; threads compete for the interpreter meanwhile, and that stops it too"
    )


def test_a_tool_that_stops_the_loop_is_not_said_to_take_the_time_itself(story: Any) -> None:
    """It takes 0.6 s of each turn, and none of it is the tool's own: both stand in one sentence."""
    parts = [("runtime.event_loop", 0.5), ("tool.execution", 0.001), ("llm.first_token", 1.0)]
    for i, trace in enumerate(turns(story, *parts)):
        story.span(trace, tool="search", start_ns=at(2 * i), end_ns=at(2 * i + 0.6))
    assert found(story.report(), "tool.execution")[1].endswith(
        "; tool 'search' takes 600 ms (40 calls), most of it other causes' time or beside the "
        "critical path"
    )
