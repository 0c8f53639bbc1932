"""The staged ramp: ``5:20s,10:20s,20:1m`` holds 5 users for 20 s, then 10, then 20 for a minute."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STAGE = re.compile(r"(?:(?P<name>[^:=,]+)=)?(?P<users>\d+):(?P<duration>[\dhms.]+)")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True, slots=True)
class Stage:
    """So many users for so long."""

    name: str
    users: int
    duration_s: float


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Read ``[NAME=]USERS:DURATION,…``; a stage without a name is called after its number.

    Raises ValueError with a message that shows the form.
    """
    stages = tuple(_stage(number, part) for number, part in enumerate(text.split(","), start=1))
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"two stages of {text!r} have the same name")
    return stages


def _stage(number: int, text: str) -> Stage:
    match = _STAGE.fullmatch(text.strip())
    try:
        duration_s = parse_duration(match["duration"]) if match else 0.0
    except ValueError:
        duration_s = 0.0
    if match is None or duration_s <= 0:
        raise ValueError(f"{text!r} is not a stage such as 20:30s (users:duration)")
    return Stage((match["name"] or f"stage {number}").strip(), int(match["users"]), duration_s)


def parse_duration(text: str) -> float:
    """Seconds in ``90``, ``90s``, ``1.5s``, ``3m``, ``1h30m``. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration such as 90s, 3m or 1h30m")
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def stage_at(stages: tuple[Stage, ...], elapsed_s: float) -> Stage | None:
    """The stage that is on after so many seconds, None when all are over."""
    end_s = 0.0
    for stage in stages:
        end_s += stage.duration_s
        if elapsed_s < end_s:
            return stage
    return None
