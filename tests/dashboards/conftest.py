"""The generator's modules, found as they are when ``dashboards/build.py`` runs as a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Last, so that nothing called "build" or "lint" elsewhere is shadowed.
sys.path.append(str(ROOT / "dashboards"))

OVERVIEW = ROOT / "dashboards" / "generated" / "agentscope-overview.json"


@pytest.fixture
def overview() -> Any:
    """The committed overview board, a copy of its own for each test to spoil."""
    return json.loads(OVERVIEW.read_text(encoding="utf-8"))
