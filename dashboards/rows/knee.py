"""Throughput against concurrency: as long as it follows, and where it no longer does."""

from __future__ import annotations

from typing import Final

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import REQUESTS_PER_SECOND, SHARE, Line, against, lines
from queries import RATE_INTERVAL, in_flight, rate, total

TURNS: Final = rate(c.TURN_DURATION, "count", any_route=True)
"""Turns that end a second, of all routes: those in flight are not counted by route."""

# Turns in flight by Little's law, the seconds of all turns a second: a gauge that is read at
# scrapes only is too rough where few are in flight, and the best would be where it erred most.
_PER_TURN = f"{TURNS} / ({rate(c.TURN_DURATION, 'sum', any_route=True)} > 0)"
# Not the maximum, which a single quick turn can make. Asked for the end of the time shown,
# whatever the point: so Prometheus works it out only once.
_BEST = f"quantile_over_time(0.9, ({_PER_TURN})[$__range:{RATE_INTERVAL}] @ end())"

OF_THE_BEST: Final = f"{_PER_TURN} / {_BEST}"
"""Turns per second for each turn in flight, as a share of the best tenth of the time shown."""


def panels() -> list[Panel]:
    """Both over time, one against the other, and what one more user adds."""
    users = f"({total(c.LOAD_USERS)} or {total(c.SESSIONS_ACTIVE)})"
    return [
        lines(
            c.TURNS_ACTIVE,
            "Users and turns in flight",
            Line(total(c.LOAD_USERS), "users"),
            Line(total(c.SESSIONS_ACTIVE), "active sessions"),
            Line(in_flight(), "turns in flight"),
            span=12,
            shows="simulated users, sessions that are active and turns in flight",
            read="Users of the load generator, if it is scraped. The distance from turns in "
            "flight to users is those who think.",
            then="turns in flight that close in on users: nobody thinks any more, all wait.",
        ),
        lines(
            c.TURN_DURATION,
            "Turns per second",
            Line(TURNS, "turns"),
            unit=REQUESTS_PER_SECOND,
            span=12,
            shows="turns that ended, of all routes",
            read="Rises with each stage until something binds; the level at which it stays is "
            "what the service can do.",
            then="a fall under more load is worse than a limit: work is thrown away, by time-outs "
            "and retries.",
        ),
        against(
            c.TURN_DURATION,
            "Turns per second against turns in flight",
            Line(in_flight(), "turns in flight"),
            Line(TURNS, "turns per second"),
            unit=REQUESTS_PER_SECOND,
            shows="one point for each moment of the time shown",
            read="A straight line up from zero: load costs nothing yet. Where it bends is the "
            "knee; flat beyond it is a limit, downward is collapse. Points beside the curve are "
            "changes from one stage to the next.",
            then="read the turns in flight at the bend: run production below that. `agentscope "
            "analyze` says what binds there.",
        ),
        lines(
            c.TURN_DURATION,
            "The knee: throughput left per turn in flight",
            Line(OF_THE_BEST, "of the best"),
            unit=SHARE,
            levels=thresholds.THROUGHPUT_LEFT,
            shows="turns per second for each turn in flight, as a share of the best tenth of the "
            "time shown",
            read="By Little's law it is the best mean duration over the present one: 100 % while "
            "load costs nothing, 50 % where a turn takes twice as long. Choose a time that "
            "begins with the first, small stage.",
            then="the stage in which it turns yellow is the first beyond the knee.",
        ),
        lines(
            c.TURN_DURATION,
            "What one user adds",
            Line(f"{TURNS} / ({users} > 0)", "turns per second and user"),
            unit=REQUESTS_PER_SECOND,
            shows="turns per second, divided by simulated users, or by active sessions where the "
            "load generator is not scraped",
            read="Level while each user is served as if alone: one turn per think time and answer. "
            "Where it falls as users come, one more adds less than one did.",
            then="halved: as many users again would add nothing; look at what grows, below.",
        ),
    ]
