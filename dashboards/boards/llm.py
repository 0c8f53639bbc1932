"""LLM and rate limits: is it the model, its quota, or the way to it."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from frame import Row, board
from links import LLM
from rows import attempts, latency, limits, models_now, spend


def build() -> model.Dashboard:
    """The board, from the figures that tell the cases apart down to what it all costs."""
    return board(
        LLM,
        "Calls of models taken apart: attempts that client libraries hide, sleeps between them, "
        "what is left of each quota and for how long, first chunks, tokens and cost.",
        [
            Row("Calls of models now", models_now.panels()),
            Row("Attempts and hidden retries", attempts.panels()),
            Row("Rate limits", limits.panels()),
            Row("Latency", latency.panels()),
            Row("Tokens and cost", spend.panels()),
        ],
        of_models=True,
    )
