"""Signs in what users wait before their turn begins: no span sees it, the load generator does."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope_analyzer.facts import Facts
from agentscope_analyzer.signs.sign import Sign, sign
from agentscope_analyzer.wording import percent, seconds

MIN_BEFORE_SHARE = 0.05
"""A cause that took less of users' waiting before their turns is not worth a sentence."""

_WHILE = {
    "runtime.event_loop": "while the loop stood still",
    "runtime.gc": "while the collector ran",
    "runtime.throttled": "while the CPU quota was used up",
}


def before_turns(cause: str, facts: Facts) -> Iterator[Sign]:
    """The share of users' waiting that this cause took before their turns began."""
    share = facts.before.share(cause)
    if share < MIN_BEFORE_SHARE:
        return
    before = facts.before
    yield sign(
        "share of users' waiting before their turn began, by this cause",
        share,
        "share",
        "load/before_turns",
        limit=MIN_BEFORE_SHARE,
        agrees=True,
        says=f"users wait {seconds(before.mean_s)} before their turn begins, "
        f"{percent(before.part(cause))} of it {_WHILE[cause]}",
    )
