"""What fails, by type and status, for the service and for its users."""

from __future__ import annotations

import colours
from agentscope import conventions as c
from frame import Panel
from panels import NO_ERRORS, NO_GENERATOR, REQUESTS_PER_SECOND, Line, lines
from queries import rate


def panels() -> list[Panel]:
    """Exceptions, statuses, and what became of the users' requests."""
    return [
        lines(
            c.ERRORS,
            "Failed turns by type",
            Line(rate(c.ERRORS, by=("error_type",)), "{{error_type}}"),
            empty=NO_ERRORS,
            many=True,
            unit=REQUESTS_PER_SECOND,
            stacked=True,
            read="All routes. Prometheus counts increases, so a type's very first error shows "
            "from its second on.",
            then="the type that begins with a stage names what that stage used up.",
        ),
        lines(
            c.HTTP_SERVER_DURATION,
            "Answers that are errors, by status",
            Line(
                rate(
                    c.HTTP_SERVER_DURATION,
                    "count",
                    by=("http_response_status_code", "http_route"),
                    where={"http_response_status_code": "[45].."},
                ),
                "{{http_response_status_code}} {{http_route}}",
            ),
            empty=NO_ERRORS,
            many=True,
            colours=colours.STATUSES,
            unit=REQUESTS_PER_SECOND,
            stacked=True,
            shows="HTTP requests answered with a status of 400 or more",
            read="All routes. A stream that broke after status 200 is not in it.",
            then="429 and 503 of the service's own are load shed at the door; 500 and 504 are not.",
        ),
        lines(
            c.LOAD_REQUESTS,
            "Users' requests by outcome",
            Line(rate(c.LOAD_REQUESTS, by=("outcome",)), "{{outcome}}"),
            empty=NO_GENERATOR,
            colours=colours.OUTCOMES,
            unit=REQUESTS_PER_SECOND,
            stacked=True,
            read="Only where the load generator is scraped. no_answer is a refused or broken "
            "connection or a time-out; content is an answer that was empty or broke off.",
            then="no_answer without errors of the service: the backlog or a proxy before it gave "
            "up.",
        ),
    ]
