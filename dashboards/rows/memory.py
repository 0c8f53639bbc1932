"""Memory and descriptors, set against sessions: growth that ends, or a leak."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_RECORDER, PER_SECOND, PLAIN, SHARE, Line, lines
from queries import gauge, mean, rate, total
from rows.process_now import DESCRIPTOR_SHARE, MEMORY_SHARE

_INSTANCE = "{{instance}}"


def panels() -> list[Panel]:
    """Memory against its limit and against sessions, then what else sessions leave behind."""
    sessions = total(c.SESSIONS_ACTIVE, by=("instance",))
    memory = total(c.MEMORY_USAGE, by=("instance",))
    return [
        lines(
            c.MEMORY_USAGE,
            "Memory",
            Line(memory, _INSTANCE),
            Line(
                f"max by (instance) ({gauge(c.CGROUP_MEMORY_LIMIT)})",
                f"limit {_INSTANCE}",
                limit=True,
            ),
            empty=NO_RECORDER,
            read="Resident memory, and the container's limit where there is one.",
            then="a rise that does not end when sessions do is a leak.",
        ),
        lines(
            c.MEMORY_USAGE,
            "Memory, share of the limit",
            Line(f"max by (instance) ({MEMORY_SHARE})", _INSTANCE),
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.MEMORY_SHARE,
            shows="resident memory of what the container may use, or the host has",
            read="At 100 % the kernel ends the process.",
            then="fewer sessions a process, or cut what each keeps.",
        ),
        lines(
            c.MEMORY_USAGE,
            "Memory per active session",
            Line(f"{memory} / ({sessions} > 0)", _INSTANCE),
            empty="no sessions",
            shows="resident memory divided by the sessions that are active",
            read="Falls while the process's own share is spread over more sessions, then levels "
            "off at what a session takes.",
            then="rises at a steady number of sessions: a leak, or contexts that grow.",
        ),
        lines(
            c.SESSIONS_ACTIVE,
            "Active sessions",
            Line(sessions, _INSTANCE),
            empty=NO_RECORDER,
            span=6,
            read="With a turn running, or ended less than the idle time-out ago.",
            then="uneven instances: the balancer keeps sessions together, or one is slow.",
        ),
        lines(
            c.SESSION_TURNS,
            "Turns of a session",
            Line(mean(c.SESSION_TURNS), "mean"),
            empty="none went idle",
            unit=PLAIN,
            span=6,
            shows="turns of sessions that went idle, on average",
            read="Contexts grow with it, and with them tokens and memory.",
            then="longer sessions: look at tokens per call.",
        ),
        lines(
            c.SESSIONS_FORGOTTEN,
            "Sessions forgotten early",
            Line(rate(c.SESSIONS_FORGOTTEN, by=("instance",)), _INSTANCE),
            empty="none",
            unit=PER_SECOND,
            span=6,
            read="More were active than are told apart (max_sessions): then active sessions are "
            "understated.",
            then="raise max_sessions, or find the client that makes up ids.",
        ),
        lines(
            c.FD_COUNT,
            "Open file descriptors",
            Line(f"max by (instance) ({DESCRIPTOR_SHARE})", _INSTANCE),
            empty="no limit",
            unit=SHARE,
            levels=thresholds.DESCRIPTOR_SHARE,
            span=6,
            shows="open file descriptors of those that the process may have",
            read="Sockets count: one for each caller, model connection and database connection.",
            then="near 100 %: raise ulimit -n, and look for connections that are never closed.",
        ),
    ]
