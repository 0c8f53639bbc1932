"""The gaps between chunks: the conventions' histogram, and the longest on the span."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import agentscope
from agentscope import conventions as c
from agentscope.clients.attempts import attempts_of
from agentscope.clients.gaps import MAX_READINGS
from agentscope.clients.inference import Call, begin
from agentscope.clients.streams import watched
from agentscope.recording.instruments import Point
from agentscope.recording.recorder import Recorder
from agentscope.testing import ManualClock, Recorded, recording

NAMED: dict[str, Any] = {
    c.OPERATION_NAME: "chat",
    c.PROVIDER_NAME: "openai",
    c.REQUEST_MODEL: "m",
}


def start(recorder: Recorder) -> Call:
    return begin(recorder, "chat m", dict(NAMED))


def paced(clock: ManualClock, *pauses_s: float) -> Iterator[int]:
    """A chunk after each pause."""
    for index, pause_s in enumerate(pauses_s):
        clock.advance(pause_s)
        yield index


async def paced_async(clock: ManualClock, *pauses_s: float) -> AsyncIterator[int]:
    for index, pause_s in enumerate(pauses_s):
        clock.advance(pause_s)
        yield index


def nothing(chunk: Any, call: Call) -> None:
    """What a chunk says is no matter here."""


def read(recorded: Recorded, call: Call, *pauses_s: float) -> None:
    assert len(list(watched(paced(recorded.clock, *pauses_s), call, nothing))) == len(pauses_s)


def read_async(recorded: Recorded, call: Call, *pauses_s: float) -> None:
    async def main() -> None:
        chunks = watched(paced_async(recorded.clock, *pauses_s), call, nothing)
        assert len([chunk async for chunk in chunks]) == len(pauses_s)

    asyncio.run(main())


def gaps(recorded: Recorded) -> list[Point]:
    return dict(recorded.instruments.snapshot()).get(c.OPERATION_CHUNK_GAP, [])


@pytest.mark.parametrize("reader", [read, read_async])
def test_gaps_between_chunks(reader: Callable[..., None]) -> None:
    """Every chunk but the first: what passes before that one is the time to the first chunk."""
    with recording() as recorded:
        call = start(recorded.recorder)
        call.complete = True
        reader(recorded, call, 5.0, 0.01, 0.015, 0.7, 0.015)
        (point,) = gaps(recorded)
        bounds = dict(zip(c.OPERATION_CHUNK_GAP.buckets, point.bucket_counts[:-1], strict=True))
        assert {bound: count for bound, count in bounds.items() if count} == {
            0.01: 1, 0.02: 2, 1.28: 1,
        }  # fmt: skip
        assert point.labels == ("chat", "openai", "m")
        assert point.value == pytest.approx(0.74)
        assert recorded.span("chat m").attributes[c.LONGEST_CHUNK_GAP] == 0.7


@pytest.mark.parametrize("pauses_s", [(), (1.0,)])
def test_one_chunk_has_no_gap(pauses_s: tuple[float, ...]) -> None:
    """A stream that brings less than two chunks says nothing of gaps."""
    with recording() as recorded:
        read(recorded, start(recorded.recorder), *pauses_s)
        assert gaps(recorded) == []
        assert c.LONGEST_CHUNK_GAP not in recorded.span("chat m").attributes


def test_no_gap_lies_between_two_streams() -> None:
    """A retry loop within one span of the user's: what it sleeps between streams is no gap."""
    with recording() as recorded:
        with agentscope.llm_call(model="m"):
            for _ in range(2):
                read(recorded, start(recorded.recorder), 1.0, 0.25)
                recorded.clock.advance(60)
        (point,) = gaps(recorded)
        assert (point.count, point.value) == (2, 0.5)
        assert recorded.span("chat m").attributes[c.LONGEST_CHUNK_GAP] == 0.25


def test_a_long_stream_holds_few_readings() -> None:
    """However many chunks come, each gap is counted once."""
    chunks = 3 * MAX_READINGS
    with recording() as recorded:
        call = start(recorded.recorder)
        stream = watched(paced(recorded.clock, *[0.001] * chunks), call, nothing)
        held = [len(attempts_of(call.span).gaps.arrivals) for _ in stream]  # type: ignore[union-attr]  # it has
        assert max(held) < MAX_READINGS
        (point,) = gaps(recorded)
        assert (point.count, point.value) == (chunks - 1, pytest.approx((chunks - 1) / 1000))


def test_a_stream_given_up_tells_what_was_read() -> None:
    """The gaps up to there are the reader's too."""
    with recording() as recorded:
        stream = watched(paced(recorded.clock, 1, 0.5, 9), start(recorded.recorder), nothing)
        assert [next(stream), next(stream)] == [0, 1]
        del stream
        assert recorded.span("chat m").attributes[c.OUTCOME] == "abandoned"
        assert recorded.span("chat m").attributes[c.LONGEST_CHUNK_GAP] == 0.5
        assert [point.count for point in gaps(recorded)] == [1]
