"""Stretches of a run: all of it, the stages of its load, the part that is steady."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

NS = 1e9
MAX_CLOCK_DOUBT_S = 0.5
"""Clocks of two hosts that differ by less do not move a stage by anything that matters."""
MAX_USERS = 1e12


@dataclass(frozen=True)
class Stretch:
    """A stretch of the run, in seconds since 1970."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Its length."""
        return max(0.0, self.end_s - self.start_s)


def clock_ahead(load: Mapping[str, Any]) -> float:
    """By how many seconds the service's clock is ahead of the generator's; 0 within the doubt."""
    ahead_s = load["clock_ahead_s"]
    if ahead_s is None or abs(ahead_s) <= (load["clock_within_s"] or 0.0) + MAX_CLOCK_DOUBT_S:
        return 0.0
    return float(ahead_s)


def steady_of(whole: Stretch, manifest: Mapping[str, Any], *, clock_ahead_s: float) -> Stretch:
    """The part of the run with most users, as the load generator's stages say, else all of it."""
    stages = stages_of(manifest)
    if not stages:
        return whole
    most = max(_users(stage) for stage in stages)
    fullest = [stage for stage in stages if _users(stage) == most][-1]
    start_s = max(whole.start_s, fullest["start_ns"] / NS + clock_ahead_s)
    end_s = min(whole.end_s, fullest["end_ns"] / NS + clock_ahead_s)
    return Stretch(start_s, end_s) if end_s > start_s else whole


def stages_of(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The load generator's stages but the ramp."""
    told = (manifest.get("load") or {}).get("stages")
    return [stage for stage in told if _is_stage(stage)] if isinstance(told, list) else []


def _is_stage(stage: Any) -> bool:
    return (
        isinstance(stage, Mapping)
        and stage.get("name") != "ramp"
        and all(_is_number(stage.get(end)) and stage[end] > 0 for end in ("start_ns", "end_ns"))
    )


def _users(stage: Mapping[str, Any]) -> float:
    users = stage.get("users")
    return float(users) if _is_number(users) and users < MAX_USERS else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
