"""Streamed answers of a model: watched where the library's own stream object reads its chunks.

The stream stays the library's object, so isinstance, ``with``, ``close`` and every attribute are
what they were; only the iterator inside it is replaced. Nothing is held across a ``yield``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentscope.clients.bodies import follow
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
    """An iterator over the same ``chunks``, awaited or not, that tells ``call`` how they end."""
    kind = _AsyncChunks if hasattr(chunks, "__anext__") else _Chunks
    return kind(chunks, call, read_chunk)


class _Watched:
    """Unknown attributes (``close``, ``send``, ``aclose``) are the wrapped generator's."""

    __slots__ = ("_call", "_inner", "_read_chunk")

    def __init__(self, inner: Any, call: Call, read_chunk: ChunkReader) -> None:
        self._inner = inner
        self._call = call
        self._read_chunk = read_chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        self._call.dropped()

    def _chunk(self, chunk: Any) -> None:
        try:
            self._read_chunk(chunk, self._call)
        except Exception as error:
            internal_error("clients.streams", error)


class _Chunks(_Watched):
    __slots__ = ()

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> Any:
        call = self._call
        call.iterated = call.reading = True
        try:
            chunk = self._inner.__next__()
        except StopIteration:
            call.read_out()
            raise
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.reading = False
        self._chunk(chunk)
        return chunk


class _AsyncChunks(_Watched):
    __slots__ = ()

    def __aiter__(self) -> _AsyncChunks:
        return self

    async def __anext__(self) -> Any:
        call = self._call
        call.iterated = call.reading = True
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            call.read_out()
            raise
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.reading = False
        self._chunk(chunk)
        return chunk
