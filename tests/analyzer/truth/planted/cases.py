"""Cases: a class of planted causes, made with a seed."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from planted.classes import CLASSES, LEAD, Planted
from planted.simulation import Run, run_of

MOST_DRAWS = 40


def fresh_seed() -> int:
    """The seed of ``AGENTSCOPE_TRUTH_SEED``, else a new one; printed, so that a failure can be repeated."""
    told = os.environ.get("AGENTSCOPE_TRUTH_SEED")
    seed = int(told) if told else random.SystemRandom().randrange(10**9)
    print(f"repeat with AGENTSCOPE_TRUTH_SEED={seed}")
    return seed


@dataclass
class Case:
    """A class, made: the plan, and the run that came of it."""

    name: str
    seed: int
    planted: Planted
    run: Run
    drawn: int = 1
    causes: frozenset[str] = field(default_factory=frozenset)


def case_of(name: str, seed: int) -> Case:
    """Draw until what was planned has really happened; the same seed gives the same case."""
    draw = random.Random(f"{name} {seed}")
    for drawn in range(1, MOST_DRAWS + 1):
        planted = CLASSES[name](draw)
        run = run_of(planted.design, planted.load, draw.getrandbits(32))
        if planted.took_hold(run):
            return Case(name, seed, planted, run, drawn, _leading(planted, run))
    msg = f"{name}: of {MOST_DRAWS} draws none became what was planned (seed {seed})"
    raise ValueError(msg)


def _leading(planted: Planted, run: Run) -> frozenset[str]:
    """The right verdicts: of two that were planted the larger, if one is."""
    if not planted.also:
        return planted.causes
    most = max(run.share(cause) for cause in planted.causes)
    return frozenset(cause for cause in planted.causes if run.share(cause) >= most - LEAD)
