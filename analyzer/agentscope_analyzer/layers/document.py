"""The document of a comparison of layers: exactly the keys of schema ``agentscope.layers/1``.

Every key is always present; what cannot be told is None. Seconds are of one turn, on average over
turns, unless the key says otherwise; intervals are 95 %, by resampling sessions.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agentscope.conventions import LAYERS_SCHEMA

Change = Literal["added", "saved", "unchanged", "inconclusive", "not_judged"]
"""``added`` and ``saved``: not by chance, and more than the margin. ``unchanged``: whatever it is,
it is within the margin. ``inconclusive``: neither can be said. ``not_judged``: no interval."""

Sameness = Literal["same", "adjusted", "noted", "differs", "unknown"]
"""``adjusted``: differs, and the comparison is weighted to a common mix. ``noted``: differs, and is
a consequence or no hindrance. ``differs``: the runs are not comparable."""


class LayerFigures(msgspec.Struct, kw_only=True, frozen=True):
    """One run: what was compared of it, and what its own report says binds.

    ``turns`` are those that were compared: whole ones of the steady part; ``left_out`` failed, were
    given up or cut off. ``users`` is what the load generator says, ``think_s`` the median pause of
    a session between two turns. ``p50_s`` and ``p95_s`` are weighted where the mix was adjusted; the times are None where the runs have no mix in common.
    """

    name: str
    run: str
    turns: int
    left_out: int
    sessions: int | None
    users: float | None
    think_s: float | None
    turns_per_s: float | None
    calls_per_turn: float | None
    input_tokens_per_turn: float | None
    output_tokens_per_turn: float | None
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    causes: dict[str, float]
    verdict: str
    confidence: str


class LoadCheck(msgspec.Struct, kw_only=True, frozen=True):
    """Whether one side of the load was the same in all runs; ``values`` are theirs, in order."""

    check: str
    sameness: Sameness
    detail: str
    values: list[float | None]


class Difference(msgspec.Struct, kw_only=True, frozen=True):
    """The later run's figure less the earlier one's.

    ``margin`` is the least difference that matters; ``detectable`` the least one that runs like
    these would show four times out of five; ``sessions_needed`` how many sessions a run would need
    to show the margin, None where it does already.
    """

    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    margin: float
    detectable: float | None
    sessions_needed: int | None
    change: Change


class CauseDifference(Difference, kw_only=True, frozen=True):
    """Seconds of one cause in a turn. ``recorded_before``, ``recorded_after``: the run could have
    shown the cause at all; a dependency that was mocked away shows none."""

    cause: str
    recorded_before: bool
    recorded_after: bool


class Step(msgspec.Struct, kw_only=True, frozen=True):
    """From one run to a later one: the headline first.

    ``ratio`` is how many times as long a session's turns take: Hodges-Lehmann's shift of the
    logarithms of the sessions' median turns, its margins being ratios, too. ``causes`` add up to
    ``mean_s``'s difference.
    """

    before: str
    after: str
    statement: str
    ratio: Difference | None
    mean_s: Difference
    p50_s: Difference
    p95_s: Difference
    causes: list[CauseDifference]


class LayersReport(msgspec.Struct, kw_only=True, frozen=True):
    """The runs, whether their loads were the same, and what each layer added.

    ``steps`` go from run to run; with more than two runs the last one goes from the first to the
    last. It is empty, and ``withheld`` says why, where the runs cannot be compared.
    """

    schema: str = LAYERS_SCHEMA
    layers: list[LayerFigures]
    load: list[LoadCheck]
    adjusted: str | None
    """By what turns were weighted to a common mix; None where they were not."""
    withheld: str | None
    steps: list[Step]
