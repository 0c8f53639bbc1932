"""Was the load the same? Runs under different loads differ for that alone.

What a user does - how many there are, how long they think, which routes they take - must be the
same, or the comparison is withheld. What a turn asks of models may be weighted to a common mix.
How often turns come and what models answer follows from the layers themselves, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agentscope_analyzer.layers.document import LoadCheck, Sameness
from agentscope_analyzer.layers.sample import Floats, Layer
from agentscope_analyzer.layers.strata import (
    MIN_COVERED,
    Strata,
    differ,
    stratified,
    unstratified,
)
from agentscope_analyzer.wording import number, percent, seconds

__all__ = ["Load", "load_of", "mean_or_none"]

MAX_RATIO: Final = 1.25
"""Of users or of think time in any two runs."""
MIN_THINK_APART_S: Final = 0.1
MAX_RATE_RATIO: Final = 1.1
MAX_TOKENS_RATIO: Final = 1.1
MAX_FAILED: Final = 0.5
FAILED_APART: Final = 0.05
CROWDED_APART: Final = 0.01


@dataclass(frozen=True)
class Load:
    """The checks, the kinds of turns to compare by, and why not to compare at all."""

    checks: list[LoadCheck]
    strata: Strata
    withheld: str | None


def load_of(layers: Sequence[Layer]) -> Load:
    """Compare what the runs were asked to do."""
    checks = [_users(layers), _think(layers)]
    checks.append(_rate(layers, same_users=all(check.sameness == "same" for check in checks)))
    mix, strata = _mix(layers)
    checks += [*mix, _output_tokens(layers), _failed(layers), _machine(layers)]
    differing = [check for check in checks if check.sameness == "differs"]
    why = f"the loads are not the same: {differing[0].detail}" if differing else _unfit(layers)
    return Load(checks, strata, why)


def mean_or_none(values: Floats) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _unfit(layers: Sequence[Layer]) -> str | None:
    for layer in layers:
        if not layer.sample.turns:
            return f"{layer.name} has no turn that can be compared"
        if layer.report.verdict.confidence == "withheld":
            return f"{layer.name} cannot be judged itself: {layer.report.verdict.statement}"
    return None


def _check(name: str, sameness: Sameness, detail: str, values: Sequence[float | None]) -> LoadCheck:
    return LoadCheck(check=name, sameness=sameness, detail=detail, values=list(values))


def _users(layers: Sequence[Layer]) -> LoadCheck:
    values = [layer.users for layer in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        detail = "how many users there were is not said in every run"
        return _check("users", "unknown", detail, values)
    same = _ratio(known) <= MAX_RATIO
    told = f"{_listed(known)} users"
    return _check("users", "same" if same else "differs", told, values)


def _think(layers: Sequence[Layer]) -> LoadCheck:
    values = [layer.sample.think_s for layer in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        detail = "no session has two turns in every run: think time is not known"
        return _check("think_time", "unknown", detail, values)
    same = _ratio(known) <= MAX_RATIO or max(known) - min(known) <= MIN_THINK_APART_S
    told = f"users think {_spread([seconds(value) for value in known])} between turns (median)"
    return _check("think_time", "same" if same else "differs", told, values)


def _rate(layers: Sequence[Layer], *, same_users: bool) -> LoadCheck:
    values = [layer.sample.turns_per_s for layer in layers]
    known = [value for value in values if value is not None]
    told = f"{_listed(known)} turns a second"
    if len(known) < len(values):
        return _check("offered_rate", "unknown", "the rate of turns is not known", values)
    if _ratio(known) <= MAX_RATE_RATIO:
        return _check("offered_rate", "same", told, values)
    if same_users:
        detail = f"{told}: the same users, who wait longer for each turn, send fewer of them"
        return _check("offered_rate", "noted", detail, values)
    return _check("offered_rate", "differs", told, values)


def _mix(layers: Sequence[Layer]) -> tuple[list[LoadCheck], Strata]:
    """Kinds of turns by all that differs; the kinds stay together, as they come together."""
    samples = [layer.sample for layer in layers]
    if not all(sample.turns for sample in samples):
        return [], unstratified(samples)
    values: dict[str, list[float | None]] = {
        "route": [None for _ in samples],
        "calls": [float(sample.calls.mean()) for sample in samples],
        "input_tokens": [mean_or_none(sample.input_tokens) for sample in samples],
    }
    told = {
        "route": "the mix of routes",
        "calls": f"{_listed(values['calls'])} model calls a turn",
        "input_tokens": f"{_listed(values['input_tokens'])} input tokens a turn",
    }
    apart = {by: differ(samples, by) for by in values}
    by = [name for name, distance in apart.items() if distance is not None]
    strata = stratified(samples, by) if by else unstratified(samples)
    fits = strata.covered >= MIN_COVERED
    checks = []
    for name, distance in apart.items():
        if distance is None:
            checks.append(
                _check(name, "same", f"{told[name]}: the same but for chance", values[name])
            )
        elif fits:
            detail = f"{told[name]}: {percent(distance)} of turns differ, weighted to one mix"
            checks.append(_check(name, "adjusted", detail, values[name]))
        else:
            detail = (
                f"{told[name]}: {percent(distance)} of turns differ, and only {percent(strata.covered)} "
                "are of kinds that every run has"
            )
            checks.append(_check(name, "differs", detail, values[name]))
    return checks, strata


def _output_tokens(layers: Sequence[Layer]) -> LoadCheck:
    values = [mean_or_none(layer.sample.output_tokens) for layer in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        detail = "not every run says how much its models wrote"
        return _check("output_tokens", "unknown", detail, values)
    told = f"{_listed(known)} output tokens a turn"
    if _ratio(known) <= MAX_TOKENS_RATIO:
        return _check("output_tokens", "same", told, values)
    detail = f"{told}: the models answer at different length, which is part of what they add"
    return _check("output_tokens", "noted", detail, values)


def _failed(layers: Sequence[Layer]) -> LoadCheck:
    values = [layer.report.turns.error_rate or 0.0 for layer in layers]
    told = f"{_spread([percent(value) for value in values])} of turns failed"
    if max(values) > MAX_FAILED:
        return _check("failed", "differs", told, values)
    if max(values) - min(values) > FAILED_APART:
        return _check("failed", "noted", f"{told}; they are left out", values)
    return _check("failed", "same", told, values)


def _machine(layers: Sequence[Layer]) -> LoadCheck:
    """A machine that others use as well makes the service's own time longer."""
    values = [_crowded(layer) for layer in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        detail = "whether the machine had free processors is not known of every run"
        return _check("processors", "unknown", detail, values)
    told = f"event loops waited {_spread([percent(value) for value in known])} of the run for a processor"
    if max(known) - min(known) <= CROWDED_APART:
        return _check("processors", "same", told, values)
    detail = f"{told}: the machine was busier in one of them, which is in its runtime.* seconds"
    return _check("processors", "noted", detail, values)


def _crowded(layer: Layer) -> float | None:
    shares = [check.value for check in layer.report.validity if check.check == "processors"]
    return float(shares[0]) if shares and isinstance(shares[0], int | float) else None


def _ratio(values: Sequence[float]) -> float:
    least, most = min(values), max(values)
    if least <= 0:
        return 1.0 if most <= 0 else float("inf")
    return most / least


def _listed(values: Sequence[float | None]) -> str:
    return _spread(["–" if value is None else number(value) for value in values])


def _spread(texts: Sequence[str]) -> str:
    """Once where all are the same, else one after the other."""
    return texts[0] if len(set(texts)) == 1 else " → ".join(texts)
