"""What users waited before their turns began, as far as the load generator's lines tell.

Turns are what the service recorded; a request that nobody took up yet is in none of them. It is no
part of the attribution, whose causes add up to the turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import percent, seconds

__all__ = ["BeforeTurns", "before_turns_of", "clock_shift"]

MIN_SHARE = 0.05
"""Of users' waiting: less than this before the turns is not spoken of."""
MIN_MEAN_S = 0.01


@dataclass(frozen=True)
class BeforeTurns:
    """Seconds that users waited before their turns began, and the part of each cause."""

    requests: int = 0
    users_wall_s: float = 0.0
    wall_s: float = 0.0
    causes: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_s(self) -> float:
        """Seconds before one turn, on average."""
        return self.wall_s / self.requests if self.requests else 0.0

    @property
    def large(self) -> bool:
        """Whether it is worth a sentence."""
        return self.mean_s >= MIN_MEAN_S and self.wall_s >= MIN_SHARE * self.users_wall_s

    @property
    def unexplained_s(self) -> float:
        """Seconds in which the process ran and yet did not take the request up."""
        return max(0.0, self.wall_s - sum(self.causes.values()))

    @property
    def unexplained_share(self) -> float:
        """The same as a share of all that users waited; 0 where it is little."""
        return self.unexplained_s / self.users_wall_s if self.large else 0.0

    @property
    def says(self) -> str:
        """What a verdict says of waiting that nothing in the process explains."""
        unexplained = percent(self.unexplained_s / self.wall_s)
        return (
            f"but users wait {seconds(self.mean_s)} before their turn begins, {unexplained} of it in an "
            "accept queue, on the network or for a connection"
        )

    def share(self, cause: str) -> float:
        """The cause's part before the turns, as a share of all that users waited."""
        return self.causes.get(cause, 0.0) / self.users_wall_s if self.large else 0.0

    def part(self, cause: str) -> float:
        """The cause's part of what users waited before the turns."""
        return self.causes.get(cause, 0.0) / self.wall_s if self.wall_s else 0.0


def before_turns_of(asker: Asker, load: Mapping[str, Any]) -> BeforeTurns:
    """Ask for it; ``load`` is the row of ``load/joined``."""
    row = asker.ask("load/before_turns", ahead_s=clock_shift(load))[0]
    if not row["requests"] or not row["users_wall_s"]:
        return BeforeTurns()
    throttled_s = row["throttled_s"]
    # One explains the other where they overlap: nothing ran in a freeze, the collector included.
    gc_s = max(0.0, row["gc_s"] - throttled_s)
    loop_s = max(0.0, row["loop_s"] - gc_s - throttled_s)
    return BeforeTurns(
        requests=row["requests"],
        users_wall_s=row["users_wall_s"],
        wall_s=row["wall_s"],
        causes={
            "runtime.event_loop": min(loop_s, row["wall_s"]),
            "runtime.gc": min(gc_s, row["wall_s"]),
            "runtime.throttled": min(throttled_s, row["wall_s"]),
        },
    )


def clock_shift(load: Mapping[str, Any]) -> float:
    """By how much the service's clock must be ahead for every turn to lie within its request.

    0 where the clocks can be the same, as on one host they are: what a request waits before its turn
    moves the middle of the turn, too.
    """
    ahead_s, within_s = load["clock_ahead_s"], load["clock_within_s"]
    if ahead_s is None or within_s is None or abs(ahead_s) <= within_s:
        return 0.0
    return float(ahead_s - within_s if ahead_s > 0 else ahead_s + within_s)
