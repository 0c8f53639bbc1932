"""Resident memory: a base, so much a live session, so much a session that has ended; a leak or none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.contexts import contexts_of
from agentscope_analyzer.ceilings.pools import FAR
from agentscope_analyzer.ceilings.slopes import Fit, Slope, fit_of
from agentscope_analyzer.ceilings.windows import Process, Windows
from agentscope_analyzer.document import Ceiling, MemoryFigures
from agentscope_analyzer.wording import amount, count, number, size, span

Flags = npt.NDArray[np.bool_]

LAST_WINDOWS: Final = 3
"""A process that was last seen so many windows before the end is taken to be there still."""
MIN_ENDED: Final = 10
"""Fewer sessions than this that ended do not show what an ended session leaves behind."""
LEAK_SHARE: Final = 0.01
"""A leak must have added this part of the memory by the end of the run to be called one; where the
interval does not allow that much, there is none."""
ARENAS_BYTES: Final = 2 * 1024**2
"""CPython takes memory in arenas of 1 MiB: growth by less than two of them says nothing."""
UNTOLD: Final = "what a live session takes is not told from nothing in this run"
TRIVIAL: Final = 0.25
"""What is below this part of that is no leak, however surely it is there."""
STEADY_LEAK: Final = 0.7
"""In its second half a run must leak at this part of the whole run's slope: warming up slows down."""


@dataclass(frozen=True)
class Memory:
    """What is told of memory: the report's figures, and the ceiling or why there is none."""

    figures: MemoryFigures
    ceiling: Ceiling | None = None
    missing: str | None = None


def memory_of(windows: Windows) -> Memory:
    """The figures and the ceiling, as far as the run carries them."""
    memory = windows.memory
    if not memory.known:
        return Memory(MemoryFigures(basis="resident memory was not recorded"))
    inside = windows.serving & windows.known[np.newaxis, :] & np.isfinite(memory.value)
    limit = memory_limit(windows.processes)
    fit = fit_of(memory, inside)
    if isinstance(fit, str):
        why = f"{fit}; {_seen(windows, inside)}" if inside.any() else fit
        return Memory(
            MemoryFigures(limit_bytes=limit, basis=f"not enough data: {why}"),
            missing=f"memory: not enough data ({fit})",
        )
    half = inside & (np.arange(windows.count) >= np.median(np.flatnonzero(inside.any(axis=0))))
    contexts = contexts_of(memory, inside, _passed(windows, inside), _total(windows, inside))
    if contexts.fit is not None and contexts.fit.held is not None:
        fit = contexts.fit
    late = fit_of(memory, half, ("live", "ended", "held") if fit.held else ("live", "ended"))
    leak, ended, said = _leak_of(fit, late, windows, inside)
    warmed = isinstance(late, Fit) and _differs(fit.live, late.live)
    if isinstance(late, Fit) and warmed:
        fit = late
    elif contexts.fit is not None:
        fit = contexts.fit
    live = contexts.live if fit is contexts.fit else fit.live
    base = float(np.nanmean(fit.bases)) * max(1, windows.process_count)
    basis = [
        f"rank regression over {amount(fit.windows, 'window')} of {span(windows.window_s)}",
        said,
    ]
    if warmed:
        basis.append("what a live session takes is of the second half: the first one warmed up")
    if live is None:
        basis.append("live sessions hardly varied, so what one takes is open; a ramp would tell")
    if contexts.says:
        basis.append(contexts.says)
    if contexts.turn is not None and contexts.freed is None and limit is not None:
        left_s = _left_s(contexts.turn, windows, inside, limit)
        basis.append(f"if it stays, memory is full in {span(left_s)} at this run's rate of turns")
    figures = MemoryFigures(
        base_bytes=base if live is not None else None,
        bytes_per_live_session=live.value if live is not None else None,
        live_low=live.low if live is not None else None,
        live_high=live.high if live is not None else None,
        bytes_per_ended_session=ended.value if ended is not None else None,
        low=ended.low if ended is not None else None,
        high=ended.high if ended is not None else None,
        leak=leak,
        limit_bytes=limit,
        time_to_limit_s=_time_to_limit(ended, windows, inside, limit) if leak and ended else None,
        bytes_per_turn=contexts.turn.value if contexts.turn is not None else None,
        turn_low=contexts.turn.low if contexts.turn is not None else None,
        turn_high=contexts.turn.high if contexts.turn is not None else None,
        turns_freed=contexts.freed,
        basis="; ".join(basis),
    )
    turns = contexts.held if live is not None and fit is contexts.fit and fit.held else None
    found = _ceiling(live, base, figures, windows, turns)
    if isinstance(found, str):
        return Memory(figures, missing=found)
    return Memory(figures, ceiling=found)


def _differs(whole: Slope | None, late: Slope | None) -> bool:
    """Whether the second half says something else than the whole run does."""
    if whole is None or late is None or whole.interval is None or late.interval is None:
        return False
    apart = max(late.interval.low - whole.interval.high, whole.interval.low - late.interval.high)
    return apart > 0


def memory_limit(processes: tuple[Process, ...]) -> float | None:
    """Bytes that the service may use, added up over its containers and hosts."""
    by_host: dict[str, float] = {}
    for process in processes:
        told = [one for one in (process.container_bytes, process.host_bytes) if one is not None]
        if told:
            by_host[process.host] = min([*told, by_host.get(process.host, math.inf)])
    return sum(by_host.values()) if by_host else None


