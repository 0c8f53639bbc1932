"""A load run at this moment: how much is asked, how much is done, how well."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from links import OVERVIEW
from panels import REQUESTS_PER_SECOND, SHARE, figure
from queries import quantile, rate, share_of, total
from rows.knee import OF_THE_BEST, TURNS


def panels() -> list[Panel]:
    """Six figures: load, work, and whether the one still follows the other."""
    return [
        figure(
            c.LOAD_USERS,
            "Users",
            f"{total(c.LOAD_USERS)} or {total(c.SESSIONS_ACTIVE)}",
            shows="simulated users that are there, or active sessions where the load generator "
            "is not scraped",
            read="A user thinks between turns, so fewer turns are in flight.",
            then="hold each stage for at least two minutes: percentiles need a few hundred turns.",
        ),
        figure(
            c.TURNS_ACTIVE,
            "Turns in flight",
            total(c.TURNS_ACTIVE),
            read="Users that wait for an answer.",
            then="near the number of users: they do nothing but wait.",
        ),
        figure(
            c.TURN_DURATION,
            "Turns per second",
            TURNS,
            unit=REQUESTS_PER_SECOND,
            shows="turns that ended, of all routes",
            read="What the service gets done.",
            then="flat while users rise: the limit is reached; see what grows, below.",
        ),
        figure(
            c.TURN_DURATION,
            "Throughput left per turn",
            OF_THE_BEST,
            unit=SHARE,
            levels=thresholds.THROUGHPUT_LEFT,
            shows="turns per second for each turn in flight, as a share of the best tenth of the "
            "time shown",
            read="100 % while load costs nothing; at 50 % a turn takes twice as long as at best.",
            then="the users of the stage before it fell are what the service carries well.",
        ),
        figure(
            c.TURN_DURATION,
            "Turn duration, p95",
            quantile(0.95, c.TURN_DURATION),
            levels=thresholds.TURN_P95_S,
            read="Of the routes chosen above; one turn in twenty takes longer.",
            then="compare with p50 below: if both rise, everybody queues.",
        ),
        figure(
            c.ERRORS,
            "Failed turns",
            share_of(rate(c.ERRORS), TURNS),
            unit=SHARE,
            levels=thresholds.ERROR_SHARE,
            shows="share of turns that failed, whatever the route chosen",
            read="A service that refuses early looks fast: read the percentiles with this.",
            then="errors by type and status, below.",
            more=OVERVIEW,
        ),
    ]
