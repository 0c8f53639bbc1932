"""Agent overview: is the service well, and if not, where does the time go."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from frame import Row, board
from links import OVERVIEW
from rows import genai, golden, recorder, routes, runtime, waits


def build() -> model.Dashboard:
    """The board, from the question everybody asks first down to the recorder itself."""
    return board(
        OVERVIEW,
        "Golden signals of an agent service, what its turns wait for, its model's quota, and the "
        "process behind it. Made from the recorder's own vocabulary.",
        [
            Row("Golden signals", golden.panels()),
            Row("Turns by route", routes.panels()),
            Row("Where wall time waits", waits.panels()),
            Row("Model calls and tools", genai.panels()),
            Row("Runtime", runtime.panels()),
            Row("The recorder itself", recorder.panels(), collapsed=True),
        ],
    )
