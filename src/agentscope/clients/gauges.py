"""Gauges that are set where a call happens, and written with the others once a second."""

from __future__ import annotations

import functools
import weakref

from agentscope.conventions import Metric
from agentscope.recording.instruments import MAX_SERIES, Instruments, Labels
from agentscope.recording.recorder import Recorder

_Board = dict[tuple[Metric, Labels], float]

_boards: weakref.WeakKeyDictionary[Recorder, _Board] = weakref.WeakKeyDictionary()


def set_gauge(recorder: Recorder, metric: Metric, labels: Labels, value: float) -> None:
    """Set a gauge from any thread; the last value before the second's end is the one kept."""
    board = _boards.get(recorder)
    if board is None:
        board = _boards[recorder] = {}
        recorder.samplers.append(functools.partial(_sample, board))
    key = (metric, labels)
    if key in board or len(board) < MAX_SERIES:
        board[key] = value


def _sample(board: _Board, instruments: Instruments) -> None:
    for metric, labels in list(board):
        instruments.set(metric, labels, board.pop((metric, labels)))
