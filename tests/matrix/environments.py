"""Environments with chosen releases of other people's libraries, made by uv and thrown away."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
UNREACHABLE = ("failed to fetch", "error sending request", "client error", "network", "dns error")
INSTALL_TIMEOUT_S = 90
SCRIPT_TIMEOUT_S = 110


class CannotInstallError(Exception):
    """The packages cannot be had, or not together."""


class Environments:
    """Virtual environments below ``folder``: one for each choice of packages, made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, ...], Path | CannotInstallError] = {}

    def python_with(self, *packages: str) -> Path:
        """The Python of an environment with ``packages`` and what agentscope itself needs."""
        if packages not in self._made:
            try:
                self._made[packages] = self._make(packages)
            except CannotInstallError as error:
                self._made[packages] = error
        made = self._made[packages]
        if isinstance(made, CannotInstallError):
            raise made
        return made

    def _make(self, packages: tuple[str, ...]) -> Path:
        python = self._folder / str(len(self._made)) / "bin" / "python"
        needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        _uv("venv", "--quiet", "--python", sys.executable, str(python.parents[1]))
        installing = _uv("pip", "install", "--quiet", "--python", str(python), *needs, *packages)
        if installing.returncode:
            complaint, wanted = installing.stderr.strip(), " ".join(packages)
            if any(word in complaint.lower() for word in UNREACHABLE):
                msg = f"the package registry cannot be reached to install {wanted}"
            else:
                msg = f"{wanted} cannot be installed together: {complaint[-500:]}"
            raise CannotInstallError(msg)
        return python


def run_script(python: Path, script: str, *arguments: str, **environment: str) -> str:
    """Run a script that lies beside this file as a user would, with our source; its last line.

    A fault of ours that is caught and counted in production ends it.
    """
    ours = {"PYTHONPATH": str(ROOT / "src"), "AGENTSCOPE_TESTING_RAISE": "1"}
    ran = subprocess.run(
        [python, str(Path(__file__).with_name(script)), *arguments],
        env={**os.environ, **ours, **environment},
        capture_output=True, text=True, timeout=SCRIPT_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv in the project's folder, whose settings say how new a release may be."""
    return subprocess.run(
        [UV, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False,
    )  # fmt: skip
