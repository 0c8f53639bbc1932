"""The long ones among the analyzer's tests run when they are asked for: ``make proofs``."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``proofs`` unless it was asked for."""
    if os.environ.get("AGENTSCOPE_PROOFS") == "1":
        return
    for item in items:
        if item.get_closest_marker("proofs"):
            item.add_marker(pytest.mark.skip(reason="a load run of its own: make proofs"))
