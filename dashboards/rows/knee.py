"""Throughput against concurrency: as long as it follows, and where it no longer does."""

from __future__ import annotations

from typing import Final

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import (
    NO_RECORDER,
    NO_TURNS,
    REQUESTS_PER_SECOND,
    SHARE,
    Line,
    against,
    lines,
)
from queries import INTERVAL, RANGE, gauge, in_flight, rate, total

TURNS: Final = rate(c.TURN_DURATION, "count", any_route=True)
"""Turns that end a second, of all routes: those in flight are not counted by route."""

# A turn that is not HTTP has no status; what was refused at the door is no answer.
_ANSWERED = {"status": "([123]..)?"}
_OK = rate(c.TURN_DURATION, "count", where=_ANSWERED, any_route=True)
_OK_S = rate(c.TURN_DURATION, "sum", where=_ANSWERED, any_route=True)
_UNBROKEN = f"({TURNS}) - ({rate(c.ERRORS)} or 0 * {TURNS})"
# Streams that broke off were answered 200, and are among the errors.
_GOOD = f"clamp_min(clamp_max({_OK}, scalar({_UNBROKEN})), 0)"

GOOD_TURNS: Final = f"{_GOOD} or 0 * {TURNS}"
"""Turns that ended well a second: a service that fails at once gets no faster by it."""

# The share that ends well, over the mean duration of what is answered. Turns in flight by Little's
# law would be longer words for the same; a gauge of them, read at scrapes only, is too rough where
# few are in flight, and the best would be where it erred most.
_SPEED = f"({_GOOD} / ({TURNS} > 0) * {_OK} / ({_OK_S} > 0) or 0 * ({TURNS} > 0))"
# Not the maximum, which a single quick turn can make. Asked for the end of the time shown,
# whatever the point: so Prometheus works it out only once.
_BEST = f"quantile_over_time(0.9, {_SPEED}[{RANGE}:{INTERVAL}] @ end())"

SPEED_KEPT: Final = f"{_SPEED} / ({_BEST} > 0)"
"""How fast turns end, and end well, as a share of the best tenth of the time shown."""

_GENERATOR = gauge(c.LOAD_USERS)
_NO_GENERATOR = f"unless on () count (present_over_time({_GENERATOR}[{RANGE}] @ end()))"
# At the end of a run its users are gone, and sessions stay active for a while: not the one for the
# other in the same line.
USERS: Final = f"({total(c.LOAD_USERS)} or ({total(c.SESSIONS_ACTIVE)} {_NO_GENERATOR}))"
"""Simulated users, or active sessions where no load generator was scraped in the time shown."""


def panels() -> list[Panel]:
    """Both over time, one against the other, and what one more user adds."""
    return [*_over_time(), *_against_each_other()]


def _over_time() -> list[Panel]:
    return [
        lines(
            c.TURNS_ACTIVE,
            "Users and turns in flight",
            Line(total(c.LOAD_USERS), "users"),
            Line(total(c.SESSIONS_ACTIVE), "active sessions"),
            Line(in_flight(), "turns in flight"),
            empty=NO_RECORDER,
            span=12,
            shows="simulated users, sessions that are active and turns in flight",
            read="Users of the load generator, if it is scraped. The distance from turns in "
            "flight to users is those who think. A session stays active for a while after its "
            "last turn, so where users begin new ones there are more sessions than users.",
            then="turns in flight that close in on users: nobody thinks any more, all wait.",
        ),
        lines(
            c.TURN_DURATION,
            "Turns per second",
            Line(TURNS, "all"),
            Line(GOOD_TURNS, "ended well"),
            empty=NO_TURNS,
            unit=REQUESTS_PER_SECOND,
            span=12,
            shows="turns that ended, of all routes, and those of them that ended well",
            read="Rises with each stage until something binds; the level at which the lower line "
            "stays is what the service can do. The distance between the two is failures.",
            then="a fall under more load is worse than a limit: work is thrown away, by time-outs "
            "and retries.",
        ),
    ]


def _against_each_other() -> list[Panel]:
    return [
        against(
            c.TURN_DURATION,
            "Throughput against turns in flight",
            Line(in_flight(), "turns in flight"),
            Line(GOOD_TURNS, "good turns per second"),
            empty=NO_TURNS,
            unit=REQUESTS_PER_SECOND,
            shows="turns that ended well a second, one point for each moment of the time shown",
            read="A straight line up from zero: load costs nothing yet. Where it bends is the "
            "knee; flat beyond it is a limit, downward is collapse. Points beside the curve are "
            "changes from one stage to the next.",
            then="read the turns in flight at the bend: run production below that. `agentscope "
            "analyze` says what binds there.",
        ),
        lines(
            c.TURN_DURATION,
            "The knee: speed kept",
            Line(SPEED_KEPT, "of the best"),
            empty=NO_TURNS,
            unit=SHARE,
            levels=thresholds.SPEED_KEPT,
            shows="how fast turns end, and end well, as a share of the best tenth of the time shown",
            read="The share of turns that end well, times the best mean duration over the present "
            "one: 100 % while load costs nothing, 50 % where a turn takes twice as long, or every "
            "second one fails. Choose a time that begins with the first, small stage.",
            then="the stage in which it turns yellow is the first beyond the knee.",
        ),
        lines(
            c.TURN_DURATION,
            "What one user gets",
            Line(f"({GOOD_TURNS}) / ({USERS} > 0)", "good turns per second and user"),
            empty=NO_TURNS,
            unit=REQUESTS_PER_SECOND,
            shows="turns that end well a second, divided by simulated users, or by active sessions "
            "where no load generator is scraped",
            read="Level while each user is served as if alone: one turn per think time and answer. "
            "Where it falls as users come, one more gets less than the first did.",
            then="halved: as many users again would get nothing more; look at what grows, below.",
        ),
    ]
