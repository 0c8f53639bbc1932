"""What each further turn of a live session adds to memory, and whether it goes with the session.

A session's context grows from turn to turn, and goes with the session: memory = base + a · live sessions
+ h · turns that these have had + b · ended sessions. Or each turn leaves something behind: memory = base
+ a · live sessions + h · turns served. While no session ends the two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.slopes import Fit, Slope, fit_of
from agentscope_analyzer.ceilings.windows import Gauge
from agentscope_analyzer.wording import number, size, size_interval

Flags = npt.NDArray[np.bool_]

LONG: Final = 5.0
"""Turns that a live session has had, on average, where sessions are called long."""
GOES_ON: Final = 0.7
"""In its second half a run must grow at this part of the whole run's slope: warming up slows down."""
MATTERS: Final = 0.01
"""What all turns together have added must come to this part of the memory."""
MIN_ENDED: Final = 10
"""Fewer sessions than this that ended do not show what goes with them."""
NO_WORSE: Final = 1.02
"""Of two fits the simpler one holds unless its errors are larger by more than this."""
FREED: Final = 0.25
"""Where less than this part of what a session's turns took stays, it is freed with the session."""

_HELD: Final = ("live", "ended", "held")
_SERVED: Final = ("live", "served")


@dataclass(frozen=True)
class Contexts:
    """What a turn adds, and in words how that is known; '' where sessions are short."""

    says: str = ""
    turn: Slope | None = None
    """None where it is not told."""
    freed: bool | None = None
    fit: Fit | None = None
    """The fit that tells it."""
    held: float = 0.0
    """Turns that a live session has had, on average in the second half."""

    @property
    def live(self) -> Slope | None:
        """What a live session takes, with its turns where they go with it."""
        if self.fit is None or self.fit.held is None:
            return self.fit.live if self.fit is not None else None
        return self.fit.together(live=1.0, held=self.held)


def contexts_of(gauge: Gauge, inside: Flags, ended: float, resident: float) -> Contexts:
    """Look at the turns of long sessions; nothing is said of short ones.

    ``ended`` is how many sessions ended, ``resident`` how much memory there was at the end.
    """
    held = _held(gauge, inside)
    if held < LONG:
        return Contexts()
    long = f"a live session has had {number(held)} turns"
    fit = fit_of(gauge, inside, _HELD)
    if isinstance(fit, str) or fit.held is None or fit.held.interval is None:
        why = fit if isinstance(fit, str) else "their number hardly varied"
        return Contexts(f"{long}, and what each adds is open: not enough data ({why})")
    late = fit_of(gauge, inside & _second_half(inside), _HELD)
    later = late.held if isinstance(late, Fit) else None
    room = MATTERS * resident / _most_held(gauge, inside)
    if fit.held.interval.high <= room:
        return Contexts(
            f"{long}, and each adds no more than {size(max(0.0, fit.held.interval.high))}"
        )
    if not fit.held.is_positive or fit.held.value < room:
        return Contexts(f"{long}, and what each adds is open: too noisy to tell it from nothing")
    if later is None or not later.is_positive or later.value < GOES_ON * fit.held.value:
        return Contexts(f"{long}, and what each adds is open: memory grew ever slower")
    stays = fit_of(gauge, inside, _SERVED)
    if ended < MIN_ENDED:
        freed, and_then = None, "whether that goes when sessions end is open: too few ended"
    elif isinstance(stays, Fit) and stays.served and stays.error <= NO_WORSE * fit.error:
        freed, and_then = False, "that stays when sessions end, so it is a leak by the turn"
        fit = stays
    elif _goes(fit, gauge, inside):
        freed, and_then = True, "that goes when sessions end"
    else:
        freed, and_then = None, "a part of it stays when sessions end"
    turn = fit.served if freed is False else fit.held
    assert turn is not None
    told = f"{size(turn.value)} {size_interval(turn.low, turn.high)}".rstrip()
    return Contexts(f"{long}, and each adds {told}; {and_then}", turn, freed, fit, held)


def _held(gauge: Gauge, inside: Flags) -> float:
    """Turns that a live session has had, on average in the second half."""
    if gauge.held is None or not inside.any():
        return 0.0
    late = inside & _second_half(inside)
    live = float(np.nansum(gauge.live[late]))
    return float(np.nansum(gauge.held[late])) / live if live > 0 else 0.0


def _most_held(gauge: Gauge, inside: Flags) -> float:
    """Most turns that all live sessions had had at a time."""
    assert gauge.held is not None
    return float(np.nansum(np.where(inside, gauge.held, np.nan), axis=0).max())


def _second_half(inside: Flags) -> Flags:
    there = np.flatnonzero(inside.any(axis=0))
    found: Flags = np.arange(inside.shape[1]) >= np.median(there)
    return found


def _goes(fit: Fit, gauge: Gauge, inside: Flags) -> bool:
    """Whether an ended session leaves next to nothing behind of what its turns took."""
    if fit.ended is None or fit.ended.interval is None or fit.held is None:
        return False
    assert gauge.served is not None
    assert gauge.held is not None
    over = np.where(inside, gauge.served - gauge.held, 0.0)
    sessions = np.where(inside, gauge.ended, 0.0)
    turns = np.nanmax(over, axis=1).sum() / max(1.0, np.nanmax(sessions, axis=1).sum())
    return bool(fit.ended.interval.high <= FREED * fit.held.value * turns)
