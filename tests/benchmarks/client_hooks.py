"""What the client hooks cost: the same calls without us, with nothing recorded, and recorded.

    python tests/benchmarks/client_hooks.py [--rounds 5]

Everything runs in one process over a mock transport, so a call is the library's own work and ours,
no network. Printed is CPU time, the minimum over the rounds, in µs: a call of the openai client,
one chunk of a streamed answer of 200, a bare httpx2 request. The recorder's thread is off: what it
does later is not the caller's time. ``client_cost.py`` compares with other instrumentations.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import mocked_openai
from mocked_openai import CHUNKS

import agentscope
from agentscope import lifecycle
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.testing import recording

CALLS, STREAMS = 300, 15


def _repeated(ask: Callable[[Any], None], times: int) -> Callable[[], None]:
    client = mocked_openai.http_client() if ask is mocked_openai.request else mocked_openai.client()

    def run() -> None:
        for _ in range(times):
            ask(client)

    return run


def _awaited(ask: Callable[[Any], Awaitable[None]], times: int) -> Callable[[], None]:
    async def main() -> None:
        async with mocked_openai.async_client() as client:
            for _ in range(times):
                await ask(client)

    return lambda: asyncio.run(main())


CASES: dict[str, tuple[Callable[[], None], int]] = {
    "openai call": (_repeated(mocked_openai.ask, CALLS), CALLS),
    "openai call, async": (_awaited(mocked_openai.ask_async, CALLS), CALLS),
    "openai chunk": (_repeated(mocked_openai.ask_streamed, STREAMS), STREAMS * CHUNKS),
    "openai chunk, async": (_awaited(mocked_openai.ask_streamed_async, STREAMS), STREAMS * CHUNKS),
    "httpx2 request": (_repeated(mocked_openai.request, CALLS), CALLS),
}


def _time_us(run: Callable[[], None], units: int) -> float:
    start = time.process_time()
    run()
    return (time.process_time() - start) / units * 1e6


def _recorded_us(run: Callable[[], None], units: int) -> float:
    with recording(real_time=True) as recorded, agentscope.turn("turn"):
        taken = _time_us(run, units)
        assert recorded.spans
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the client hooks cost.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'µs':<22}{'bare':>8}{'off':>8}{'recorded':>10}{'more':>8}")
    for name, (run, units) in CASES.items():
        lifecycle.recorder = None
        times: dict[str, list[float]] = {"bare": [], "off": [], "recorded": []}
        run()
        for _ in range(rounds):
            times["bare"].append(_time_us(run, units))
            instrument_clients()
            times["off"].append(_time_us(run, units))
            times["recorded"].append(_recorded_us(run, units))
            uninstrument_clients()
        bare, off, recorded = (min(values) for values in times.values())
        print(f"{name:<22}{bare:8.2f}{off:8.2f}{recorded:10.2f}{recorded - bare:8.2f}")


if __name__ == "__main__":
    main()
