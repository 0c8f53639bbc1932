"""The answer to one request, as values and as pieces of one token each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agentscope.lab.mock_llm.conversation import Conversation
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import invalid_request
from agentscope.lab.mock_llm.knobs import Behaviour
from agentscope.lab.mock_llm.latency import draw_output_tokens
from agentscope.lab.mock_llm.planner import Plan
from agentscope.lab.mock_llm.protocol import ChatRequest, Function, is_named
from agentscope.lab.mock_llm.schemas import Facts, Schema, value_for
from agentscope.lab.mock_llm.tokens import cached_tokens, prompt_tokens, text_tokens
from agentscope.lab.mock_llm.wording import split_text, text_pieces

_QUOTED_CHARS = 160


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model makes."""

    id: str
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
    cached: int
    visible: int
    reasoning: int

    def as_json(self) -> dict[str, Any]:
        """The ``usage`` object."""
        completion = self.visible + self.reasoning
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": completion,
            "total_tokens": self.prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: text in pieces, or tool calls."""

    pieces: list[str]
    calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage


def compose(
    request: ChatRequest, conversation: Conversation, plan: Plan, behaviour: Behaviour, here: Draws
) -> Reply:
    """Write the answer that was planned."""
    facts = _facts(conversation)
    limit = request.output_limit
    if limit is not None:
        limit = max(0, limit - behaviour.reasoning_tokens)
    pieces: list[str] = []
    calls: tuple[ToolCall, ...] = ()
    reason = "stop"
    if plan.calls:
        calls = tuple(_call(function, facts, here, i) for i, function in enumerate(plan.calls))
        visible = sum(call.tokens for call in calls)
        # As at OpenAI: a call that was forced by name ends with "stop".
        if not is_named(request.tool_choice):
            reason = "tool_calls"
    else:
        pieces = _text(request, conversation, facts, behaviour, here)
        if limit is not None and len(pieces) > limit:
            pieces, reason = pieces[:limit], "length"
        visible = len(pieces)
    reasoning = behaviour.reasoning_tokens
    if request.output_limit is not None:
        reasoning = min(reasoning, request.output_limit)
    usage = Usage(prompt_tokens(request), cached_tokens(request), visible, reasoning)
    return Reply(pieces, calls, reason, usage)


def _call(function: Function, facts: Facts, here: Draws, index: int) -> ToolCall:
    schema = function.parameters or {"type": "object"}
    arguments = _filled(schema, facts, here, index, f"function '{function.name}'")
    return ToolCall(f"call_{here.hex(f'call {index}', 24)}", function.name, arguments)


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
    request: ChatRequest,
    conversation: Conversation,
    facts: Facts,
    behaviour: Behaviour,
    here: Draws,
) -> list[str]:
    wanted = request.response_format or {}
    if wanted.get("type") == "json_schema":
        described = wanted["json_schema"]
        where = f"response_format '{described.get('name')}'"
        return split_text(_filled(described["schema"], facts, here, 0, where))
    count = draw_output_tokens(behaviour.latency, here)
    opening = _opening(conversation, facts)
    if wanted.get("type") == "json_object":
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
