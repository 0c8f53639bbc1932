"""The generator's modules, found as they are when ``dashboards/build.py`` runs as a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Last, so that nothing called "build" or "lint" elsewhere is shadowed.
sys.path += [str(ROOT / "dashboards"), str(Path(__file__).parent)]

import history
from prometheus_server import Prometheus, looking_back

from alerts.files import rule_files
from links import LLM, LOAD_RUN, OVERVIEW, RUNTIME

GENERATED = ROOT / "dashboards" / "generated"
BOARDS = [GENERATED / f"{board.uid}.json" for board in (OVERVIEW, LLM, RUNTIME, LOAD_RUN)]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=BOARDS, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> Any:
    """Each committed board."""
    return read(request.param)


@pytest.fixture(scope="session")
def committed() -> list[Any]:
    """All committed boards, read once: for tests that only look at them."""
    return [read(path) for path in BOARDS]


@pytest.fixture
def boards() -> list[Any]:
    """All committed boards, copies of its own for each test to spoil."""
    return [read(path) for path in BOARDS]


@pytest.fixture
def overview() -> Any:
    """The committed overview board, a copy of its own for each test to spoil."""
    return read(BOARDS[0])


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that looks back on ``history``, with our rules loaded."""
    directory = tmp_path_factory.mktemp("prometheus")
    for name, text in rule_files().items():
        (directory / name).write_text(text, encoding="utf-8")
    rules = json.dumps(list(rule_files()))
    paces = f"scrape_interval: {history.STEP_S}s, evaluation_interval: 1s"
    config = f"global: {{{paces}}}\nrule_files: {rules}\n"
    with looking_back(directory, history.openmetrics(), config) as prometheus:
        yield prometheus
