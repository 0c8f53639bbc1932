"""Named runs in, one document out: what each layer added to a turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from agentscope.conventions import CAUSES
from agentscope_analyzer.layers.document import LayerFigures, LayersReport, Step
from agentscope_analyzer.layers.load import Load, load_of, mean_or_none
from agentscope_analyzer.layers.resampling import Resampled
from agentscope_analyzer.layers.sample import Layer
from agentscope_analyzer.layers.steps import step_between

__all__ = ["compare"]


def compare(layers: Sequence[Layer]) -> LayersReport:
    """Compare runs in the order in which dependencies were put in; at least two."""
    load = load_of(layers)
    resampled = [
        Resampled(layer.sample, kinds, load.strata.weights, seed)
        for seed, (layer, kinds) in enumerate(zip(layers, load.strata.kinds, strict=True))
    ]
    pairs = list(zip(layers, resampled, strict=True))
    return LayersReport(
        layers=[_figures(layer, drawn, load) for layer, drawn in pairs],
        load=load.checks,
        adjusted=", ".join(load.strata.by) or None,
        withheld=load.withheld,
        steps=[] if load.withheld else _steps(pairs),
    )


def _steps(pairs: Sequence[tuple[Layer, Resampled]]) -> list[Step]:
    steps = [step_between(a, b) for a, b in pairwise(pairs)]
    return [*steps, step_between(pairs[0], pairs[-1])] if len(pairs) > 2 else steps


def _figures(layer: Layer, drawn: Resampled, load: Load) -> LayerFigures:
    sample, report = layer.sample, layer.report
    compared = sample.turns > 0 and load.strata.covered > 0
    means = drawn.mean_s if compared else [0.0] * len(CAUSES)
    return LayerFigures(
        name=layer.name,
        run=layer.run,
        turns=sample.turns,
        left_out=sample.left_out,
        sessions=sample.sessions if sample.known else None,
        users=layer.users,
        think_s=sample.think_s,
        turns_per_s=sample.turns_per_s,
        calls_per_turn=float(sample.calls.mean()) if sample.turns else None,
        input_tokens_per_turn=mean_or_none(sample.input_tokens),
        output_tokens_per_turn=mean_or_none(sample.output_tokens),
        mean_s=float(sum(means)) if compared else None,
        p50_s=drawn.quantile_s(0.5) if compared else None,
        p95_s=drawn.quantile_s(0.95) if compared else None,
        causes={cause: float(mean) for cause, mean in zip(CAUSES, means, strict=True) if mean > 0},
        verdict=report.verdict.statement,
        confidence=report.verdict.confidence,
    )
