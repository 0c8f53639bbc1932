"""PostgreSQL as it sees itself, where the service samples it (``AGENTSCOPE_POSTGRES_DSN``)."""

from __future__ import annotations

from agentscope import conventions as c
from frame import Panel
from panels import PLAIN, Line, lines
from queries import gauge

_NOT_SAMPLED = "not sampled: set AGENTSCOPE_POSTGRES_DSN"

_BUSY = {"wait_event_type": ".+", "state": "[^i].*|idle .+"}
"""Idle ones wait for their next statement, which is nobody's wait; those in a transaction hold it."""


def panels() -> list[Panel]:
    """What its sessions do, and how old its oldest transaction is."""
    return [
        lines(
            c.POSTGRES_BACKENDS,
            "Database sessions",
            Line(
                f"max by (state) (sum by (state, instance) ({gauge(c.POSTGRES_BACKENDS)}))",
                "{{state}}",
            ),
            empty=_NOT_SAMPLED,
            unit=PLAIN,
            stacked=True,
            read="Each sampler sees the whole server, so the instances are not added up.",
            then="many idle in transaction: connections are held while a model answers.",
        ),
        lines(
            c.POSTGRES_BACKENDS,
            "Database sessions that wait",
            Line(
                f"max by (wait_event_type, wait_event) (sum by (wait_event_type, wait_event, instance) "
                f"({gauge(c.POSTGRES_BACKENDS, where=_BUSY)}))",
                "{{wait_event_type}} {{wait_event}}",
            ),
            empty="none, or not sampled",
            unit=PLAIN,
            stacked=True,
            shows="sessions of the database that wait, by what for",
            read="Idle ones are left out. Client is a transaction that waits for us; Lock is one "
            "transaction waiting for another.",
            then="Client: commit before calling a model; Lock: shorten transactions; IO: the disk or "
            "a missing index.",
        ),
        lines(
            c.POSTGRES_TRANSACTION_AGE,
            "Oldest transaction",
            Line(f"max by (state) ({gauge(c.POSTGRES_TRANSACTION_AGE)})", "{{state}}"),
            empty=_NOT_SAMPLED,
            read="By what its session does now.",
            then="idle in transaction and old: a commit is missing on some path.",
        ),
    ]
