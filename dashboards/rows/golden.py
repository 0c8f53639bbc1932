"""Traffic, latency, errors and saturation of the whole service, one figure each."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from links import LLM, LOAD_RUN
from panels import NO_QUOTA, NO_RECORDER, NO_TURNS, REQUESTS_PER_SECOND, SHARE, figure
from queries import gauge, headroom, or_zero, quantile, rate, share_of


def panels() -> list[Panel]:
    """Six figures: the ones to look at when somebody calls."""
    turns = rate(c.TURN_DURATION, "count", any_route=True)
    return [
        figure(
            c.TURN_DURATION,
            "Turns a second",
            or_zero(rate(c.TURN_DURATION, "count")),
            empty=NO_RECORDER,
            unit=REQUESTS_PER_SECOND,
            shows="turns that ended, of the routes chosen above",
            read="A fall while sessions stay is a "
            "service that got slower: users send their next message after the answer.",
            then="compare with turns in flight; if those rise, look at where wall time waits.",
        ),
        figure(
            c.TURN_DURATION,
            "Turn time, p95",
            quantile(0.95, c.TURN_DURATION),
            empty=NO_TURNS,
            levels=thresholds.TURN_P95_S,
            read="One turn in twenty takes longer. Interpolated between bounds that double, so "
            "read it as about, not exactly.",
            then="find the route in the next row, then what it waits for in the row below.",
        ),
        figure(
            c.ERRORS,
            "Failed turns",
            share_of(rate(c.ERRORS), turns),
            empty=NO_TURNS,
            unit=SHARE,
            levels=thresholds.ERROR_SHARE,
            shows="share of turns that failed, whatever the route chosen",
            read="A stream that broke after status 200 counts too.",
            then="failed turns by error type, next row.",
        ),
        figure(
            c.SESSIONS_ACTIVE,
            "Active sessions",
            f"sum ({gauge(c.SESSIONS_ACTIVE)})",
            empty=NO_RECORDER,
            read="Summed over instances: a session that two instances serve counts in both.",
            then="compare with the capacity that a load run of this version found.",
            more=LOAD_RUN,
        ),
        figure(
            c.TURNS_ACTIVE,
            "Turns in flight",
            f"sum ({gauge(c.TURNS_ACTIVE)})",
            empty=NO_RECORDER,
            read="Equals turns per second times mean duration while the service keeps up. A rise "
            "without more turns per second is a queue.",
            then="see which wait grows with it in the row on waits.",
            more=LOAD_RUN,
        ),
        figure(
            c.RATELIMIT_REMAINING,
            "Scarcest quota",
            f"min ({headroom()})",
            empty=NO_QUOTA,
            unit=SHARE,
            levels=thresholds.QUOTA_HEADROOM,
            shows="what is left of the provider's quota, as a share of it",
            read="The scarcest of all models and dimensions, as the provider's headers said in "
            "the last answer of the last minute or so.",
            then="find the model in the row on model calls; ask for more quota, or send less.",
            more=LLM,
        ),
    ]
