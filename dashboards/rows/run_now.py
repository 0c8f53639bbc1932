"""A load run at this moment: how much is asked, how much is done, how well."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from links import OVERVIEW
from panels import NO_RECORDER, NO_TURNS, REQUESTS_PER_SECOND, SHARE, figure
from queries import or_zero, quantile, rate, share_of, total
from rows.knee import GOOD_TURNS, SPEED_KEPT, TURNS, USERS


def panels() -> list[Panel]:
    """Six figures: load, work, and whether the one still follows the other."""
    return [
        figure(
            c.LOAD_USERS,
            "Users",
            USERS,
            empty="none",
            shows="simulated users that are there, or active sessions where no load generator was "
            "scraped in the time shown",
            read="A user thinks between turns, so fewer turns are in flight.",
            then="hold each stage for at least two minutes: percentiles need a few hundred turns.",
        ),
        figure(
            c.TURNS_ACTIVE,
            "Turns in flight",
            total(c.TURNS_ACTIVE),
            empty=NO_RECORDER,
            read="Users that wait for an answer.",
            then="near the number of users: they do nothing but wait.",
        ),
        figure(
            c.TURN_DURATION,
            "Good turns / s",
            or_zero(GOOD_TURNS),
            empty=NO_RECORDER,
            unit=REQUESTS_PER_SECOND,
            shows="turns that ended well a second, of all routes",
            read="What the service gets done.",
            then="flat while users rise: the limit is reached; see what grows, below.",
        ),
        figure(
            c.TURN_DURATION,
            "Speed kept",
            SPEED_KEPT,
            empty=NO_TURNS,
            unit=SHARE,
            levels=thresholds.SPEED_KEPT,
            shows="how fast turns end, and end well, as a share of the best tenth of the time shown",
            read="100 % while load costs nothing; at 50 % a turn takes twice as long as at best, or "
            "every second one fails.",
            then="the users of the stage before it fell are what the service carries well.",
        ),
        figure(
            c.TURN_DURATION,
            "Turn time, p95",
            quantile(0.95, c.TURN_DURATION),
            empty=NO_TURNS,
            levels=thresholds.TURN_P95_S,
            read="Of the routes chosen above; one turn in twenty takes longer.",
            then="compare with p50 below: if both rise, everybody queues.",
        ),
        figure(
            c.ERRORS,
            "Failed turns",
            share_of(rate(c.ERRORS), TURNS),
            empty=NO_TURNS,
            unit=SHARE,
            levels=thresholds.ERROR_SHARE,
            shows="share of turns that failed, whatever the route chosen",
            read="A service that refuses early looks fast: read the percentiles with this.",
            then="errors by type and status, below.",
            more=OVERVIEW,
        ),
    ]
