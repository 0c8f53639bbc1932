"""A turn as server-sent events: what it tells while it runs, then how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import agentscope

from .agent import Notify, Reply
from .problems import Problem

log = logging.getLogger(__name__)

UNREAD_EVENTS = 64
"""A caller that reads slowly slows the turn down; it does not fill the memory."""


async def event_stream(
    take_turn: Callable[[Notify], Awaitable[Reply]],
) -> AsyncGenerator[str, None]:
    """Yield ``token`` and ``tool`` events, then ``done`` or ``error``.

    A turn that fails before its first event raises instead: nothing is sent yet, so the caller can
    still be given a status. A caller that goes away cancels the turn.
    """
    events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(UNREAD_EVENTS)

    async def notify(name: str, data: dict[str, Any]) -> None:
        await events.put((name, data))

    async def run() -> None:
        try:
            reply = await take_turn(notify)
        except Exception as error:  # noqa: BLE001 - the reader below raises or tells it
            await events.put(("error", error))
        else:
            await events.put(("done", reply.model_dump()))

    turn = asyncio.create_task(run())
    begun = False
    try:
        while True:
            name, data = await events.get()
            if name == "error":
                if not begun:
                    raise data
                data = _tell(data)
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
            begun = True
            if name in {"done", "error"}:
                return
    finally:
        turn.cancel()


def _tell(error: Exception) -> dict[str, Any]:
    # The status was 200 when the stream began: only the recorder and the event say otherwise.
    agentscope.record_error(error)
    problem = Problem.of(error)
    if problem.status == 500:
        log.error("the turn failed", exc_info=error)
    return {**problem.body, "status": problem.status, "retry_after_s": problem.retry_after_s}
