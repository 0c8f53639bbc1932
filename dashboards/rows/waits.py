"""Where wall time waits: for a quota, a pool, a retry, the event loop."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from frame import Panel
from links import LLM, RUNTIME
from panels import NO_RECORDER, NO_WAITS, PLAIN, Line, lines
from queries import per, quantile, rate


def panels() -> list[Panel]:
    """Waiting by kind, per turn and at a time, and the two waits that hide best."""
    turns = rate(c.TURN_DURATION, "count", any_route=True)
    return [
        lines(
            c.WAIT_DURATION,
            "Waiting per turn, by kind",
            Line(per(rate(c.WAIT_DURATION, "sum", by=("kind",)), turns), "{{kind}}"),
            empty=NO_WAITS,
            colours=colours.WAITS,
            stacked=True,
            span=12,
            shows="seconds that a turn spends waiting, all routes together",
            read="Waits side by side in "
            "one turn add up here, so it may exceed what the user notices.",
            then="the widest band is what to work on first: rate_limit is quota, db.pool is pool "
            "size or slow queries, http.pool is the client's connection limit.",
        ),
        lines(
            c.PHASE_DURATION,
            "Time per turn, by phase",
            Line(per(rate(c.PHASE_DURATION, "sum", by=("phase",)), turns), "{{phase}}"),
            empty="no phases",
            colours=colours.PHASES,
            stacked=True,
            span=12,
            shows="seconds that a turn spends in each phase, all routes together",
            read="Waits are included. Tools that run "
            "side by side, and phases within phases, count in full.",
            then="a phase that grows while its waits do not is doing more work: look inside it.",
        ),
        lines(
            c.WAIT_DURATION,
            "Waiters at a time",
            Line(
                rate(c.WAIT_DURATION, "sum", by=("kind", "resource")),
                "{{kind}} {{resource}}",
            ),
            empty=NO_WAITS,
            many=True,
            colours=colours.WAITS,
            unit=PLAIN,
            shows="wait seconds a second, which is how many wait at a time",
            read="A wait is counted when it ends, so a long one shows late.",
            then="a line that rises with sessions is a limit that is reached; its resource says "
            "which pool or model.",
        ),
        lines(
            c.WAIT_DURATION,
            "Wait duration, p95",
            Line(quantile(0.95, c.WAIT_DURATION, by=("kind",)), "{{kind}}"),
            empty=NO_WAITS,
            colours=colours.WAITS,
            read=f"One wait in twenty is longer; above {c.DELAY_BUCKETS[-1]:g} s it reads that.",
            then="short and many: enlarge the pool; long and few: find who holds the resource.",
            more=RUNTIME,
        ),
        lines(
            c.LLM_BACKOFF,
            "Model back-off",
            Line(rate(c.LLM_BACKOFF, by=("reason",)), "{{reason}}"),
            empty="no sleeps",
            colours=colours.WAITS,
            unit=PLAIN,
            shows="seconds slept between attempts a second, which is how many calls sleep at a time",
            read="Clients do this out of sight: the call only looks slow.",
            then="rate_limit: compare with quota left; retry_backoff: see attempts by status.",
            more=LLM,
        ),
        lines(
            c.LOOP_DELAY,
            "Event-loop delay",
            Line(quantile(0.99, c.LOOP_DELAY, by=("instance",)), "p99 {{instance}}"),
            Line(quantile(0.5, c.LOOP_DELAY, by=("instance",)), "median {{instance}}"),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            span=24,
            read="Sampled at even distances in time, so p99 is what the worst hundredth of the "
            "time looked like. Every turn of the process waits this long whenever it resumes.",
            then="a high p99 with a low median is a blocking call: a recorded run names its "
            "function; a high median is CPU: see the runtime row.",
            more=RUNTIME,
        ),
    ]
