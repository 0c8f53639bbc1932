"""The README's code runs and its commands exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentscope
from agentscope_analyzer.commands import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    agentscope.uninstrument()


def test_the_integration_runs_as_it_is_written() -> None:
    """The ten lines are valid and instrument the application."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102
    assert type(namespace["app"].build_middleware_stack()).__name__ == "AgentScopeMiddleware"


def test_every_make_target_it_names_exists() -> None:
    """``make help`` lists what the documents tell people to type."""
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    documents = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?m)^make (\w+)", documents)) | set(
        re.findall(r"`make (\w+)", documents)
    )
    assert named
    assert named <= targets
    assert targets >= {"install", "demo", "test", "check", "bench", "ci", "help"}


def test_every_command_is_documented_and_shows_an_example() -> None:
    """The README names each verb; each verb's help has a line to copy."""
    for command in COMMANDS:
        assert f"`agentscope {command.name}" in README
        assert command.example.startswith(f"agentscope {command.name}")
