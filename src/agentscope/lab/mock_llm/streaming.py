"""Writing a stream's events when they are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from agentscope.lab.mock_llm.counters import Counters
from agentscope.lab.mock_llm.events import EventStream
from agentscope.lab.mock_llm.wire import EARLY_S, Headers, Message, Send, wait_until


class StreamWriter:
    """Writes one stream: all tokens that are due go out in one write, each an event of its own.

    So a server that is late catches up with few writes, and one that is not writes each token at
    its time.
    """

    def __init__(
        self,
        send: Send,
        gone: asyncio.Future[Message],
        counters: Counters,
        stream: EventStream,
        count_events: Callable[[bytes], int],
        first_s: float,
        token_s: float,
    ) -> None:
        self._send = send
        self._gone = gone
        self._counters = counters
        self._stream = stream
        self._count_events = count_events
        self._first_s = first_s
        self._token_s = token_s
        self._sent_s = 0.0
        self.written = 0
        """Tokens that were written so far."""

    async def start(self, headers: Headers) -> None:
        """Send the headers; the events come after them."""
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await self._send(start)

    async def write_tokens(self, end: int) -> bool:
        """Write the tokens before ``end``; False if the caller left in the middle."""
        stream, first_s, token_s = self._stream, self._first_s, self._token_s
        opening = stream.opening()
        written = 0
        while written < end:
            now_s = time.monotonic()
            due_s = first_s + written * token_s
            if now_s < due_s - EARLY_S:
                await asyncio.sleep(due_s - now_s)
                if self._gone.done():
                    return False
                now_s = time.monotonic()
            stop = end
            if token_s > 0:
                stop = min(end, max(written, int((now_s - first_s) / token_s)) + 1)
            body = stream.events(written, stop)
            if body:
                await self._write(opening + body, due_s, now_s)
                opening = b""
            self.written = written = stop
        if opening:
            # An answer without a token has a beginning all the same.
            await self._write(opening, first_s, time.monotonic())
        return True

    async def finish(self) -> bool:
        """Write what comes after the last token, once that has had its time."""
        due_s = self._first_s + self._stream.count * self._token_s
        if not await wait_until(due_s, self._gone):
            return False
        await self._write(self._stream.closing(), due_s, time.monotonic(), more=False)
        return True

    async def cut_off(self) -> None:
        """End the response without a word."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, body: bytes, due_s: float, now_s: float, more: bool = True) -> None:
        counters = self._counters
        # A reader that does not read is no lateness of ours.
        counters.lag.add(now_s - max(due_s, self._sent_s))
        counters.events_written += self._count_events(body)
        counters.writes += 1
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self._sent_s = time.monotonic()
