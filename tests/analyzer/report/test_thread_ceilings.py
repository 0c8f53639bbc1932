"""Worker threads in live sessions: what looks once a second miss, tools tell."""

import math
import random
from typing import Any

import pytest

from agentscope_analyzer.ceilings.threads import thread_ceiling
from agentscope_analyzer.document import Ceiling, Rows
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
SIZE = 8
SESSIONS = 20
WINDOW_S = 2


def looked_at(seed: int, in_threads: float, calls_a_second: float = 15.0) -> tuple[Rows, Rows]:
    """Three minutes of tools of a tenth of a second, of which some work in a thread of the pool.

    Returns the rows of ``runtime/caps`` and of ``ceilings/threads``.
    """
    draw = random.Random(seed)
    length_s, at_s = 180, 0.0
    steps: list[tuple[float, int, int]] = []
    busy = [0.0] * (length_s // WINDOW_S)
    while (at_s := at_s + draw.expovariate(calls_a_second)) < length_s - 1:
        took_s, thread = draw.uniform(0.05, 0.15), int(draw.random() < in_threads)
        steps += [(at_s, 1, thread), (at_s + took_s, -1, -thread)]
        busy[int(at_s) // WINDOW_S] += took_s / WINDOW_S
    steps.sort()
    looks, tools, used, i = [], 0, 0, 0
    for second in range(length_s):
        while i < len(steps) and steps[i][0] < second + 0.5:
            tools, used, i = tools + steps[i][1], used + steps[i][2], i + 1
        looks.append((used, tools))
    mean = sum(used for used, _ in looks) / length_s
    spread = math.sqrt(sum((used - mean) ** 2 for used, _ in looks) / length_s)
    caps = {"resource": "anyio", "size": SIZE, "mean": mean, "spread": spread, "points": length_s}
    rows = [
        {
            "resource": "anyio",
            "instance": "a",
            "number": n,
            "used": sum(used for used, _ in looks[n * WINDOW_S : (n + 1) * WINDOW_S]) / WINDOW_S,
            "tools": sum(all_ for _, all_ in looks[n * WINDOW_S : (n + 1) * WINDOW_S]) / WINDOW_S,
            "points": WINDOW_S,
            "busy": busy[n],
        }
        for n in range(len(busy))
    ]
    return [{**caps, "times_full": 0}], rows


def told(seed: int, in_threads: float, *, by_tools: bool = True) -> Ceiling:
    caps, rows = looked_at(seed, in_threads)
    with_tools = rows if by_tools else None
    found = thread_ceiling(caps, live_mean=SESSIONS, waited_share=0.0, with_tools=with_tools)
    assert isinstance(found, Ceiling)
    return found


@pytest.mark.parametrize("in_threads", [1.0, 0.7])
def test_tools_make_up_for_what_nobody_looked_at(in_threads: float) -> None:
    """Of forty runs nineteen twentieths are within a tenth, and the intervals hold the truth; looks
    alone are off by more in a fifth of them."""
    truth = SIZE / (15 * 0.1 * in_threads / SESSIONS)
    ceilings = [told(seed, in_threads) for seed in range(40)]
    errors = [abs((one.sessions or 0) / truth - 1) for one in ceilings]
    assert sum(error <= 0.10 for error in errors) >= 38
    assert sum((one.low or 0) - 1 <= truth <= (one.high or 0) + 1 for one in ceilings) >= 37
    alone = [told(seed, in_threads, by_tools=False) for seed in range(40)]
    assert sum(abs((one.sessions or 0) / truth - 1) > 0.10 for one in alone) >= 4
    assert "corrected by how many tools were at work in between" in ceilings[0].basis


def test_tools_that_do_not_work_in_threads_change_nothing() -> None:
    """Threads that are in use all the same for other work: the looks stand."""
    caps, rows = looked_at(1, 0.5)
    draw = random.Random(1)
    for row in rows:
        row["used"] = float(draw.random() < 0.5)
    plain = thread_ceiling(caps, live_mean=SESSIONS, waited_share=0.0)
    found = thread_ceiling(caps, live_mean=SESSIONS, waited_share=0.0, with_tools=rows)
    assert isinstance(plain, Ceiling)
    assert isinstance(found, Ceiling)
    assert found.sessions == pytest.approx(plain.sessions, rel=0.03)


def test_a_pool_and_its_processes_tools_window_by_window(story: Any) -> None:
    """A tool from 0.5 s to 2.5 s and one at 3 s for half a second; looks at 0, 1, 2 and 3 s."""
    trace = story.turn("s", 0.0, ("tool.execution", 4.0))
    for at_s, took_s in ((0.5, 2.0), (3.0, 0.5)):
        at_ns = T0_NS + round(at_s * 1e9)
        times = {"start_ns": at_ns, "end_ns": at_ns + round(took_s * 1e9)}
        story.span(trace, tool="fetch", instance="instance-1", **times)
    story.gauge("agentscope.threadpool.borrowed", 0, 1, 1, 1, limiter="anyio")
    for point in story.metrics:
        point["instance"] = "instance-1"
    rows = Asker(story.told()).ask(
        "ceilings/threads",
        used="agentscope.threadpool.borrowed",
        label="limiter",
        from_ns=T0_NS,
        to_ns=T0_NS + 4 * 10**9,
        window_ns=2 * 10**9,
    )
    of = {"resource": "anyio", "instance": "instance-1", "points": 2}
    assert rows == [
        {**of, "number": 0, "used": 0.5, "tools": 0.5, "busy": 0.75},
        {**of, "number": 1, "used": 1.0, "tools": 1.0, "busy": 0.5},
    ]
