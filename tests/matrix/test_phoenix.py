"""A receiver that others wrote: Arize Phoenix takes every span of a run of a real service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "examples" / "phoenix"))

from travel_desk import send_turns, served_phoenix

TURNS = 25


@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_span_that_is_sent_arrives(
    protocol: str, python_with: Callable[..., Path], tmp_path: Path
) -> None:
    """A LangGraph agent's turns: our ledger, the run directory and Phoenix say the same number."""
    command = python_with("arize-phoenix").with_name("phoenix")
    with served_phoenix(str(command), tmp_path) as phoenix:
        counted = send_turns(phoenix, tmp_path, TURNS, grpc=protocol == "grpc")
    sent = counted.sent
    assert (sent["delivered"], sent["dropped"], sent["pending"]) == (sent["created"], {}, 0)
    assert sent["created"] == counted.spans_written > 5 * TURNS
    assert counted.spans == sent["delivered"]
    assert counted.traces >= TURNS
