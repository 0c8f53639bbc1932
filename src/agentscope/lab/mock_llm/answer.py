"""One admitted request on its way to being answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import uuid4

from agentscope.lab.mock_llm.chunks import EventStream, whole_answer
from agentscope.lab.mock_llm.conversation import read_conversation
from agentscope.lab.mock_llm.counters import Counters
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import planted_fault
from agentscope.lab.mock_llm.faults import HANG, TRUNCATE
from agentscope.lab.mock_llm.knobs import Behaviour, split_model
from agentscope.lab.mock_llm.latency import Timing, draw_timing
from agentscope.lab.mock_llm.planner import plan_answer
from agentscope.lab.mock_llm.protocol import ChatRequest
from agentscope.lab.mock_llm.replies import Reply, compose
from agentscope.lab.mock_llm.settings import MockLlmSettings
from agentscope.lab.mock_llm.streaming import StreamWriter
from agentscope.lab.mock_llm.wire import (
    JSON,
    Headers,
    Message,
    Receive,
    Send,
    send_body,
    send_json,
    wait_until,
)

_MAX_HANG_S = 3600.0


def draw_reply(
    request: ChatRequest, behaviour: Behaviour, settings: MockLlmSettings
) -> tuple[Reply, Timing]:
    """What is answered, and when: a function of seed, knobs and conversation alone."""
    conversation = read_conversation(request.messages)
    turn = Draws(
        settings.seed,
        settings.knobs,
        split_model(request.model)[1],
        *request.conversation_key,
        *conversation.user_texts,
    )
    here = turn.below("call", conversation.rounds, len(request.messages))
    plan = plan_answer(request, conversation, behaviour, turn, settings.max_rounds)
    reply = compose(request, conversation, plan, behaviour, here)
    uncached_tokens = max(0, reply.usage.prompt - reply.usage.cached)
    return reply, draw_timing(behaviour.latency, here, uncached_tokens, reply.usage.reasoning)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request: what it says, and the caller whom it goes to."""

    request: ChatRequest
    model: str
    behaviour: Behaviour
    settings: MockLlmSettings
    counters: Counters
    headers: Headers
    arrived_s: float
    receive: Receive
    send: Send

    async def serve(self, truncated: bool = False) -> None:
        """Answer, each token at its time, unless the caller goes away before."""
        reply, timing = draw_reply(self.request, self.behaviour, self.settings)
        # The next thing that a client can say is that it is gone.
        gone = asyncio.ensure_future(self.receive())
        try:
            if self.request.stream:
                complete = await self._stream(reply, timing, gone, truncated)
            else:
                complete = await self._whole(reply, timing, gone)
        finally:
            gone.cancel()
        if not truncated:
            self.counters.completed += complete
            self.counters.abandoned += not complete

    async def fail(self, fault: str) -> None:
        """Do what the fault says."""
        if fault == TRUNCATE:
            await self.serve(truncated=True)
        elif fault == HANG:
            gone = asyncio.ensure_future(self.receive())
            try:
                await asyncio.wait({gone}, timeout=_MAX_HANG_S)
            finally:
                gone.cancel()
        else:
            error = planted_fault(int(fault))
            await send_json(self.send, error.status, error.body, self.headers)

    async def _whole(self, reply: Reply, timing: Timing, gone: asyncio.Future[Message]) -> bool:
        due_s = self.arrived_s + timing.due_s(reply.usage.visible)
        if not await wait_until(due_s, gone):
            return False
        body = whole_answer(reply, _answer_id(), self.model, int(time.time()))
        self.counters.lag.add(time.monotonic() - due_s)
        await send_body(self.send, 200, body, [*self.headers, JSON, self._processing()])
        return True

    async def _stream(
        self, reply: Reply, timing: Timing, gone: asyncio.Future[Message], truncated: bool
    ) -> bool:
        options = self.request.stream_options
        with_usage = options is not None and options.include_usage
        stream = EventStream(reply, _answer_id(), self.model, int(time.time()), with_usage)
        first_s = self.arrived_s + timing.first_s
        writer = StreamWriter(self.send, gone, self.counters, stream, first_s, timing.token_s)
        # As at OpenAI, the headers come when the model has begun.
        if not await wait_until(first_s, gone):
            return False
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        no_cache = (b"cache-control", b"no-cache")
        await writer.start([*self.headers, kind, no_cache, self._processing()])
        count = len(stream.deltas)
        opening = b"" if reply.calls else stream.opening()
        if not await writer.write_tokens(opening, count // 2 if truncated else count):
            return False
        if truncated:
            await writer.cut_off()
            return True
        return await writer.finish(count)

    def _processing(self) -> tuple[bytes, bytes]:
        spent_ms = (time.monotonic() - self.arrived_s) * 1000
        return (b"openai-processing-ms", b"%d" % spent_ms)


def _answer_id() -> str:
    return f"chatcmpl-{uuid4().hex}"
