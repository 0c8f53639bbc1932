"""Streams whose event loop ends before they do."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import agentscope
from agentscope.testing import Recorded


@pytest.mark.parametrize("held", [True, False], ids=["held", "dropped"])
def test_a_loop_ends_with_a_stream_unread(
    provider: Any, recorded: Recorded, ask: Any, held: bool
) -> None:
    """The loop closes the libraries' generators and ours, in any order; ours gives no trouble.

    That of two of httpx's one closes the other, and the loop complains, is so without us.
    """
    reported: list[str] = []
    streams: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, said: reported.append(str(said)))
        client = provider.async_client("200")
        with agentscope.turn("turn"):
            stream = await client.chat.completions.create(**ask, stream=True)
            await anext(stream)
        if held:
            streams.append(stream)

    asyncio.run(main())
    assert [said for said in reported if "watched" in said] == []
    assert recorded.span("chat gpt-test").attributes["agentscope.outcome"] == "abandoned"
    streams.clear()


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_a_stream_dropped_after_its_loop(
    provider: Any, recorded: Recorded, ask: Any, begun: bool
) -> None:
    """Nobody can await its end any more; the call is over all the same."""
    loop = asyncio.new_event_loop()
    client = provider.async_client("200")

    async def main() -> Any:
        with agentscope.turn("turn"):
            stream = await client.chat.completions.create(**ask, stream=True)
            if begun:
                await anext(stream)
            return stream

    stream = loop.run_until_complete(main())
    loop.run_until_complete(client.close())
    loop.close()
    del stream
    gc.collect()  # the library's stream and its generator refer to each other
    assert recorded.span("chat gpt-test").attributes["agentscope.outcome"] == "abandoned"
