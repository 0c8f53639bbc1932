"""What recording the calls of a model costs, beside other instrumentations of the same client.

    python tests/benchmarks/client_cost.py [--rounds 3] [--blocks 20] [--peer LIBRARY=PYTHON …]

CPU above bare of a call of the openai client, and of each chunk of a streamed answer of 200, over
a mock transport. Each instrumentation runs in a process of its own (``client_variant.py``), first
without it and then with it; all processes take turns in short blocks, each block is compared with
that of a process that stays bare, and the medians count: so neither the machine's moods nor a
process's luck with its memory matters. ``bare again`` shows what noise is left. A chunk's figure
holds its share of the call's.

Peers are installed from the package index into environments that are thrown away, beside the same
openai as ours, unless ``--peer`` says which Python has one.

Ours records the call, its HTTP attempt with the provider's headers, metrics, and writes all of it
to disk; peers record one span, exported nowhere, and no metrics. Read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "matrix"))

from environments import CannotInstallError, Environments  # it lies there

PEERS = {
    "opentelemetry-instrumentation-genai-openai": "OpenTelemetry GenAI",
    "opentelemetry-instrumentation-openai": "OpenLLMetry",
    "openinference-instrumentation-openai": "OpenInference",
}
BARE, CONTROL, OURS = "bare", "bare again", "agentscope"
SHARED = ("openai", "httpx2", "pydantic")
"""Libraries of which every environment has the release that ours has."""

FIGURES = {
    ("call", "caller"): "call, its thread",
    ("call", "all"): "call, all threads",
    ("chunk", "caller"): "chunk, its thread",
    ("chunk", "all"): "chunk, all threads",
}
GOALS = {"call": "a third", "chunk": "1 µs a chunk"}

Figures = dict[tuple[str, str], float]
Series = dict[tuple[str, str], list[float]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the client hooks cost, beside others.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--peer", action="append", default=[], metavar="LIBRARY=PYTHON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="client-cost-") as folder:
        pythons = _pythons(Path(folder), dict(each.split("=", 1) for each in asked.peer))
        rounds = [_round(pythons, folder, asked.blocks) for _ in range(asked.rounds)]
    _print(rounds, [name for name in pythons if name in PEERS])
    return 0


def _pythons(folder: Path, given: dict[str, str]) -> dict[str, Path]:
    pythons = dict.fromkeys((BARE, CONTROL, OURS), Path(sys.executable))
    environments = Environments(folder)
    same = [f"{name}=={version(name)}" for name in SHARED]
    for library, name in PEERS.items():
        try:
            pythons[library] = (
                Path(given[library])
                if library in given
                else environments.python_with(*same, "opentelemetry-sdk", library)
            )
        except CannotInstallError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return pythons


class Worker:
    """A process with one instrumentation."""

    def __init__(self, variant: str, python: Path, folder: str) -> None:
        run_dir = tempfile.mkdtemp(prefix="run-", dir=folder)
        self._process = subprocess.Popen(
            [python, HERE / "client_variant.py", variant, run_dir],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src") if variant == OURS else ""},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def ask(self, what: str) -> dict[str, float]:
        """Have one block measured, or the instrumentation switched on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        taken: dict[str, float] = json.loads(self._process.stdout.readline())
        return taken


def _round(pythons: dict[str, Path], folder: str, blocks: int) -> dict[str, Figures]:
    """By variant, µs above bare; of ``BARE`` itself, µs."""
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name, python, folder))
            for name, python in pythons.items()
        }
        before = _in_turns(workers, blocks)
        for worker in workers.values():
            worker.ask("instrument")
        after = _in_turns(workers, blocks)
    return {
        name: {
            figure: (
                statistics.median(after[name][figure])
                if name == BARE
                else _above(after, name, figure) - _above(before, name, figure)
            )
            for figure in FIGURES
        }
        for name in workers
    }


def _in_turns(workers: dict[str, Worker], blocks: int) -> dict[str, Series]:
    taken: dict[str, Series] = {name: {figure: [] for figure in FIGURES} for name in workers}
    for what in ("call", "chunk"):
        for number in range(blocks + 1):
            for name, worker in workers.items():
                block = worker.ask(what)
                if number:  # the first warms up
                    for who, us in block.items():
                        taken[name][what, who].append(us)
    return taken


def _above(taken: dict[str, Series], name: str, figure: tuple[str, str]) -> float:
    beside = zip(taken[name][figure], taken[BARE][figure], strict=True)
    return statistics.median(us - bare_us for us, bare_us in beside)


def _print(rounds: list[dict[str, Figures]], peers: list[str]) -> None:
    print(f"µs of CPU above bare: median (least, most) of {len(rounds)} rounds")
    print(" " * 20 + "".join(f"{text:>26}" for text in FIGURES.values()))
    for name in (BARE, CONTROL, OURS, *peers):
        cells = [_cell([one[name][figure] for one in rounds]) for figure in FIGURES]
        print(f"{PEERS.get(name, name):<20}{''.join(f'{cell:>26}' for cell in cells)}")
    for figure, text in FIGURES.items() if peers else ():
        cheapest = min(peers, key=lambda peer: statistics.median(o[peer][figure] for o in rounds))
        ratios = [one[OURS][figure] / one[cheapest][figure] for one in rounds]
        goal = GOALS[figure[0]]
        print(f"{text}: {_cell(ratios)} of {PEERS[cheapest]}, the cheapest; goal: {goal}")


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
