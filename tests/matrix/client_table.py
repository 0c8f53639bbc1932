"""What is recorded of a call: client release × sync, async × whole, streamed × how it went.

    python tests/matrix/client_table.py

Runs ``calling.py`` with each release of the clients, in an environment of its own, against a mock
LLM, and prints what it measured as a Markdown table. Ends with 1 if a cell is not as it has to be.
The tests beside it look at each cell.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environments import Environments, run_script

from agentscope.lab.mock_llm import MockLlmSettings, running

SETTINGS = MockLlmSettings(port=0, knobs="profile=instant;depth=0;out=8;retry-after=0.02")


@dataclass(frozen=True)
class Client:
    """A release of a client library, as pip is asked for it; "" is the one installed here."""

    library: str
    release: str
    http: str
    wraps_mid_stream: bool = False
    """Whether a failure in the middle of a stream is raised as an exception of its own."""

    def __str__(self) -> str:
        return self.library + (self.release or " installed")


CLIENTS = (
    Client("openai", "==1.*", "httpx"),
    Client("openai", "==2.0.0", "httpx"),
    Client("openai", "==2.*", "httpx"),
    Client("openai", "==3.0.0", "httpx2"),
    Client("openai", "", "httpx2", wraps_mid_stream=True),
    Client("anthropic", "==0.*", "httpx"),
    Client("anthropic", "==1.0.0", "httpx2"),
    Client("anthropic", "==1.*", "httpx2"),
    Client("anthropic", "==2.0.0", "httpx2"),
    Client("anthropic", "", "httpx2"),
)

LIMITED = ["chat mock ok", " POST #0 429 429", " wait rate_limit", " POST #1 200"]
FAILED = ["chat mock ok", " POST #0 500 500", " wait retry_backoff", " POST #1 200"]
CANCELLED = "asyncio.exceptions.CancelledError"

OUTCOMES = {
    "ok": ["chat mock ok", " POST #0 200"],
    "429, then ok": LIMITED,
    "500, then ok": FAILED,
    "time-out": [
        "chat mock error {library}.APITimeoutError",
        " POST #0 {http}.ReadTimeout",
        "raised {library}.APITimeoutError",
    ],
    "time-out in mid-stream": [
        "chat mock error {mid_stream}",
        " POST #0 200 {http}.ReadTimeout",
        "raised {mid_stream}",
    ],
    "abandoned": ["chat mock abandoned", " POST #0 200"],
    "cancelled": ["chat mock cancelled", f" POST #0 {CANCELLED}", f"raised {CANCELLED}"],
    "cancelled in mid-stream": [
        "chat mock cancelled",
        f" POST #0 200 {CANCELLED}",
        f"raised {CANCELLED}",
    ],
}
"""How a call went → one line a span (name, attempt, status, outcome, error), and what was raised."""

SHAPES = {
    "openai": (
        "raw_response",
        "streamed_raw_response",
        "streaming_response",
        "stream_helper",
        "parse",
        "tools",
        "embeddings",
        "responses",
        "streamed_responses",
        "responses_stream_helper",
        "parsed_responses",
        "awaited_raw_response",
        "awaited_streaming_response",
        "awaited_stream_helper",
    ),
    "anthropic": (
        "raw_response",
        "streamed_raw_response",
        "streaming_response",
        "stream_helper",
        "parse",
        "tools",
        "beta",
        "beta_stream_helper",
        "awaited_raw_response",
        "awaited_streaming_response",
        "awaited_stream_helper",
    ),
}
"""The other ways to ask, all of which go well: the functions of ``calls_of_….py``."""


@dataclass
class Cell:
    """What was recorded of one call."""

    story: list[str]
    said: list[list[str]]
    """For each inference, which of its facts are there."""
    open: int
    """Inferences that have not ended."""
    faults: dict[str, int]


@dataclass
class Measured:
    """What was recorded of every call of one release."""

    version: str
    cells: dict[str, Cell] = field(default_factory=dict)


def measure(client: Client, python: Path) -> Measured:
    """Run every cell of ``client`` with ``python``, which has it."""
    with running(SETTINGS) as mock:
        printed = run_script(python, "calling.py", client.library, mock.anthropic_base_url)
    told = json.loads(printed)
    cells = {name: Cell(**cell) for name, cell in told["cells"].items()}
    return Measured(told["version"], cells)


def cells_of(client: Client) -> list[str]:
    """The names of all cells that there are."""
    outcomes = [
        f"{how} {way} {outcome}"
        for how in ("sync", "async")
        for way in ("whole", "streamed")
        for outcome in OUTCOMES
        if why_not(how, way, outcome) is None
    ]
    return [*outcomes, *SHAPES[client.library]]


def why_not(how: str, way: str, outcome: str) -> str | None:
    """Why a cell makes no sense; None where it does."""
    if way == "whole" and (outcome == "abandoned" or "mid-stream" in outcome):
        return "an answer that is not streamed comes whole or not at all"
    if how == "sync" and outcome.startswith("cancelled"):
        return "nothing cancels a thread in the middle of a call"
    return None


def expected(client: Client, cell: str) -> list[str]:
    """What has to be recorded."""
    if cell in SHAPES[client.library]:
        name = "embeddings" if cell == "embeddings" else "chat"
        return [f"{name} mock ok", " POST #0 200"]
    outcome = cell.split(" ", 2)[2]
    library, http = client.library, client.http
    mid_stream = f"{library}.APITimeoutError" if client.wraps_mid_stream else f"{http}.ReadTimeout"
    words = {"library": library, "http": http, "mid_stream": mid_stream}
    return [line.format_map(words) for line in OUTCOMES[outcome]]


def table(measured: Mapping[Client, Measured]) -> str:
    """The cells of one library as Markdown: a row a cell, a column a release."""
    library = next(iter(measured)).library
    head = [
        "call",
        "outcome",
        "recorded",
        *(f"{library} {one.version}" for one in measured.values()),
    ]
    rows = [head, ["---"] * len(head)]
    reasons: dict[str, list[str]] = {}
    for how in ("sync", "async"):
        for way in ("whole", "streamed"):
            for outcome in OUTCOMES:
                reason = why_not(how, way, outcome)
                if reason is None:
                    cell = f"{how} {way} {outcome}"
                    rows.append([f"{how}, {way}", outcome, *_row(measured, cell)])
                else:
                    reasons.setdefault(reason, []).append(f"{how}, {way}, {outcome}")
    for shape in SHAPES[library]:
        how = "async" if shape.startswith("awaited_") else "sync"
        call = shape.removeprefix("awaited_").replace("_", " ")
        rows.append([f"{how}, {call}", "ok", *_row(measured, shape)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [f"\nNo cells, because {why}: {'; '.join(cells)}." for why, cells in reasons.items()]
    return "\n".join(lines)


def _row(measured: Mapping[Client, Measured], cell: str) -> list[str]:
    stories = [one.cells[cell].story for one in measured.values()]
    marks = [
        "✓" if story == expected(client, cell) else "✗"
        for client, story in zip(measured, stories, strict=True)
    ]
    return [" or ".join(dict.fromkeys(map(_in_short, stories))), *marks]


def _in_short(story: list[str]) -> str:
    """``429, wait rate_limit, 200: ok``; of exceptions, the class without its package."""
    if not story:
        return "nothing"
    call, *rest = story
    below = [line.strip() for line in rest if line.startswith(" ")]
    below = [line.partition(" #")[2][2:] or line for line in below]
    told = f"{', '.join(below)}: {' '.join(call.split()[2:])}"
    return re.sub(r"\b(\d{3}) \1\b|\b(?:\w+\.)+(?=\w)", r"\1", told)


def main() -> int:
    """Print a table a library."""
    as_expected = True
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(Path(folder))
        for library in SHAPES:
            measured = {}
            for client in (each for each in CLIENTS if each.library == library):
                python = Path(sys.executable)
                if client.release:
                    python = environments.python_with(library + client.release)
                measured[client] = one = measure(client, python)
                as_expected &= all(
                    one.cells[cell].story == expected(client, cell) for cell in cells_of(client)
                )
            print(table(measured), end="\n\n")
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
