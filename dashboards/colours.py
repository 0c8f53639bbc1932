"""Colours of lines that mean the same on every board, by what their names begin with.

Grafana gives colours in the order in which series come, so that without these what is blue on one
board is green on the next, and errors are green where nothing else is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentscope.conventions import Phase, Wait

Colours = Mapping[str, str]
"""A regular expression that a line's name matches, and the colour of Grafana's palette."""

WAITS: Final[Colours] = {
    f"^{kind.value.replace('.', '[.]')}": colour
    for kind, colour in {
        Wait.RATE_LIMIT: "dark-orange",
        Wait.RETRY_BACKOFF: "yellow",
        Wait.DB_POOL: "blue",
        Wait.HTTP_POOL: "purple",
        Wait.HTTP_CONNECT: "super-light-yellow",
        Wait.THREADPOOL: "green",
        Wait.LOCK: "super-light-blue",
    }.items()
}

PHASES: Final[Colours] = {
    f"^{phase.value}$": colour
    for phase, colour in {
        Phase.CONTEXT_LOAD: "blue",
        Phase.LLM_CALL: "dark-orange",
        Phase.TOOL_EXECUTION: "purple",
        Phase.BACKGROUND: "gray",
    }.items()
}

STATUSES: Final[Colours] = {
    "^2": "green",
    "^3": "blue",
    "^4": "orange",
    "^5": "red",
    "^none": "dark-red",
}
"""Of HTTP, by class or in full; none is no answer at all."""

ERRORS: Final[Colours] = {"^4": "orange", "^5": "red"}
"""Where what succeeds is told apart by something else."""

OUTCOMES: Final[Colours] = {
    "^ok$": "green",
    "^4xx$": "orange",
    "^5xx$": "red",
    "^no_answer$": "dark-red",
    "^content$": "purple",
    "^unfinished$": "gray",
}
"""How requests of simulated users ended."""

PERCENTILES: Final[Colours] = {
    "^mean$": "blue",
    "^p50$": "green",
    "^p90$": "yellow",
    "^p95$": "orange",
    "^p99$": "red",
}
