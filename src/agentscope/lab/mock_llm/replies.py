"""The answer to one request, as values and as pieces of one token each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from agentscope.lab.mock_llm.conversation import Conversation
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import invalid_request
from agentscope.lab.mock_llm.knobs import Behaviour
from agentscope.lab.mock_llm.latency import draw_output_tokens
from agentscope.lab.mock_llm.planner import Plan
from agentscope.lab.mock_llm.request import Function, ModelRequest
from agentscope.lab.mock_llm.schemas import Facts, Schema, value_for
from agentscope.lab.mock_llm.tokens import cache_use, prompt_tokens, text_tokens
from agentscope.lab.mock_llm.wording import split_text, text_pieces

Finish = Literal["stop", "length", "calls"]

_QUOTED_CHARS = 160


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model makes."""

    key: str
    """24 hexadecimal digits: a provider puts its own prefix before them."""
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        """Output tokens of its name and arguments."""
        return text_tokens(self.name) + text_tokens(self.arguments)


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a request and its answer."""

    prompt: int
    """All input tokens, wherever they were read from."""
    cached: int
    """Those of them that a prompt cache held."""
    cache_written: int
    """Those of them that were added to one, where the caller pays for that."""
    visible: int
    reasoning: int

    @property
    def output(self) -> int:
        """All output tokens, thought or seen."""
        return self.visible + self.reasoning


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: text in pieces, or tool calls."""

    pieces: list[str]
    calls: tuple[ToolCall, ...]
    finish: Finish
    usage: Usage


def compose(
    request: ModelRequest, conversation: Conversation, plan: Plan, behaviour: Behaviour, here: Draws
) -> Reply:
    """Write the answer that was planned."""
    facts = _facts(conversation)
    limit = request.output_limit
    if limit is not None:
        limit = max(0, limit - behaviour.reasoning_tokens)
    pieces: list[str] = []
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    if plan.calls and request.output_limit != 0:
        calls = tuple(_call(function, facts, here, i) for i, function in enumerate(plan.calls))
        visible = sum(call.tokens for call in calls)
        finish = "calls"
    else:
        pieces = _text(request, conversation, facts, behaviour, here)
        if limit is not None and len(pieces) > limit:
            pieces, finish = pieces[:limit], "length"
        visible = len(pieces)
    reasoning = behaviour.reasoning_tokens
    if request.output_limit is not None:
        reasoning = min(reasoning, request.output_limit)
    usage = Usage(prompt_tokens(request), *cache_use(request), visible, reasoning)
    return Reply(pieces, calls, finish, usage)


def _call(function: Function, facts: Facts, here: Draws, index: int) -> ToolCall:
    schema = function.parameters or {"type": "object"}
    arguments = _filled(schema, facts, here, index, f"function '{function.name}'")
    return ToolCall(here.hex(f"call {index}", 24), function.name, arguments)


def _filled(schema: Schema, facts: Facts, here: Draws, nth: int, where: str) -> str:
    """JSON text that the schema accepts; raises ApiError if it is no schema one can read."""
    try:
        return json.dumps(value_for(schema, facts, here, nth=nth), ensure_ascii=False)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        message = f"Invalid schema for {where}: {error}"
        raise invalid_request(message, "invalid_function_parameters") from None


def _text(
    request: ModelRequest,
    conversation: Conversation,
    facts: Facts,
    behaviour: Behaviour,
    here: Draws,
) -> list[str]:
    wanted = request.output_format
    if wanted.schema is not None:
        where = f"response_format '{wanted.name}'"
        return split_text(_filled(wanted.schema, facts, here, 0, where))
    count = draw_output_tokens(behaviour.latency, here)
    opening = _opening(conversation, facts)
    if wanted.kind == "json_object":
        answer = "".join(text_pieces(opening, max(1, count - 5), here)).strip()
        return split_text(json.dumps({"answer": answer}, ensure_ascii=False))
    return text_pieces(opening, count, here)


def _opening(conversation: Conversation, facts: Facts) -> str:
    """What shows that the history was read: the last result, or else the question."""
    if conversation.results:
        result = " ".join(conversation.results[-1].split())[:_QUOTED_CHARS]
        return f"I looked it up: {result}."
    question = facts.question[:_QUOTED_CHARS]
    return f"You asked: {question}" if question else ""


def _facts(conversation: Conversation) -> Facts:
    """What users said, newest first, then what tools answered."""
    return Facts([*conversation.user_texts[::-1][:6], *conversation.results[::-1]])
