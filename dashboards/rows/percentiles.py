"""How long turns take, for the service and for those who wait for it."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_GENERATOR, NO_TURNS, Line, lines
from queries import mean, quantile

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def panels() -> list[Panel]:
    """The same percentiles twice, so that what the service does not see can be told."""
    return [
        lines(
            c.TURN_DURATION,
            "Turn duration, as the service sees it",
            *(Line(quantile(share, c.TURN_DURATION), name) for name, share in _SHARES.items()),
            Line(mean(c.TURN_DURATION), "mean"),
            empty=NO_TURNS,
            colours=colours.PERCENTILES,
            levels=thresholds.TURN_P95_S,
            span=12,
            read="Of the routes chosen above. All rise together: everybody queues. Only p99: a few "
            "are unlucky, by retries or blocked loops. Interpolated between bounds that double. Failed "
            "turns are in it: where many fail at once, it falls.",
            then="under a few hundred turns a window p99 is the largest one or two: hold the stage "
            "for longer.",
        ),
        lines(
            c.LOAD_REQUEST_DURATION,
            "Request duration, as users see it",
            *(
                Line(quantile(share, c.LOAD_REQUEST_DURATION, by=("name",)), f"{name} {{{{name}}}}")
                for name, share in (("p50", 0.5), ("p95", 0.95))
            ),
            empty=NO_GENERATOR,
            many=True,
            span=12,
            read="By request, only where the load generator is scraped.",
            then="far above the service's own: the queue is before the service (backlog, proxy, "
            "network), or the load generator itself is too slow.",
        ),
    ]
