"""The GenAI conventions' older and newer metric names, from the same counts.

Measurements are counted once, by the older names. What is handed out has the names that the user
chose: so both cost the recorder no more than one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from agentscope import conventions as c
from agentscope.recording.instruments import Labels, Point

Names = Literal["old", "new", "both"]

Taken = Sequence[tuple[c.Metric, list[Point]]]
"""What ``Instruments.snapshot`` gives."""

NEWER: Final = {
    c.OPERATION_DURATION: c.INFERENCE_DURATION,
    c.OPERATION_FIRST_CHUNK: c.INFERENCE_FIRST_CHUNK,
    c.OPERATION_CHUNK_GAP: c.INFERENCE_CHUNK_GAP,
}

OLDER: Final = (*NEWER, c.TOKEN_USAGE)

INFERENCES: Final = frozenset({"chat", "generate_content", "responses", "text_completion"})
"""Operations that are inferences; embeddings and others keep the older names."""

_COUNTERS: Final = {
    "input": c.INFERENCE_INPUT_TOKENS,
    "output": c.INFERENCE_OUTPUT_TOKENS,
}


def respelled(taken: Taken, names: Names) -> Taken:
    """The snapshot with the metric names of the user's choice."""
    if names == "old":
        return taken
    found: list[tuple[c.Metric, list[Point]]] = []
    for metric, points in taken:
        if metric not in OLDER:
            found.append((metric, points))
            continue
        kept = points if names == "both" else [point for point in points if not _is_newer(point)]
        if kept:
            found.append((metric, kept))
        inferences = [point for point in points if _is_newer(point)]
        if metric is c.TOKEN_USAGE:
            found += _counters(inferences)
        elif inferences:
            found.append((NEWER[metric], inferences))
    return found


def _is_newer(point: Point) -> bool:
    return point.labels[0] in INFERENCES  # the operation stands first in all of them


def _counters(points: Iterable[Point]) -> list[tuple[c.Metric, list[Point]]]:
    found: dict[c.Metric, list[Point]] = defaultdict(list)
    for point in points:
        *call, token_type = point.labels
        if token_type in _COUNTERS:
            labels: Labels = (*call, c.MODALITY_UNKNOWN)
            found[_COUNTERS[token_type]].append(Point(labels, point.value))
    return list(found.items())
