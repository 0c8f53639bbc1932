"""A scrape of half a megabyte, and the event loop that has turns to serve meanwhile."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from agentscope import conventions as c
from agentscope.export.prometheus import pace, serve, workers
from agentscope.settings import METRICS_DIRECTORY
from agentscope.testing import Recorded

TICK_S = 0.001
SCRAPES = 6


def fill(recorded: Recorded) -> None:
    """As many series as there may be, about."""
    with recorded.recorder.instruments.lock:
        for number in range(300):
            for metric in c.METRICS.values():
                labels = (f"{number:04d}-thought-of-by-a-client.example",) * len(metric.attributes)
                if metric.instrument == "histogram":
                    recorded.instruments.observe(metric, labels, 1.0)
                else:
                    recorded.instruments.set(metric, labels, 1.0)


async def lateness_s(recorded: Recorded) -> float:
    """How late the loop runs a timer while somebody scrapes, in the middle."""
    sizes: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        sizes.append(len(message.get("body", b"")))

    async def scrape() -> None:
        for _ in range(SCRAPES):
            await serve(recorded.recorder, send)

    scraping = asyncio.create_task(scrape())
    late: list[float] = []
    while not scraping.done():
        due_s = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        late.append(time.perf_counter() - due_s)
    await scraping
    assert max(sizes) > 300_000
    return statistics.median(late)


@pytest.mark.parametrize("shared", [False, True], ids=["one process", "shared with workers"])
def test_the_loop_gets_on_during_a_scrape(
    shared: bool, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In slices it waits a fraction of what it does for a thread that computes without a pause."""
    if shared:
        monkeypatch.setenv(METRICS_DIRECTORY, str(tmp_path))
    fill(recorded)
    slices_s = pace.SLICE_S
    in_slices, at_once = [], []
    for _ in range(2):  # the machine may be busy with something else for a while
        monkeypatch.setattr(pace, "SLICE_S", slices_s)
        in_slices.append(asyncio.run(lateness_s(recorded)))
        monkeypatch.setattr(pace, "SLICE_S", math.inf)
        at_once.append(asyncio.run(lateness_s(recorded)))
    if workers._publisher is not None:
        workers._publisher.close()
        monkeypatch.setattr(workers, "_publisher", None)
    assert min(in_slices) < min(at_once) / 2
    assert min(in_slices) < 0.005
