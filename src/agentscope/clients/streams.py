"""Streamed answers of a model: watched where the library's own stream object reads its chunks.

The stream stays the library's object, so isinstance, ``with``, ``close`` and every attribute are
what they were; only the generator inside it is replaced, by a generator. A class of our own with
``__next__`` would cost three times as much a chunk. Nothing is held across a ``yield``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from agentscope.clients.bodies import follow
from agentscope.clients.gaps import MAX_READINGS
from agentscope.clients.inference import Call
from agentscope.recording.guard import internal_error

ChunkReader = Callable[[Any, Call], None]
"""Takes from a chunk what the span needs."""


def watch(stream: Any, call: Call, read_chunk: ChunkReader) -> None:
    """Watch ``stream`` (of the Stainless SDKs: openai, anthropic) until it ends, for ``call``."""
    chunks = watched(stream._iterator, call, read_chunk)
    follow(stream.response, call.body_over)
    stream._iterator = chunks


def watched(chunks: Any, call: Call, read_chunk: ChunkReader) -> Any:
    """A generator of the same ``chunks``, awaited or not, that tells ``call`` how they end."""
    kind = _watched_async if hasattr(chunks, "__anext__") else _watched
    return kind(chunks, call, read_chunk, _Reader(call))


class _Reader:
    """Held by a generator alone: its end is the reader's, also where nobody began to read."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __del__(self) -> None:
        self._call.dropped()


def _watched(chunks: Any, call: Call, read_chunk: ChunkReader, reader: _Reader) -> Iterator[Any]:
    gaps = call.chunk_gaps()
    arrivals, now_ns = gaps.arrivals, call.clock.monotonic_ns
    call.iterated = call.reading = True
    try:
        for chunk in chunks:
            call.reading = False
            arrivals.append(now_ns())
            try:
                if len(arrivals) == MAX_READINGS:
                    gaps.fold()
                read_chunk(chunk, call)
            except Exception as error:
                internal_error("clients.streams", error)
            yield chunk
            call.reading = True
    except BaseException as error:
        _stopped(call, error)
        raise
    call.reading = False
    call.read_out()


async def _watched_async(
    chunks: Any, call: Call, read_chunk: ChunkReader, reader: _Reader
) -> AsyncIterator[Any]:
    gaps = call.chunk_gaps()
    arrivals, now_ns = gaps.arrivals, call.clock.monotonic_ns
    call.iterated = call.reading = True
    try:
        async for chunk in chunks:
            call.reading = False
            arrivals.append(now_ns())
            try:
                if len(arrivals) == MAX_READINGS:
                    gaps.fold()
                read_chunk(chunk, call)
            except Exception as error:
                internal_error("clients.streams", error)
            yield chunk
            call.reading = True
    except BaseException as error:
        # The library's generator is not closed here: it goes with ours, and an event loop that
        # shuts down closes both at the same time.
        _stopped(call, error)
        raise
    call.reading = False
    call.read_out()


def _stopped(call: Call, error: BaseException) -> None:
    """The library has failed; or ``error`` was thrown in by the reader, or by who cleans up."""
    if call.reading:
        call.reading = False
        call.fail(error)
    else:
        call.dropped()
