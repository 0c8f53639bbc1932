"""What is left of a provider's quota, and for how long: said once, for boards and alerts.

Providers tell it with each answer and at no other time, and in two ways. Most refill all the time:
``remaining`` falls as long as more is used than refilled. Some begin anew each minute: it falls to
the same floor again and again, and jumps up at the top of each. So what counts is the floor, and
only what does not jump can run out; of several shapes of this rule, tried on both kinds of quota
under steady and growing load, this one told all that ran out before they did, and cried wolf for
none that begins anew.
"""

from __future__ import annotations

from typing import Final

QUOTA: Final = "provider, model, dimension"
"""The labels that tell a quota, besides whose it is."""

CALLER: Final = "job, instance, provider, model"
"""The labels that a quota has in common with the attempts that are counted against it."""

FLOOR_WINDOW: Final = "2m"
"""Holds the end of a minute twice, at a scrape every fifteen seconds."""

SLOPE_WINDOW, SLOPE_WINDOW_S, SLOPE = "2m", 120, 0.01
"""What falls by less than this share of the quota in the window stands still."""

JUMP, JUMP_WINDOW, SCRAPE = 0.35, "3m", "15s"
"""A rise from one scrape to the next by more of the quota than a minute's refills in that time."""

HALF: Final = 0.5
"""With more than that left a slope is mostly chance: it can turn before anything happens."""

GONE, GONE_WINDOW = 0.03, "90s"
"""Less of a quota than this, all the time, is none: there is nothing left that could shrink."""


def headroom(remaining: str, limit: str, attempts: str, window: str = FLOOR_WINDOW) -> str:
    """Share of each quota that was left at the lowest, by instance: a gap where nobody has asked.

    ``attempts`` is a rate. Without it the last word would stay, and may be hours old.
    """
    left = f"min_over_time({remaining}[{window}]) / {limit}"
    return f"{left} and on ({CALLER}) (sum by ({CALLER}) ({attempts}) > 0)"


def time_left(remaining: str, limit: str, attempts: str) -> str:
    """Seconds until nothing is left if it shrinks as in the last minutes, by instance; 0 without any.

    A gap while it does not shrink, where more than half is left, where it begins anew each minute,
    and where nobody has asked.
    """
    falls = f"-deriv({remaining}[{SLOPE_WINDOW}])"
    rises = f"max_over_time(({remaining} - {remaining} offset {SCRAPE})[{JUMP_WINDOW}:{SCRAPE}])"
    shrinking = (
        f"{remaining} / ({falls} > {SLOPE / SLOPE_WINDOW_S:.2g} * {limit})"
        f" and {remaining} / {limit} < {HALF:g} and {rises} / {limit} < {JUMP:g}"
    )
    gone = f"0 * {remaining} and max_over_time({remaining}[{GONE_WINDOW}]) / {limit} < {GONE:g}"
    called = f"sum by ({CALLER}) ({attempts}) > 0"
    return f"(({gone}) or ({shrinking})) and on ({CALLER}) ({called})"
