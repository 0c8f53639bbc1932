"""What needs the package index runs when it is asked for: ``make matrix``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Last, so that nothing elsewhere is shadowed: some files here are scripts too, and import others.
sys.path.append(str(Path(__file__).parent))

from environments import UV, CannotInstallError, Environments


@pytest.fixture(scope="session")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The Python of an environment that has the packages; skips the test where there is none."""
    environments = Environments(tmp_path_factory.mktemp("environments"))

    def python(*packages: str) -> Path:
        if not UV.exists():
            pytest.skip("uv is not installed beside this Python")
        if os.environ.get("AGENTSCOPE_MATRIX") != "1":
            pytest.skip("installs other releases and libraries from the package index: make matrix")
        try:
            return environments.python_with(*packages)
        except CannotInstallError as error:
            pytest.skip(str(error))

    return python
