"""One admitted request on its way to being answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from agentscope.lab.mock_llm.conversation import read_conversation
from agentscope.lab.mock_llm.counters import Counters
from agentscope.lab.mock_llm.dialects.dialect import Exchange, Provider
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.faults import HANG, TRUNCATE
from agentscope.lab.mock_llm.knobs import Behaviour, split_model
from agentscope.lab.mock_llm.latency import Timing, draw_timing
from agentscope.lab.mock_llm.planner import plan_answer
from agentscope.lab.mock_llm.quota import Grant
from agentscope.lab.mock_llm.replies import Reply, Usage, compose
from agentscope.lab.mock_llm.request import ModelRequest
from agentscope.lab.mock_llm.settings import MockLlmSettings
from agentscope.lab.mock_llm.streaming import StreamWriter
from agentscope.lab.mock_llm.wire import (
    JSON,
    Headers,
    Message,
    Receive,
    Send,
    send_body,
    wait_until,
)

_MAX_HANG_S = 3600.0


def draw_reply(
    request: ModelRequest, behaviour: Behaviour, settings: MockLlmSettings
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

    exchange: Exchange
    provider: Provider
    model: str
    behaviour: Behaviour
    settings: MockLlmSettings
    counters: Counters
    grant: Grant
    headers: Headers
    arrived_s: float
    receive: Receive
    send: Send

    async def serve(self, truncated: bool = False) -> None:
        """Answer, each token at its time, unless the caller goes away before."""
        request = self.exchange.request
        reply, timing = draw_reply(request, self.behaviour, self.settings)
        # The next thing that a client can say is that it is gone.
        gone = asyncio.ensure_future(self.receive())
        try:
            if request.stream:
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
            behaviour = self.behaviour
            if behaviour.retry_after:
                self.headers.append((b"retry-after", behaviour.retry_after.encode()))
            if behaviour.should_retry:
                self.headers.append((b"x-should-retry", behaviour.should_retry.encode()))
            raise self.provider.planted(int(fault), behaviour.retry_after)

    async def _whole(self, reply: Reply, timing: Timing, gone: asyncio.Future[Message]) -> bool:
        due_s = self.arrived_s + timing.due_s(reply.usage.visible)
        complete = False
        try:
            complete = await wait_until(due_s, gone)
        finally:
            elapsed_s = time.monotonic() - self.arrived_s
            tokens = reply.usage.visible if complete else timing.due_tokens(elapsed_s)
            if complete or tokens:
                self._settle(reply, tokens)
        if not complete:
            return False
        body = self.exchange.whole(reply, self.model)
        self.counters.lag.add(time.monotonic() - due_s)
        await send_body(self.send, 200, body, [*self.headers, JSON, *self._spent(reply.usage)])
        return True

    async def _stream(
        self, reply: Reply, timing: Timing, gone: asyncio.Future[Message], truncated: bool
    ) -> bool:
        stream, framing = self.exchange.stream(reply, self.model), self.provider.framing
        first_s = self.arrived_s + timing.first_s
        writer = StreamWriter(
            self.send, gone, self.counters, stream, framing.count, first_s, timing.token_s
        )
        # As at the providers, the headers come when the model has begun.
        if not await wait_until(first_s, gone):
            return False
        self.grant.settle("input_tokens", reply.usage.prompt - reply.usage.cached)
        kind = (b"content-type", framing.content_type)
        no_cache = (b"cache-control", b"no-cache")
        try:
            await writer.start([*self.headers, kind, no_cache, *self._spent()])
            if not await writer.write_tokens(stream.count // 2 if truncated else stream.count):
                return False
            if truncated:
                await writer.cut_off()
                return True
            return await writer.finish()
        finally:
            self._settle(reply, writer.written)

    def _settle(self, reply: Reply, tokens: int) -> None:
        """Charge what a model that has begun used: the input, and the output as far as it came."""
        usage = reply.usage
        self.grant.settle("input_tokens", usage.prompt - usage.cached)
        output = usage.reasoning + min(tokens, usage.visible)
        self.grant.settle("output_tokens", output)
        self.grant.settle("tokens", usage.prompt + output)

    def _spent(self, usage: Usage | None = None) -> Headers:
        return self.provider.spent_headers(time.monotonic() - self.arrived_s, usage)
