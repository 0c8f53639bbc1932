"""What a call is made of: attempts, sleeps between them, waits for a connection."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from by_model import REQUEST_MODEL, rate
from frame import Panel
from panels import NO_CALLS, NO_POOL, NO_WAITS, PLAIN, REQUESTS_PER_SECOND, SHARE, Line, lines
from queries import quantile, total
from rows.models_now import FAILED_CALLS

_BY_MODEL = ("provider", "model")
_MODEL = "{{provider}} {{model}}"


# The two counters spell the label differently.
_CALLS = (
    f"label_replace({rate(c.OPERATION_DURATION, 'count', by=(REQUEST_MODEL,))}, "
    f'"model", "$1", "{REQUEST_MODEL}", "(.*)")'
)
RETRIES_BY_MODEL = (
    f"clamp_min({rate(c.LLM_ATTEMPTS, by=('model',))} "
    f"/ on (model) sum by (model) ({_CALLS} > 0) - 1, 0)"
)
"""Attempts beyond the first, per call of each model."""


def panels() -> list[Panel]:
    """Attempts by status, retries and sleeps by model, and the client's own pool."""
    return [
        lines(
            c.LLM_ATTEMPTS,
            "Attempts by status",
            Line(rate(c.LLM_ATTEMPTS, by=("model", "status_class")), "{{status_class}} {{model}}"),
            empty=NO_CALLS,
            colours=colours.STATUSES,
            unit=REQUESTS_PER_SECOND,
            stacked=True,
            read="Every HTTP request, those that a client library hides included; none is one "
            "without an answer.",
            then="4xx beside little quota left are 429s; 5xx and none are the provider or the way "
            "to it.",
        ),
        lines(
            c.LLM_ATTEMPTS,
            "Retries per call, by model",
            Line(RETRIES_BY_MODEL, "{{model}}"),
            empty=NO_CALLS,
            unit=SHARE,
            levels=thresholds.RETRY_SHARE,
            shows="HTTP attempts beyond the first, per call of the model",
            read="1 means that each call was sent twice.",
            then="one model alone: its quota; all of them: the network, or the provider is down.",
        ),
        lines(
            c.LLM_BACKOFF,
            "Callers asleep, by reason",
            Line(rate(c.LLM_BACKOFF, by=(*_BY_MODEL, "reason")), f"{{{{reason}}}} {_MODEL}"),
            empty="no sleeps",
            unit=PLAIN,
            levels=thresholds.CALLERS_ASLEEP,
            stacked=True,
            shows="calls that sleep between two attempts, at a time",
            read="rate_limit is sleep after a 429 or 529, retry_backoff after anything else.",
            then="compare with turns in flight: that share of your users waits for nothing.",
        ),
        lines(
            c.OPERATION_DURATION,
            "Calls that fail after all",
            Line(FAILED_CALLS, "failed calls"),
            empty=NO_CALLS,
            unit=SHARE,
            levels=thresholds.ERROR_SHARE,
            span=6,
            shows="share of calls that ended with an error, retries included",
            read="What the service's own code had to deal with.",
            then="the traces of failed turns name the error.",
        ),
        lines(
            c.HTTP_POOL_IN_USE,
            "HTTP connections in use",
            Line(total(c.HTTP_POOL_IN_USE, by=("pool",)), "{{pool}}"),
            Line(total(c.HTTP_POOL_LIMIT, by=("pool",)), "limit {{pool}}", limit=True),
            empty=NO_POOL,
            span=6,
            read="Summed over instances, and below it what the clients may open at most.",
            then="at the limit with waiters beside it: raise the client's limit, or share one "
            "client instead of making one a request.",
        ),
        lines(
            c.HTTP_POOL_WAITING,
            "Waiting for a connection",
            Line(total(c.HTTP_POOL_WAITING, by=("pool",)), "{{pool}}"),
            empty=NO_POOL,
            levels=thresholds.WAITING_CALLS,
            span=6,
            read="Calls that wait at the moment of the scrape: not yet sent to anybody.",
            then="above zero for long: the client's pool binds, not the provider.",
        ),
        lines(
            c.WAIT_DURATION,
            "Connection wait, p95",
            Line(
                quantile(0.95, c.WAIT_DURATION, by=("kind",), where={"kind": "http[.].*"}),
                "{{kind}}",
            ),
            empty=NO_WAITS,
            colours=colours.WAITS,
            span=6,
            shows="how long calls waited for a connection, or for it to be made",
            read="http.pool is a queue in the client, http.connect is name resolution, TCP and TLS.",
            then="connect that repeats: connections are not kept; look for a client per request.",
        ),
    ]
