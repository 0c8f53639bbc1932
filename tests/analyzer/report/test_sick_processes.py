"""One process among several: what it does worse, what it did not watch, how long it lived."""

from random import Random
from typing import Any

import pytest

from agentscope_analyzer.document import Report

NS = 1_000_000_000
T0_NS = 1_790_000_000_000_000_000


def serve(story: Any, instance: str, session: str, at_s: float, *parts: Any, **turn: Any) -> str:
    """A turn of the service's one route, in a process."""
    trace = story.turn(session, at_s, *parts, instance=instance, **turn)
    story.spans[-1].update(instance=instance, service="agent", name="POST /chat")
    return str(trace)


def block(story: Any, instance: str, at_s: float, took_s: float) -> None:
    """The loop of a process stands still."""
    start_ns = T0_NS + round(at_s * NS)
    story.span(
        f"{len(story.spans) + 10**6:032x}",
        instance=instance,
        runtime_event="loop_blocked",
        start_ns=start_ns,
        end_ns=start_ns + round(took_s * NS),
    )


def checks(report: Report, name: str) -> list[str]:
    return [check.detail for check in report.validity if check.check == name]


def causes(report: Report) -> set[str]:
    return {finding.cause for finding in report.findings}


def test_one_slow_process_is_named_and_what_is_slow_in_it(story: Any) -> None:
    """A bad replica behind one of four pods: sessions are not of two kinds, one process is sick."""
    for i in range(160):
        query_s = 3.0 if i % 4 == 1 else 0.005
        parts = ("db.query", query_s), ("llm.first_token", 0.5 + i % 7 / 100)
        serve(story, f"pod-{i % 4}", f"s{i // 4 * 4 % 60 + i % 4}", i * 1.0, *parts)
    report = story.report()
    apart = "requests take 3.53 s in process pod-1, 535 ms in the other 3 of agent, median"
    assert report.verdict.statement.endswith(f"; {apart}")
    assert report.verdict.confidence == "medium"
    assert checks(report, "processes") == [
        (
            f"{apart}; db.query takes 3 s of a turn there, 5 ms elsewhere; means over all processes are "
            "those of none: look at that process and its host, or at what is sent to it alone"
        )
    ]
    assert checks(report, "mixed_workload") == []


def test_a_process_that_fails_more_often_is_named(story: Any) -> None:
    """Its errors come fast and keep every target."""
    for i in range(160):
        fails = i % 4 == 1 and i % 8 == 1
        parts = ("llm.first_token", 0.02 if fails else 0.5)
        serve(story, f"pod-{i % 4}", f"s{i % 40}", i * 1.0, parts, error=fails)
    assert story.report().verdict.statement.endswith(
        "; but 12 % of turns failed; 50 % of turns fail in process pod-1, 0 % in the other 3 of agent"
    )


@pytest.mark.parametrize("seed", range(6))
def test_processes_that_differ_by_chance_are_alike(story: Any, seed: int) -> None:
    """Sixteen processes, sessions that differ from each other: none of them is called sick."""
    draw = Random(f"alike/{seed}")
    for session in range(160):
        usual_s = draw.lognormvariate(0.0, 0.6)
        for turn in range(3):
            took_s = usual_s * draw.lognormvariate(0.0, 0.2)
            at_s = session * 0.5 + turn * 20
            serve(story, f"pod-{session % 16}", f"s{session}", at_s, ("llm.first_token", took_s))
    assert checks(story.report(), "processes") == []


def test_what_one_process_did_not_watch_is_not_ruled_out(story: Any) -> None:
    """The delay of one loop says nothing of the loop that nobody looked at."""
    for i in range(40):
        serve(story, f"pod-{i % 2}", f"s{i % 10}", i * 2.0, ("llm.first_token", 0.5))
    story.gauge("agentscope.event_loop.delay.max", *[0.003] * 80)
    story.metrics = [{**point, "instance": "pod-0"} for point in story.metrics]
    report = story.report()
    assert "runtime.event_loop" not in causes(report)
    assert (
        "runtime.event_loop: the delay of the event loop was not recorded in 1 of 2 processes: pod-1"
    ) in checks(report, "not_measured")


def test_what_every_process_watched_is_ruled_out(story: Any) -> None:
    """The same run with both loops watched."""
    for i in range(40):
        serve(story, f"pod-{i % 2}", f"s{i % 10}", i * 2.0, ("llm.first_token", 0.5))
    story.gauge("agentscope.event_loop.delay.max", *[0.003] * 80)
    story.metrics = [
        {**point, "instance": pod} for point in story.metrics for pod in ("pod-0", "pod-1")
    ]
    assert "runtime.event_loop" in causes(story.report())


@pytest.mark.parametrize(("readings", "is_told"), [((40.0,), False), ((40.0, 41.0), True)])
def test_processor_time_that_was_read_once_rules_nothing_out(
    story: Any, readings: tuple[float, ...], is_told: bool
) -> None:
    """A total of 40 s, exported once in a minute: nobody knows how much of it was the run's."""
    for i in range(40):
        story.turn("s", i * 1.5, ("llm.first_token", 1.0))
    for i, value in enumerate(readings):
        story.metrics.append(
            {
                "name": "process.cpu.time",
                "kind": "sum",
                "temporality": "cumulative",
                "time_ns": T0_NS + i * 55 * NS,
                "value": value,
            }
        )
    assert ("runtime.cpu" in causes(story.report())) is is_told


def test_a_loop_that_stands_still_in_one_of_many_processes_is_named(story: Any) -> None:
    """One of fifty is stopped for most of its life: on average that is hardly anything."""
    for i in range(400):
        parts: list[tuple[str, float]] = [("llm.first_token", 0.5)]
        if i % 50 == 7:
            parts.append(("runtime.event_loop", 9.0))
            block(story, "pod-7", i * 0.5 + 0.5, 9.0)
        serve(story, f"pod-{i % 50}", f"s{i % 100}", i * 0.5, *parts)
    report = story.report()
    assert report.verdict.cause == "runtime.event_loop"
    assert "the loop stood still for 0.82 % of the run, that of pod-7 for 39 %" in (
        report.verdict.statement
    )


def test_workers_that_follow_one_another_lived_for_a_part_of_the_run(story: Any) -> None:
    """Ten workers in turn, each stopped for a third of its life: a third, and no thirtieth."""
    for i in range(100):
        serve(
            story,
            f"worker-{i // 10}",
            f"s{i % 20}",
            i * 3.0,
            ("runtime.event_loop", 1.0),
            ("llm.first_token", 1.9),
        )
        block(story, f"worker-{i // 10}", i * 3.0, 1.0)
    assert "the loop stood still for 33 % of the run" in story.report().verdict.statement


def test_a_run_of_a_nanosecond_divides_nothing_by_nothing(story: Any) -> None:
    """All turns are over as soon as they begin, and a counter says that nothing was throttled."""
    story.turn("s", 0.0, ("llm.first_token", 1e-9), instance=None)
    story.spans[-1].update(start_ns=T0_NS, end_ns=T0_NS)
    for value in (0.0, 1.0):
        story.metrics.append(
            {
                "name": "agentscope.cgroup.cpu.throttled_time",
                "kind": "sum",
                "temporality": "cumulative",
                "time_ns": T0_NS + round(value * NS),
                "value": value,
            }
        )
    assert story.report().run.turns == 1


def test_turns_a_second_are_exact_in_a_short_run(story: Any) -> None:
    """A thousandth of a second is known to more than a quarter of a microsecond."""
    story.turn("s", 0.0, ("llm.first_token", 0.001))
    assert story.report().turns.per_second == 1000.0
