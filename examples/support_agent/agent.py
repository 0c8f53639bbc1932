"""The agent: load the conversation, ask the model, run the tools it wants, store the turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

import agentscope

from .problems import Problem
from .settings import Settings
from .store import Database, HeldConnection, Message, Store
from .tools import OFFERED, Toolbox

INSTRUCTIONS = (
    "You answer the customers of a shop for office equipment and its subscription plans. "
    "Look facts up with the tools before you state them; say so when you cannot find something. "
    "Be brief and friendly."
)

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Tells the caller, while a turn runs, of a ``token`` or a ``tool``."""


class Reply(BaseModel):
    """A turn's answer."""

    response: str
    turn: int
    tool_calls: int


class Agent:
    """Answers messages, with one connection pool and one model client for all of them."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, client: AsyncOpenAI) -> None:
        self._settings = settings
        self._pool = pool
        self._client = client
        self.store = Store(pool)

    async def take_turn(self, session_id: str, text: str, notify: Notify | None = None) -> Reply:
        """Answer ``text`` and store the turn; with ``notify`` the model's words are streamed.

        Raises Problem, and what is ``EXPECTED``.
        """
        async with self._turn_database() as database, Store(database).turn(session_id) as number:
            store = Store(database)
            said: list[Message] = [{"role": "user", "content": text}]
            history = await self.load_conversation(store, session_id, number)
            toolbox = Toolbox(database, score_in_process=self._settings.sync_scoring)
            tool_calls = await self._converse(history, said, toolbox, notify)
            await store.save_turn(session_id, number, said)
        return Reply(response=said[-1]["content"], turn=number, tool_calls=tool_calls)

    @agentscope.context_load
    async def load_conversation(self, store: Store, session_id: str, number: int) -> list[Message]:
        earlier = await store.history(session_id, before=number)
        return [{"role": "system", "content": INSTRUCTIONS}, *earlier]

    @agentscope.llm_call
    async def ask_model(
        self, messages: list[Message], tool_choice: str, notify: Notify | None
    ) -> Message:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages,
            "tools": OFFERED,
            "tool_choice": tool_choice,
        }
        create = self._client.chat.completions.create
        if notify is None:
            completion = await create(**request)
            if not completion.choices:
                raise Problem(502, "no_answer", "The model gave no answer")
            answer = completion.choices[0].message
            calls = [call.model_dump(exclude_none=True) for call in answer.tool_calls or ()]
            return _assistant(answer.content, calls)
        stream = await create(**request, stream=True, stream_options={"include_usage": True})
        return await _read(stream, notify)

    async def _converse(
        self,
        history: list[Message],
        said: list[Message],
        toolbox: Toolbox,
        notify: Notify | None,
    ) -> int:
        """Ask and run tools until there is an answer; adds to ``said``, returns the tool calls."""
        tool_calls = 0
        for tools_left in range(self._settings.max_rounds, -1, -1):
            choice = "auto" if tools_left else "none"
            message = await self.ask_model([*history, *said], choice, notify)
            calls = message.get("tool_calls", [])
            if not calls and not message["content"]:
                raise Problem(502, "no_answer", "The model gave no answer")
            said.append(message)
            if not calls:
                return tool_calls
            if not tools_left:
                break
            tool_calls += len(calls)
            if notify is not None:
                for call in calls:
                    await notify("tool", {"name": call["function"]["name"]})
            said += await toolbox.answer(calls)
        raise Problem(502, "no_answer", "The model asked for tools and never answered")

    @asynccontextmanager
    async def _turn_database(self) -> AsyncIterator[Database]:
        """What a turn's queries go to: the pool, or one connection kept for the whole turn."""
        if not self._settings.hold_connection:
            yield self._pool
            return
        async with self._pool.acquire() as connection:
            yield HeldConnection(connection)


async def _read(stream: AsyncStream[ChatCompletionChunk], notify: Notify) -> Message:
    """Put a streamed message together again, passing its text on as it comes."""
    content = ""
    calls: dict[int, dict[str, Any]] = {}
    finished = False
    async with stream:
        async for chunk in stream:
            for choice in chunk.choices:  # the last chunk has none, only the usage
                finished = finished or choice.finish_reason is not None
                if choice.delta.content:
                    content += choice.delta.content
                    await notify("token", {"text": choice.delta.content})
                for part in choice.delta.tool_calls or ():
                    empty = {
                        "id": "",
                        "type": "function",
                        "function": {"name": "", "arguments": ""},
                    }
                    call = calls.setdefault(part.index, empty)
                    call["id"] += part.id or ""
                    if part.function is not None:
                        call["function"]["name"] += part.function.name or ""
                        call["function"]["arguments"] += part.function.arguments or ""
    if not finished:
        raise Problem(502, "no_answer", "The model's answer broke off")
    return _assistant(content, [calls[index] for index in sorted(calls)])


def _assistant(content: str | None, calls: list[dict[str, Any]]) -> Message:
    message: Message = {"role": "assistant", "content": content or None}
    return {**message, "tool_calls": calls} if calls else message
