"""Rate, errors and duration of turns, by route."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_ERRORS, NO_TURNS, REQUESTS_PER_SECOND, SHARE, Line, lines
from queries import ROUTE, quantile, rate, share_of

_BY_ROUTE = (ROUTE,)
_LEGEND = "{{route}}"


def panels() -> list[Panel]:
    """RED, and beside it what else the routes do."""
    turns = rate(c.TURN_DURATION, "count", by=_BY_ROUTE)
    refused = rate(c.TURN_DURATION, "count", by=_BY_ROUTE, where={"status": "5.."})
    return [
        lines(
            c.TURN_DURATION,
            "Turns per second",
            Line(turns, _LEGEND),
            empty=NO_TURNS,
            many=True,
            unit=REQUESTS_PER_SECOND,
            shows="turns that ended, by route",
            read="The lines add up to the first figure of the board.",
            then="a route that falls to zero alone: look at its errors, then at its callers.",
        ),
        lines(
            c.TURN_DURATION,
            "Turns answered 5xx",
            Line(share_of(refused, turns), _LEGEND),
            empty=NO_TURNS,
            many=True,
            unit=SHARE,
            levels=thresholds.ERROR_SHARE,
            shows="share of a route's turns that were answered with a status of 500 or more",
            read="Streams that break after status 200 are not in it: "
            "they are in failed turns by error type.",
            then="the error types beside it name the exception.",
        ),
        lines(
            c.TURN_DURATION,
            "Turn duration, p95",
            Line(quantile(0.95, c.TURN_DURATION, by=_BY_ROUTE), _LEGEND),
            empty=NO_TURNS,
            many=True,
            levels=thresholds.TURN_P95_S,
            shows="duration that one turn in twenty exceeds, by route",
            read="Bounds double, so a step from one to the next can be a small change.",
            then="if the median rises too, everybody waits: look at the waits; if only this does, "
            "look at retries and at the event loop's delay.",
        ),
        lines(
            c.TURN_DURATION,
            "Turn duration, median",
            Line(quantile(0.5, c.TURN_DURATION, by=_BY_ROUTE), _LEGEND),
            empty=NO_TURNS,
            many=True,
            read="What an ordinary turn takes.",
            then="a slow rise with sessions is a queue; a jump is a change of model or of code.",
        ),
        lines(
            c.ERRORS,
            "Failed turns by error type",
            Line(rate(c.ERRORS, by=("error_type",)), "{{error_type}}"),
            empty=NO_ERRORS,
            many=True,
            unit=REQUESTS_PER_SECOND,
            read="All routes. Prometheus counts increases, so a type's very first error shows "
            "from its second on.",
            then="open a trace with that error type, or run the analyzer on a recorded run.",
        ),
        lines(
            c.HTTP_SERVER_DURATION,
            "HTTP requests by status",
            Line(
                rate(
                    c.HTTP_SERVER_DURATION,
                    "count",
                    by=("http_route", "http_response_status_code"),
                ),
                "{{http_response_status_code}} {{http_route}}",
            ),
            empty="no requests",
            many=True,
            colours=colours.ERRORS,
            unit=REQUESTS_PER_SECOND,
            shows="HTTP requests that ended, by route and status",
            read="Every request, turn or not, whatever the route chosen; a request that no route "
            "took has a status only.",
            then="a flood of 4xx is a caller's fault: its address is in the access log.",
        ),
    ]
