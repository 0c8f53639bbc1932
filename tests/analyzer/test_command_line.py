"""``agentscope`` itself, before any verb."""

from __future__ import annotations

import importlib.metadata

import pytest

from agentscope_analyzer.commands import COMMANDS, main


def test_alone_it_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer types the name and sees what there is; a script sees that it was wrong."""
    assert main([]) == 2
    told = capsys.readouterr().err
    assert all(command.name in told for command in COMMANDS)


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The first question of every report of a fault."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    version = importlib.metadata.version("agentscope-observability")
    assert capsys.readouterr().out == f"agentscope {version}\n"
