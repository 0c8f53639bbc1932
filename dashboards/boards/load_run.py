"""Load run: up to which load does throughput follow, and what gives way beyond it."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from frame import Row, board
from links import LOAD_RUN
from rows import failures, growth, knee, percentiles, run_now


def build() -> model.Dashboard:
    """The board, from how the run goes now down to what grows with it."""
    return board(
        LOAD_RUN,
        "A load run while it goes on, and afterwards: throughput against concurrency, the knee, "
        "percentiles, errors, and what grows with the load. Stages are regions, and users a line, "
        "where Prometheus scrapes the load generator too (--metrics-port); all else is the "
        "service's own.",
        [
            Row("The run now", run_now.panels()),
            Row("Throughput against concurrency", knee.panels()),
            Row("Percentiles", percentiles.panels()),
            Row("Errors", failures.panels()),
            Row("What grows", growth.panels()),
        ],
        of_a_load_run=True,
    )
