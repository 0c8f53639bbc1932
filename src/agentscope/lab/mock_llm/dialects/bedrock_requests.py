"""The requests of Bedrock's Converse: decoded, and refused as Bedrock refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentscope.lab.mock_llm.errors import ApiError, invalid_request, not_json
from agentscope.lab.mock_llm.request import (
    NOTHING_CACHED,
    Function,
    Message,
    ModelRequest,
    Offer,
    PastCall,
    ToolChoice,
    offer_tokens,
    remembered_offer,
)


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _ToolResult(msgspec.Struct, rename="camel"):
    tool_use_id: str
    content: list[dict[str, msgspec.Raw]] = []


class _Block(msgspec.Struct, rename="camel", kw_only=True):
    """A block of content of any kind: the fields of those that this server reads."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    tool_result: _ToolResult | None = None
    cache_point: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    role: str
    content: list[_Block]


class _InputSchema(msgspec.Struct):
    json: dict[str, Any] | None = None


class _ToolSpec(msgspec.Struct, rename="camel", kw_only=True):
    name: str
    input_schema: _InputSchema = msgspec.field(default_factory=_InputSchema)


class _Tool(msgspec.Struct, rename="camel", kw_only=True):
    tool_spec: _ToolSpec | None = None
    cache_point: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    name: str


class _ToolChoice(msgspec.Struct, kw_only=True):
    any: dict[str, Any] | None = None
    tool: _Named | None = None


class _ToolConfig(msgspec.Struct, rename="camel", kw_only=True):
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: _ToolChoice | None = None


class _InferenceConfig(msgspec.Struct, rename="camel", kw_only=True):
    max_tokens: int | None = None


class _Request(msgspec.Struct, rename="camel", kw_only=True):
    """The fields of a request that change what this server answers."""

    messages: list[_Message]
    system: list[_Block] = []
    inference_config: _InferenceConfig = msgspec.field(default_factory=_InferenceConfig)
    tool_config: _ToolConfig = msgspec.field(default_factory=_ToolConfig)


_DECODER = msgspec.json.Decoder(_Request)
_TOOLS_DECODER = msgspec.json.Decoder(list[_Tool])


def decode_converse_request(body: bytes, model: str, stream: bool) -> ModelRequest:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        asked = _DECODER.decode(body)
        offer = _offer(bytes(asked.tool_config.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    limit = asked.inference_config.max_tokens
    if limit is not None and limit < 1:
        raise invalid_request("maxTokens must be 1 or more")
    messages, cache_point = _history(asked, offer.cached)
    return ModelRequest(
        model=model,
        messages=messages,
        offer=offer,
        choice=_tool_choice(asked.tool_config.tool_choice, offer),
        stream=stream,
        with_usage=True,
        output_limit=limit,
        cache_point=cache_point,
    )


def _history(asked: _Request, tools_cached: bool) -> tuple[list[Message], int]:
    """The messages, each result of a tool one of its own, and how many of them to cache."""
    cache_point = 0 if tools_cached else NOTHING_CACHED
    messages: list[Message] = []

    def mark(blocks: list[_Block]) -> None:
        nonlocal cache_point
        if any(block.cache_point is not None for block in blocks):
            cache_point = len(messages)

    if asked.system:
        messages.append(Message("system", _text(asked.system)))
        mark(asked.system)
    if not asked.messages or asked.messages[0].role != "user":
        raise invalid_request("A conversation must start with a user message.")
    open_calls: set[str] = set()
    for index, message in enumerate(asked.messages):
        if message.role not in ("user", "assistant"):
            raise invalid_request(f"messages.{index}.role must be 'user' or 'assistant'")
        results = [block.tool_result for block in message.content if block.tool_result]
        if {result.tool_use_id for result in results} != open_calls:
            raise _unanswered(index)
        if message.role == "assistant":
            calls = tuple(_past_calls(message.content))
            open_calls = {call.id for call in calls}
            messages.append(Message("assistant", _text(message.content), calls=calls))
        else:
            open_calls = set()
            messages += [Message("tool", _result_text(result)) for result in results]
            text = _text(message.content)
            if text or not results:
                messages.append(Message("user", text))
        mark(message.content)
    if open_calls:
        raise _unanswered(len(asked.messages))
    return messages, cache_point


def _unanswered(index: int) -> ApiError:
    return invalid_request(
        f"The toolResult blocks at messages.{index}.content must be those of the toolUse blocks "
        "of the previous turn, no more and no fewer."
    )


def _past_calls(blocks: list[_Block]) -> Iterator[PastCall]:
    for block in blocks:
        if block.tool_use is not None:
            use = block.tool_use
            yield PastCall(use.tool_use_id, use.name, bytes(use.input).decode())


def _text(blocks: list[_Block]) -> str:
    return "\n".join(block.text for block in blocks if block.text)


def _result_text(result: _ToolResult) -> str:
    """The texts of a result, and its JSON as it came."""
    texts = []
    for part in result.content:
        if "text" in part:
            texts.append(msgspec.json.decode(part["text"], type=str))
        elif "json" in part:
            texts.append(bytes(part["json"]).decode())
    return "\n".join(texts)


@remembered_offer
def _offer(tools: bytes) -> Offer:
    offered = _TOOLS_DECODER.decode(tools) if tools else []
    specs = [tool.tool_spec for tool in offered if tool.tool_spec is not None]
    functions = tuple(Function(spec.name, spec.input_schema.json) for spec in specs)
    cached = any(tool.cache_point is not None for tool in offered)
    return Offer(functions, offer_tokens(tools) if functions else 0, cached)


def _tool_choice(choice: _ToolChoice | None, offer: Offer) -> ToolChoice:
    if choice is None or not offer.functions:
        return ToolChoice()
    if choice.tool is None:
        return ToolChoice("required" if choice.any is not None else "auto")
    name = choice.tool.name
    if name not in {function.name for function in offer.functions}:
        raise invalid_request(f"toolChoice names the tool '{name}', which toolConfig has not")
    return ToolChoice("required", frozenset({name}), named=True)
