"""Each cell of ``client_table.py``: the releases installed here always, the others in the matrix."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from client_table import CLIENTS, Client, Measured, cells_of, expected, measure

from agentscope import conventions as c

CELLS = [
    pytest.param(client, cell, id=f"{client} {cell}")
    for client in CLIENTS
    for cell in cells_of(client)
]
RELEASES = [pytest.param(client, id=str(client)) for client in CLIENTS]

Measure = Callable[[Client], Measured]


@pytest.fixture(scope="session")
def measured(python_with: Callable[..., Path]) -> Measure:
    """Every cell of a client, once for all tests."""

    @cache
    def installed() -> dict[Client, Measured]:
        here = [client for client in CLIENTS if not client.release]
        with ThreadPoolExecutor() as pool:  # at once: they mostly wait
            all_measured = pool.map(lambda client: measure(client, Path(sys.executable)), here)
            return dict(zip(here, all_measured, strict=True))

    @cache
    def measured(client: Client) -> Measured:
        if not client.release:
            return installed()[client]
        return measure(client, python_with(client.library + client.release))

    return measured


@pytest.mark.parametrize(("client", "cell"), CELLS)
def test_what_is_recorded_of_a_call(client: Client, cell: str, measured: Measure) -> None:
    """All spans below the turn, with attempts and outcome; all ended, and no fault of ours."""
    recorded = measured(client).cells[cell]
    assert recorded.story == expected(client, cell)
    assert recorded.open == 0
    assert recorded.faults == {}


@pytest.mark.parametrize("client", RELEASES)
def test_no_call_without_a_cell(client: Client, measured: Measure) -> None:
    """The table has every call that was made."""
    assert set(measured(client).cells) == set(cells_of(client))


@pytest.mark.parametrize("client", RELEASES)
def test_what_an_answered_call_says(client: Client, measured: Measure) -> None:
    """Tokens, the answer's id and why it ended; of a stream, when its first content came too."""
    said = {
        name: cell.said for name, cell in measured(client).cells.items() if name != "embeddings"
    }
    answered = {name for name in said if expected(client, name)[0].endswith("ok")}
    whole = [c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.RESPONSE_ID, c.FINISH_REASONS]
    for name in answered:
        streamed = "stream" in name and "streaming_response" not in name
        assert said[name] == [[*whole, c.TIME_TO_FIRST_CHUNK] if streamed else whole], name