def _leak_of(
    fit: Fit, late: Fit | str, windows: Windows, inside: Flags
) -> tuple[bool | None, Slope | None, str]:
    """Whether memory leaks, the slope that says so, and in words why."""
    passed = _passed(windows, inside)
    if fit.ended is None or passed < MIN_ENDED:
        return None, None, f"{amount(round(passed), 'session')} ended: too few to tell a leak"
    slope = fit.ended
    second = late.ended if isinstance(late, Fit) else None
    if slope.interval is None or second is None or second.interval is None:
        return None, slope, "too short to tell a leak"
    total = _total(windows, inside)
    room = max(LEAK_SHARE * total, ARENAS_BYTES) / passed
    if slope.is_positive:
        goes_on = (
            second.is_positive
            and second.value >= STEADY_LEAK * slope.value
            and second.interval.high >= slope.interval.low
        )
        if goes_on and slope.value >= room:
            return True, slope, f"every ended session leaves {size(slope.value)} behind"
        if slope.interval.high <= TRIVIAL * room:
            return (
                False,
                slope,
                f"an ended session leaves {size(slope.value)} behind, next to nothing",
            )
        if not second.is_positive and second.interval.high <= room:
            return False, second, "memory grew in the first half of the run only: it warmed up"
        return None, slope, "memory grew a little or ever slower: a longer run would tell a leak"
    if slope.interval.high <= room:
        most = size(max(0.0, slope.interval.high))
        return False, slope, f"an ended session leaves no more than {most} behind"
    return None, slope, "too noisy to tell a leak from none"


def _time_to_limit(
    ended: Slope, windows: Windows, inside: Flags, limit: float | None
) -> float | None:
    """Seconds until the memory is used up at the run's rate of sessions; 0 where it is."""
    length_s = float(inside.any(axis=0).sum()) * windows.window_s
    passed = _passed(windows, inside)
    if limit is None or passed <= 0 or ended.value <= 0:
        return None
    free = limit - _total(windows, inside)
    return max(0.0, free) / (ended.value * passed / length_s)


def _left_s(turn: Slope, windows: Windows, inside: Flags, limit: float) -> float:
    """Seconds until memory is used up at the run's rate of turns, if what they take stays."""
    length_s = float(inside.any(axis=0).sum()) * windows.window_s
    turns = float(np.where(inside, windows.ended_turns, 0.0).sum())
    free = max(0.0, limit - _total(windows, inside))
    return free / (turn.value * turns / length_s) if turns else math.inf


def _ceiling(
    live: Slope | None,
    base: float,
    figures: MemoryFigures,
    windows: Windows,
    turns: float | None,
) -> Ceiling | str:
    limit = figures.limit_bytes
    if live is None:
        return "memory: live sessions hardly varied, so what one takes is open; a ramp would tell"
    most = float(np.nanmax(windows.sessions))
    if not live.is_positive:
        if live.interval is None or live.interval.high <= 0 or limit is None:
            return f"memory: {UNTOLD}"
        least = (limit - base) / live.interval.high
        return f"memory: {UNTOLD}; {count(math.floor(least))} sessions fit at least"
    if limit is None:
        return "memory: how much the service may use was not recorded"
    assert live.interval is not None
    sessions = max(0.0, limit - base) / live.value
    low, high = (max(0.0, limit - base) / one for one in (live.interval.high, live.interval.low))
    basis = [
        f"base {size(base)}, {size(live.value)} a live session"
        + (f" with the {number(turns)} turns that it has had" if turns else ""),
        "Theil–Sen slopes, block bootstrap",
    ]
    if figures.time_to_limit_s is not None:
        basis.append(
            f"a leak fills it in {span(figures.time_to_limit_s)} at this run's rate of sessions"
        )
    if sessions > FAR * most:
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    return Ceiling(
        resource="memory",
        dimension="instant",
        limit=limit,
        unit="bytes",
        demand_per_session=live.value,
        sessions=float(math.floor(sessions)),
        low=float(math.floor(low)),
        high=float(math.floor(high)),
        reached=float(np.nansum(windows.memory.value, axis=0).max()) >= 0.95 * limit,
        binding=False,
        basis="; ".join(basis),
        relief="more memory or more pods help",
    )


def _seen(windows: Windows, inside: Flags) -> str:
    seen = windows.memory.value[inside]
    return f"resident memory of a process between {size(seen.min())} and {size(seen.max())}"


def _passed(windows: Windows, inside: Flags) -> float:
    """Sessions that ended in the windows looked at, over all processes."""
    found = 0.0
    for row, there in zip(windows.memory.ended, inside, strict=True):
        if there.any():
            found += float(row[there][-1] - row[there][0])
    return found


def _total(windows: Windows, inside: Flags) -> float:
    """Resident bytes of the processes that were there at the end: a recycled one's are free again."""
    end = np.flatnonzero(inside.any(axis=0))[-1] - LAST_WINDOWS
    last = [
        float(row[there][-1])
        for row, there in zip(windows.memory.value, inside, strict=True)
        if there.any() and np.flatnonzero(there)[-1] >= end
    ]
    return sum(last)
