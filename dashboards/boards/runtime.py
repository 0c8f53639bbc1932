"""Runtime and resources: what one process of the service may run out of."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from frame import Row, board
from links import RUNTIME
from rows import container, interpreter, memory, pools, postgres, process_now


def build() -> model.Dashboard:
    """The board, from what stops everything down to what fills slowly."""
    return board(
        RUNTIME,
        "The processes behind the turns: event loop, garbage collector, threads, pools, processor "
        "quota, memory against sessions, descriptors, and the database as it sees itself.",
        [
            Row("The worst instance now", process_now.panels()),
            Row("Event loop and interpreter", interpreter.panels()),
            Row("Threads and pools", pools.panels()),
            Row("Processor and container", container.panels()),
            Row("Memory, sessions, descriptors", memory.panels()),
            Row("PostgreSQL", postgres.panels(), collapsed=True),
        ],
    )
