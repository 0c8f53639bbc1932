"""What grows with load and what is inherent: a turn's causes at few turns in flight and at many.

The least loaded third of turns is compared with the most loaded one, by how many turns were in
flight when they began. Something is said of a cause only where the interval over sessions excludes
the opposite: of many causes some would seem to grow by chance, so all their intervals are widened to
hold together. Turns of a warm-up are left out: they were slow, and therefore many in flight, for a
reason of their own. Load and time go together in a run that only ramps up: what grew may then have grown
with the length of the sessions, too.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from agentscope_analyzer.document import Growth, GrowthCause
from agentscope_analyzer.intervals import (
    MIN_SESSIONS_OF_A_PART,
    Clusters,
    Floats,
    Part,
    interval_of,
)
from agentscope_analyzer.wording import amount, label, number, seconds

__all__ = ["growth_of"]

Kind = Literal["grows", "shrinks", "inherent", "unclear"]

ENDS: Final[tuple[Part, Part]] = ("least", "most")

MIN_LOAD_RATIO: Final = 1.5
"""Load must differ by this much before growth with it can be seen."""
MIN_TURNS: Final = 10
INHERENT_WITHIN: Final = 0.05
"""A change that is certainly within this part of a turn's time is none."""
NAMED_SHARE: Final = 0.05
"""Of causes that do not grow, those of at least this share of a turn are named."""
MAX_NAMED: Final = 3


def growth_of(clusters: Clusters, *, streamed: bool = True) -> Growth:
    """Compare the thirds of turns with least and with most turns in flight.

    ``streamed`` says how a model's time is spoken of: whether its answers come in chunks.
    """
    turns = clusters.count("least"), clusters.count("most")
    if min(turns) < MIN_TURNS:
        said = f"not enough turns to compare loads: {amount(sum(turns), 'turn')} at both ends of it"
        return _untold(*turns, said)
    least_in_flight, most_in_flight = (
        float(clusters.in_flight[part].sum() / clusters.turns[part].sum()) for part in ENDS
    )
    least, most = clusters.per_turn("least"), clusters.per_turn("most")
    whole = Change(float(least.sum()), float(most.sum()), *_ends_of_whole(clusters))
    causes = _causes(clusters, least, most)
    varied = most_in_flight >= MIN_LOAD_RATIO * least_in_flight
    loads = f"{number(least_in_flight)} and {number(most_in_flight)} turns in flight"
    if varied:
        said = _statement(whole, causes, loads, streamed=streamed)
    else:
        said = f"load hardly varied ({loads}): nothing can be said to grow with it"
        causes = [replace(one, kind="unclear") for one in causes]
    return Growth(
        least_turns=turns[0],
        most_turns=turns[1],
        least_in_flight=least_in_flight,
        most_in_flight=most_in_flight,
        least_s=whole.least_s,
        most_s=whole.most_s,
        change_s=whole.most_s - whole.least_s,
        low_s=whole.low_s,
        high_s=whole.high_s,
        causes=causes,
        statement=said,
    )


class Change(NamedTuple):
    """Seconds of a turn under least load and under most, and the interval of the difference."""

    least_s: float
    most_s: float
    low_s: float | None
    high_s: float | None


def _untold(least_turns: int, most_turns: int, statement: str) -> Growth:
    return Growth(
        least_turns=least_turns,
        most_turns=most_turns,
        least_in_flight=None,
        most_in_flight=None,
        least_s=None,
        most_s=None,
        change_s=None,
        low_s=None,
        high_s=None,
        causes=[],
        statement=statement,
    )


def _causes(clusters: Clusters, least: Floats, most: Floats) -> list[GrowthCause]:
    """Every cause, the one that grows most first."""
    shown = (least > 0) | (most > 0)
    low, high = _ends(clusters, int(shown.sum()))
    shares = clusters.shares("least"), clusters.shares("most")
    margin_s = INHERENT_WITHIN * float(least.sum())
    found = [
        GrowthCause(
            cause=cause,
            least_s=float(least[i]),
            most_s=float(most[i]),
            least_share=float(shares[0][i]),
            most_share=float(shares[1][i]),
            change_s=float(most[i] - least[i]),
            low_s=low[i],
            high_s=high[i],
            kind=_kind(low[i], high[i], margin_s),
        )
        for i, cause in enumerate(clusters.causes)
        if shown[i]
    ]
    return sorted(found, key=lambda one: -one.change_s)


def _kind(low_s: float | None, high_s: float | None, margin_s: float) -> Kind:
    if low_s is None or high_s is None:
        return "unclear"
    if -margin_s <= low_s and high_s <= margin_s:
        return "inherent"
    if low_s > 0:
        return "grows"
    return "shrinks" if high_s < 0 else "unclear"


def _ends(clusters: Clusters, family: int) -> tuple[list[float | None], list[float | None]]:
    if not _can_be_drawn(clusters):
        none: list[float | None] = [None] * len(clusters.causes)
        return none, none
    drawn = clusters.per_turn_drawn("most") - clusters.per_turn_drawn("least")
    low, high = interval_of(drawn, sessions=clusters.sessions(*ENDS), family=family)
    return low.tolist(), high.tolist()


def _ends_of_whole(clusters: Clusters) -> tuple[float | None, float | None]:
    if not _can_be_drawn(clusters):
        return None, None
    drawn = (clusters.per_turn_drawn("most") - clusters.per_turn_drawn("least")).sum(axis=1)
    low, high = interval_of(drawn, sessions=clusters.sessions(*ENDS))
    return float(low), float(high)


def _can_be_drawn(clusters: Clusters) -> bool:
    return clusters.can_be_drawn and clusters.sessions(*ENDS) >= MIN_SESSIONS_OF_A_PART


def _statement(whole: Change, causes: list[GrowthCause], loads: str, *, streamed: bool) -> str:
    if whole.low_s is None or whole.high_s is None:
        return f"too few sessions to say what grows between {loads}"
    change_s = whole.most_s - whole.least_s
    within = f"[{seconds(whole.low_s)}, {seconds(whole.high_s)}]"
    if whole.low_s > 0:
        said = f"between {loads} a turn takes {seconds(change_s)} {within} longer"
    elif whole.high_s < 0:
        said = f"between {loads} a turn takes {seconds(-change_s)} less, not more"
    else:
        said = f"between {loads} a turn is not proved to take longer: the change is {within}"
    grown = [
        f"{label(one.cause, streamed=streamed)} by {seconds(one.change_s)} "
        f"[{seconds(one.low_s or 0.0)}, {seconds(one.high_s or 0.0)}]"
        for one in causes
        if one.kind == "grows"
    ]
    if grown:
        said += f"; what grows: {', '.join(grown[:MAX_NAMED])}"
    steady = [
        label(one.cause, streamed=streamed)
        for one in sorted(causes, key=lambda one: -one.most_share)
        if one.kind == "inherent" and one.least_share >= NAMED_SHARE
    ]
    if steady:
        said += f"; what does not: {', '.join(steady[:MAX_NAMED])}"
    return said
