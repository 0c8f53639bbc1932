"""Bodies of HTTP responses, followed to their end.

A followed body hands out the same chunks in the same order, and tells when it ended: read to its
end, failed, or closed by somebody (or by the garbage collector) before that.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum, auto
from typing import Any

from agentscope.recording.guard import internal_error


class BodyEnd(Enum):
    """How a body ended."""

    READ = auto()
    """The server's last byte was read; ``CLOSED`` still follows."""
    FAILED = auto()
    CLOSED = auto()


Follower = Callable[[BodyEnd, BaseException | None], None]
"""May be called several times: after ``READ`` or ``FAILED`` comes ``CLOSED``."""


def follow(response: Any, follower: Follower) -> None:
    """Have ``follower`` told how the body of an httpx or httpx2 ``response`` ends."""
    stream = response.stream
    if not isinstance(stream, _Body):
        sync, asynchronous, library = _classes_of(type(response))
        plain = isinstance(stream, library.SyncByteStream)
        stream = response.stream = (sync if plain else asynchronous)(stream)
    stream.followers.append(follower)


class _Body:
    """What both kinds have in common. Unknown attributes are the wrapped stream's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.followers: list[Follower] = []
        # anthropic asks for its own observer at every chunk; a miss by __getattr__ costs 1.5 µs.
        self.stream_observer = getattr(stream, "stream_observer", None)

    def __getattr__(self, name: str) -> Any:
        if name in ("stream", "followers"):  # not initialised: ask nobody
            raise AttributeError(name)
        return getattr(self.stream, name)

    def __del__(self) -> None:
        if getattr(self, "followers", None):
            self._tell(BodyEnd.CLOSED)

    def _tell(self, how: BodyEnd, error: BaseException | None = None) -> None:
        followers = self.followers
        if how is BodyEnd.CLOSED:
            self.followers = []
        for follower in followers:
            try:
                follower(how, error)
            except Exception as fault:
                internal_error("clients.bodies", fault)


class _SyncBody(_Body):
    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.stream
        except GeneratorExit:  # the reader stopped; whoever holds the response closes it
            raise
        except BaseException as error:
            self._tell(BodyEnd.FAILED, error)
            raise
        self._tell(BodyEnd.READ)

    def close(self) -> None:
        self._tell(BodyEnd.CLOSED)
        self.stream.close()


class _AsyncBody(_Body):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self.stream.__aiter__()
        try:
            async for chunk in chunks:
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._tell(BodyEnd.FAILED, error)
            raise
        finally:
            # Of a generator that has ended, which all but an early stop leaves, this awaits nothing.
            if hasattr(chunks, "aclose"):
                await chunks.aclose()
        self._tell(BodyEnd.READ)

    async def aclose(self) -> None:
        self._tell(BodyEnd.CLOSED)
        await self.stream.aclose()


_classes: dict[type, tuple[type[_Body], type[_Body], Any]] = {}


def _classes_of(response_class: type) -> tuple[type[_Body], type[_Body], Any]:
    """Our bodies as the library's own kinds: it checks with isinstance."""
    found = _classes.get(response_class)
    if found is None:
        library = _library_of(response_class)
        found = _classes[response_class] = (
            type("FollowedBody", (_SyncBody, library.SyncByteStream), {}),
            type("FollowedAsyncBody", (_AsyncBody, library.AsyncByteStream), {}),
            library,
        )
    return found


def _library_of(response_class: type) -> Any:
    for cls in response_class.__mro__:
        library = sys.modules.get(cls.__module__.partition(".")[0])
        if hasattr(library, "AsyncByteStream"):
            return library
    raise TypeError(f"{response_class.__qualname__} is no response of httpx or httpx2")
