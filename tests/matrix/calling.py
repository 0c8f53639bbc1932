"""A small script of a user's: ask a model in every way that a client library has.

``python calling.py openai|anthropic URL``, run by ``client_table.py`` in an environment that has
the library; URL is a mock LLM's. Prints what was recorded of each call, as JSON: one line a span,
and last the exception that the caller met.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import agentscope
from agentscope import conventions as c
from agentscope.clients import instrument_clients
from agentscope.recording.guard import internal_errors
from agentscope.recording.span import error_type
from agentscope.testing import Recorded, RecordedSpan, recording

Cell = dict[str, Any]

ONCE: dict[str, Any] = {"max_retries": 0}
OUTCOMES: dict[str, tuple[str, dict[str, Any]]] = {
    "ok": ("mock", {}),
    "429, then ok": ("mock@status=429,200", {}),
    "500, then ok": ("mock@status=500,200", {}),
    "time-out": ("mock@status=hang", {**ONCE, "timeout": 0.2}),
    # Time enough for the first token on a busy machine.
    "time-out in mid-stream": ("mock@itl=60000", {**ONCE, "timeout": 0.5}),
    "abandoned": ("mock@itl=60000", ONCE),
    "cancelled": ("mock@status=hang", ONCE),
    "cancelled in mid-stream": ("mock@itl=60000", ONCE),
}
"""Outcome → the model that gives it, and the client's options."""
OF_STREAMS = ("time-out in mid-stream", "abandoned", "cancelled in mid-stream")


def main(library: str, url: str) -> None:
    instrument_clients()
    calls = importlib.import_module(f"calls_of_{library}")
    cells: dict[str, Cell] = {}
    for streamed in (False, True):
        way = "streamed" if streamed else "whole"
        for outcome in OUTCOMES:
            if outcome in OF_STREAMS and not streamed:
                continue
            if not outcome.startswith("cancelled"):
                cells[f"sync {way} {outcome}"] = call(calls, url, outcome, streamed)
            cells[f"async {way} {outcome}"] = call_async(calls, url, outcome, streamed)
    for shape in calls.SHAPES:
        cells[shape.__name__] = use(calls, url, shape)
    for shape in calls.AWAITED_SHAPES:
        cells[shape.__name__] = use_async(calls, url, shape)
    print(json.dumps({"version": sys.modules[library].__version__, "cells": cells}))


def call(calls: Any, url: str, outcome: str, streamed: bool) -> Cell:
    model, options = OUTCOMES[outcome]
    with recorded_cell() as cell, calls.client(url, **options) as client:
        answer = calls.ask(client, model, streamed)
        if streamed:
            with answer:
                for _ in answer:
                    if outcome == "abandoned":
                        break
    return cell


def call_async(calls: Any, url: str, outcome: str, streamed: bool) -> Cell:
    model, options = OUTCOMES[outcome]

    async def ask(client: Any, begun: asyncio.Event) -> None:
        answer = await calls.ask(client, model, streamed)
        if streamed:
            async with answer:
                async for _ in answer:
                    begun.set()
                    if outcome == "abandoned":
                        break

    async def main() -> None:
        async with calls.async_client(url, **options) as client:
            begun, before = asyncio.Event(), hanging(url)
            task = asyncio.create_task(ask(client, begun))
            if outcome == "cancelled in mid-stream":
                await begun.wait()
                task.cancel()
            elif outcome == "cancelled":
                while hanging(url) == before:
                    await asyncio.sleep(0.005)
                task.cancel()
            await task

    with recorded_cell() as cell:
        asyncio.run(main())
    return cell


def hanging(url: str) -> int:
    """How many requests have come that are never answered."""
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return int(json.load(answer)["requests"]["faults"].get("hang", 0))


def use(calls: Any, url: str, shape: Callable[[Any], None]) -> Cell:
    with recorded_cell() as cell, calls.client(url) as client:
        shape(client)
    return cell


def use_async(calls: Any, url: str, shape: Callable[[Any], Awaitable[None]]) -> Cell:
    async def main() -> None:
        async with calls.async_client(url) as client:
            await shape(client)

    with recorded_cell() as cell:
        asyncio.run(main())
    return cell


@contextmanager
def recorded_cell() -> Iterator[Cell]:
    """Fill the cell with what is recorded in the block, whatever comes out of it."""
    cell: Cell = {}
    with recording(real_time=True) as recorded:
        raised = []
        try:
            with agentscope.turn("turn"):
                yield cell
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # part of the story
            raised = [f"raised {error_type(error)}"]
        cell["story"] = [*story(recorded), *raised]
        cell["said"] = [
            said(span) for span in recorded.spans if c.OPERATION_NAME in span.attributes
        ]
        cell["open"] = len(recorded.recorder.open)
        cell["faults"] = internal_errors()


def story(recorded: Recorded) -> list[str]:
    """Each span below the turn: name, attempt, status, outcome, error.

    Waits for connections are left out: whether one lasts a millisecond is the machine's affair.
    """
    spans = sorted(recorded.spans, key=lambda span: span.start_s)
    told: list[str] = []

    def walk(parent: RecordedSpan, indent: str) -> None:
        for span in spans:
            if span.parent_id == parent.span_id and not span.name.startswith("wait http."):
                told.append(indent + sentence(span))
                walk(span, indent + " ")

    (turn,) = (span for span in spans if not span.parent_id)
    walk(turn, "")
    return told


def sentence(span: RecordedSpan) -> str:
    words = [span.name.partition("@")[0]]  # a model's knobs are no part of its name
    if c.HTTP_RESEND_COUNT in span.attributes:
        words.append(f"#{span.attributes[c.HTTP_RESEND_COUNT]}")
    keys = (c.HTTP_STATUS_CODE, c.OUTCOME, c.ERROR_TYPE)
    words += [str(span.attributes[key]) for key in keys if key in span.attributes]
    return " ".join(words)


def said(inference: RecordedSpan) -> list[str]:
    """What an inference says beside its outcome."""
    keys = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.RESPONSE_ID, c.FINISH_REASONS, c.TIME_TO_FIRST_CHUNK)
    return [key for key in keys if key in inference.attributes]


if __name__ == "__main__":
    main(*sys.argv[1:])
