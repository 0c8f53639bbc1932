"""What the scripts of frameworks have in common: each story is recorded, and told as JSON.

``python framework_NAME.py URL``, run by the tests beside it in an environment that has the
framework; URL is a mock LLM's.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from calling import story

import agentscope
from agentscope import conventions as c
from agentscope.clients import instrument_clients
from agentscope.recording.guard import internal_errors
from agentscope.testing import Recorded, recording

SETTLING_S = 5


class Tokens(NamedTuple):
    """What the framework itself says that a story took."""

    input: int
    output: int


Told = Callable[[str], Tokens | None] | Callable[[str], Awaitable[Tokens | None]]
"""Takes the mock LLM's URL."""


def tell(stories: dict[str, Told]) -> None:
    """Run each story in a turn of its own, and print what was recorded of it."""
    instrument_clients()
    with asyncio.Runner() as runner:  # one loop for all: frameworks share their HTTP clients
        print(json.dumps({name: _told(runner, story) for name, story in stories.items()}))


def settle(recorded: Recorded) -> None:
    """Wait for the collector to find streams that nobody reads on: threads may still hold them."""
    deadline = time.monotonic() + SETTLING_S
    while recorded.recorder.open and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)


def _told(runner: asyncio.Runner, run: Told) -> dict[str, Any]:
    with recording(real_time=True) as recorded:
        with agentscope.turn("turn"):
            used = run(sys.argv[1])
            if inspect.iscoroutine(used):
                used = runner.run(used, context=contextvars.copy_context())
        settle(recorded)
        said = [span.attributes for span in recorded.spans]
        return {
            "story": story(recorded),
            "used": used,
            "recorded": [
                sum(each.get(key, 0) for each in said) for key in (c.INPUT_TOKENS, c.OUTPUT_TOKENS)
            ],
            "providers": sorted(
                {each.get(c.PROVIDER_NAME, "?") for each in said if c.REQUEST_MODEL in each}
            ),
            "gaps": sum(c.LONGEST_CHUNK_GAP in each for each in said),
            "open": len(recorded.recorder.open),
            "faults": internal_errors(),
        }
