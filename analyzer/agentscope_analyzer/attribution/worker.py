"""A worker process of the attribution: ``python -m agentscope_analyzer.attribution.worker``.

Its parent (``workers``) writes pickled orders to its standard input and reads pickled answers from
its standard output; what it prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import IO

from agentscope_analyzer.attribution.plan import attribute_file, own_engine

__all__ = ["serve"]


def serve(spans: Path, orders: IO[bytes], answers: IO[bytes]) -> None:
    """Do what the parent asks for until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    plan, folder = pickle.load(orders)
    with own_engine(spans) as engine:
        _answer(answers, None)
        while True:
            try:
                number, path = pickle.load(orders)
            except EOFError:
                return
            answer: object
            try:
                answer = attribute_file(plan, engine, path, folder, number).totals
            except Exception as error:  # noqa: BLE001 - the parent raises it
                answer = error
            _answer(answers, answer)


def _answer(answers: IO[bytes], value: object) -> None:
    pickle.dump(value, answers)
    answers.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)  # whatever is printed must not get between the answers
        serve(Path(sys.argv[1]), sys.stdin.buffer, pipe)
