"""Like with like: turns of a route and of so many calls, weighted to one mix in every run.

A run in which more turns happen to need two calls is slower for that alone. Where the mixes of the
runs differ by more than chance, each run's turns are weighted so that every kind of turn counts as
much as in all runs on average (post-stratification). A kind that is missing in one of the runs is
left out; if that is too much, the runs are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agentscope_analyzer.layers.sample import Floats, Ints, Sample

__all__ = ["MIN_COVERED", "Strata", "differ", "stratified", "unstratified"]

MIN_COVERED: Final = 0.8
"""Of each run's turns must be of kinds that every run has."""
MIN_TURNS_OF_A_KIND: Final = 3
LEAST_DISTANCE: Final = 0.05
"""Share of turns that would have to be of another kind; less makes no difference that matters."""
PERMUTATIONS: Final = 300
CHANCE: Final = 0.01
SEED: Final = 20260

Kind = Hashable


@dataclass(frozen=True)
class Strata:
    """What kind each run's turns are of, -1 for those left out, and how much each kind counts."""

    by: tuple[str, ...]
    kinds: list[Ints]
    weights: Floats
    covered: float
    """The least share of a run's turns that is compared."""


def unstratified(samples: Sequence[Sample]) -> Strata:
    """All turns are of one kind."""
    kinds = [np.zeros(sample.turns, dtype=np.int64) for sample in samples]
    return Strata((), kinds, np.ones(1), 1.0)


def stratified(samples: Sequence[Sample], by: Sequence[str]) -> Strata:
    """Kinds of turns by one or more of ``route``, ``calls`` and ``input_tokens``."""
    edges = _token_edges(samples)
    named = [kinds_of(sample, by, edges) for sample in samples]
    counts = [_counted(kinds) for kinds in named]
    common = sorted(
        (
            kind
            for kind in counts[0]
            if all(count.get(kind, 0) >= MIN_TURNS_OF_A_KIND for count in counts)
        ),
        key=repr,
    )
    number = {kind: i for i, kind in enumerate(common)}
    kinds = [np.array([number.get(kind, -1) for kind in names], dtype=np.int64) for names in named]
    covered = min(float(np.mean(kind >= 0)) if len(kind) else 0.0 for kind in kinds)
    shares = np.array(
        [
            np.bincount(kind[kind >= 0], minlength=len(common)) / max(1, (kind >= 0).sum())
            for kind in kinds
        ]
    )
    weights = shares.mean(axis=0) if common else np.zeros(0)
    return Strata(tuple(by), kinds, weights, covered)


def differ(samples: Sequence[Sample], by: str) -> float | None:
    """How far apart the runs' mixes are, if it is more than chance and matters; else None.

    The distance of two mixes is the share of turns that would have to be of another kind (total
    variation). Chance is what dealing whole sessions out anew to the runs gives.
    """
    edges = _token_edges(samples)
    names = [kinds_of(sample, (by,), edges) for sample in samples]
    number = {kind: i for i, kind in enumerate(sorted({k for run in names for k in run}, key=repr))}
    tables = [
        _by_session(sample, [number[k] for k in run], len(number))
        for sample, run in zip(samples, names, strict=True)
    ]
    found = _distance([table.sum(axis=0) for table in tables])
    if found < LEAST_DISTANCE:
        return None
    whole = np.concatenate(tables)
    ends = np.cumsum([len(table) for table in tables])[:-1]
    generator = np.random.default_rng(SEED)
    by_chance = [
        _distance([part.sum(axis=0) for part in np.split(generator.permutation(whole), ends)])
        for _ in range(PERMUTATIONS)
    ]
    return found if np.mean(np.array(by_chance) >= found) < CHANCE else None


def kinds_of(sample: Sample, by: Sequence[str], edges: Floats) -> list[Kind]:
    """Each turn's kind: its route, calls, and part of the tokens' range, as far as asked for."""
    parts: dict[str, Callable[[], Sequence[Kind]]] = {
        "route": lambda: sample.route,
        "calls": sample.calls.tolist,
        "input_tokens": np.digitize(np.nan_to_num(sample.input_tokens, nan=-1.0), edges).tolist,
    }
    return list(zip(*(parts[name]() for name in by), strict=True))


def _token_edges(samples: Sequence[Sample]) -> Floats:
    """Ends of five parts with equally many turns of all runs; below the first, those unknown."""
    tokens = np.concatenate([sample.input_tokens for sample in samples])
    tokens = tokens[~np.isnan(tokens)]
    if not len(tokens):
        return np.zeros(1)
    return np.unique(np.concatenate([[0.0], np.quantile(tokens, (0.2, 0.4, 0.6, 0.8))]))


def _counted(kinds: Sequence[Kind]) -> dict[Kind, int]:
    counts: dict[Kind, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _by_session(sample: Sample, kinds: Sequence[int], size: int) -> Ints:
    cells = sample.session * size + np.array(kinds, dtype=np.int64)
    return np.bincount(cells, minlength=sample.sessions * size).reshape(-1, size)


def _distance(counts: Sequence[Ints]) -> float:
    """The largest distance of any two mixes."""
    mixes = [count / max(1, count.sum()) for count in counts]
    pairs = ((a, b) for i, a in enumerate(mixes) for b in mixes[i + 1 :])
    return max((float(np.abs(a - b).sum()) / 2 for a, b in pairs), default=0.0)
