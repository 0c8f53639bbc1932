"""The ceiling of file descriptors: a process may have so many open."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from agentscope_analyzer.ceilings.pools import FAR
from agentscope_analyzer.ceilings.slopes import fit_of
from agentscope_analyzer.ceilings.windows import Windows
from agentscope_analyzer.document import Ceiling
from agentscope_analyzer.wording import number

RESOURCE: Final = "file_descriptors"
FULL: Final = 0.95


def descriptor_ceiling(windows: Windows) -> Ceiling | str | None:
    """Sessions at which processes run out of descriptors, or why nobody can tell; None: no data."""
    limits = [process.descriptors for process in windows.processes if process.descriptors]
    if not windows.descriptors.known:
        return None
    if not limits:
        return f"{RESOURCE}: how many a process may open was not recorded"
    limit = min(limits)
    inside = windows.serving & windows.known[np.newaxis, :]
    fit = fit_of(windows.descriptors, inside, ("live",))
    most = float(np.nanmax(windows.descriptors.value))
    if isinstance(fit, str) or fit.live is None:
        why = fit if isinstance(fit, str) else "live sessions hardly varied"
        return (
            f"{RESOURCE}: not enough data ({why}); at most {number(most)} of {number(limit)} open"
        )
    if not fit.live.is_positive or fit.live.interval is None:
        return (
            f"{RESOURCE}: do not grow with live sessions, as far as this run tells; at most "
            f"{number(most)} of {number(limit)} open"
        )
    processes = max(1, windows.process_count)
    free = max(0.0, limit - float(np.nanmean(fit.bases))) * processes
    sessions, low, high = (
        float(math.floor(free / slope))
        for slope in (fit.live.value, fit.live.interval.high, fit.live.interval.low)
    )
    basis = [f"{number(float(np.nanmean(fit.bases)))} open in a process without sessions"]
    if processes > 1:
        basis.append(f"{processes} processes, evenly loaded")
    if sessions > FAR * float(windows.sessions.max()):
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    return Ceiling(
        resource=RESOURCE,
        dimension="process",
        limit=limit * processes,
        unit="descriptors",
        demand_per_session=fit.live.value,
        sessions=sessions,
        low=low,
        high=high,
        reached=most >= FULL * limit,
        binding=False,
        basis="; ".join(basis),
        relief="a higher limit (ulimit -n) or more processes help",
    )
