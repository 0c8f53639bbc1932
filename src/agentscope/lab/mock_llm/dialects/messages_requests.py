"""The requests of Anthropic's Messages API: decoded, and refused as Anthropic refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentscope.lab.mock_llm.dialects.openai import MODEL_MAX_CHARS
from agentscope.lab.mock_llm.errors import ApiError, invalid_request, not_json
from agentscope.lab.mock_llm.request import (
    NOTHING_CACHED,
    Function,
    Message,
    ModelRequest,
    Offer,
    OutputFormat,
    PastCall,
    ToolChoice,
    offer_tokens,
    remembered_offer,
)


class _Block(msgspec.Struct, kw_only=True):
    """A block of content, of any type: the fields of those that this server reads."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str | None = None
    content: Any = None
    cache_control: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct, kw_only=True):
    """A tool; those with a type of their own run at Anthropic and are never called."""

    name: str = ""
    type: str | None = None
    input_schema: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


class _ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Format(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Request(msgspec.Struct, kw_only=True):
    """The fields of a request that change what this server answers."""

    model: str
    messages: list[_Message]
    max_tokens: int
    system: str | list[_Block] | None = None
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: _ToolChoice | None = None
    stream: bool | None = None
    metadata: _Metadata | None = None
    output_config: _OutputConfig | None = None
    cache_control: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Request)
_TOOLS_DECODER = msgspec.json.Decoder(list[_Tool] | None)


def decode_messages_request(body: bytes) -> ModelRequest:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        asked = _DECODER.decode(body)
        offer = _offer(bytes(asked.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    _check(asked)
    history = _History(offer.cached)
    if asked.system:
        history.add_text("system", asked.system)
    for index, message in enumerate(asked.messages):
        history.add(index, message)
    history.finish()
    choice = asked.tool_choice
    return ModelRequest(
        model=asked.model,
        messages=history.messages,
        offer=offer,
        choice=_tool_choice(choice, offer),
        parallel=not (choice and choice.disable_parallel_tool_use),
        stream=bool(asked.stream),
        with_usage=True,
        output_limit=asked.max_tokens,
        output_format=_output_format(asked.output_config),
        cache_point=len(history.messages) if asked.cache_control else history.cache_point,
        conversation_key=(asked.metadata.user_id or "" if asked.metadata else "",),
    )


class _History:
    """The messages so far, in this server's terms: each tool result is a message of its own.

    A round of tool calls must be answered as a whole before anything else is said; messages of
    one role in a row are one. What breaks that rule, Anthropic refuses.
    """

    def __init__(self, tools_cached: bool) -> None:
        self.messages: list[Message] = []
        self.cache_point = 0 if tools_cached else NOTHING_CACHED
        self._open_calls: set[str] = set()
        self._calls_at = 0

    def add(self, index: int, message: _Message) -> None:
        """Add one message of the request."""
        if message.role == "assistant":
            self._add_answer(index, message)
        elif message.role == "user":
            self._add_user(index, message)
        else:
            self.add_text("system", message.content)

    def add_text(self, role: Any, content: str | list[_Block]) -> None:
        """Add a message that holds text alone."""
        self.messages.append(Message(role, _text(content)))
        self._mark(content)

    def finish(self) -> None:
        """Raise ApiError if tool calls are left without a result."""
        self._require_results()

    def _add_answer(self, index: int, message: _Message) -> None:
        self._require_results()
        calls = tuple(_past_calls(index, message.content))
        self._open_calls, self._calls_at = {call.id for call in calls}, index
        self.messages.append(Message("assistant", _text(message.content), calls=calls))
        self._mark(message.content)

    def _add_user(self, index: int, message: _Message) -> None:
        blocks = message.content if isinstance(message.content, list) else []
        results = [block for block in blocks if block.type == "tool_result"]
        if results and blocks[: len(results)] != results:
            text = f"messages.{index}: `tool_result` blocks must come before any other content."
            raise invalid_request(text)
        for position, block in enumerate(results):
            if block.tool_use_id not in self._open_calls:
                raise invalid_request(
                    f"messages.{index}.content.{position}: unexpected `tool_use_id` found in "
                    f"`tool_result` blocks: {block.tool_use_id}. Each `tool_result` block must "
                    "have a corresponding `tool_use` block in the previous message."
                )
            self._open_calls.discard(block.tool_use_id)
            self.messages.append(Message("tool", _result_text(block.content)))
        if len(results) < len(blocks) or not results:
            self._require_results()
            self.add_text("user", message.content)
        else:
            self._mark(message.content)

    def _require_results(self) -> None:
        if self._open_calls:
            ids = ", ".join(sorted(self._open_calls))
            raise invalid_request(
                f"messages.{self._calls_at}: `tool_use` ids were found without `tool_result` "
                f"blocks immediately after: {ids}. Each `tool_use` block must have a "
                "corresponding `tool_result` block in the next message."
            )

    def _mark(self, content: str | list[_Block]) -> None:
        if isinstance(content, list) and any(block.cache_control for block in content):
            self.cache_point = len(self.messages)


def _check(asked: _Request) -> None:
    if not 1 <= len(asked.model) <= MODEL_MAX_CHARS:
        raise invalid_request(f"model: expected 1 to {MODEL_MAX_CHARS} characters")
    if asked.max_tokens < 0:
        raise invalid_request("max_tokens: Input should be greater than or equal to 0")
    if not asked.messages:
        raise invalid_request("messages: at least one message is required")
    for index, message in enumerate(asked.messages):
        if message.role not in ("user", "assistant", "system"):
            text = f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'"
            raise invalid_request(text)
    first = next((m.role for m in asked.messages if m.role != "system"), "user")
    if first != "user":
        raise invalid_request('messages: first message must use the "user" role')


def _past_calls(index: int, content: str | list[_Block]) -> Iterator[PastCall]:
    for position, block in enumerate(content if isinstance(content, list) else ()):
        if block.type == "tool_use":
            if block.id is None or block.name is None:
                text = f"messages.{index}.content.{position}: `tool_use` needs `id` and `name`"
                raise invalid_request(text)
            yield PastCall(block.id, block.name, bytes(block.input).decode())


def _text(content: str | list[_Block]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if block.text and block.type == "text")


def _result_text(content: Any) -> str:
    """The text of a tool's result: a string, or the text among its blocks."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


@remembered_offer
def _offer(tools: bytes) -> Offer:
    offered = (_TOOLS_DECODER.decode(tools) if tools else None) or []
    functions = tuple(
        Function(tool.name, tool.input_schema)
        for tool in offered
        if tool.type in (None, "custom") and tool.name
    )
    cached = any(tool.cache_control for tool in offered)
    return Offer(functions, offer_tokens(tools) if offered else 0, cached)


def _tool_choice(choice: _ToolChoice | None, offer: Offer) -> ToolChoice:
    if choice is None or (choice.type == "none" and not offer.functions):
        return ToolChoice()
    if not offer.functions:
        raise invalid_request("tool_choice: may only be specified while providing `tools`")
    if choice.type == "auto":
        return ToolChoice("auto")
    if choice.type == "none":
        return ToolChoice("none")
    if choice.type == "any":
        return ToolChoice("required")
    if choice.type != "tool":
        raise _no_choice(choice.type)
    if choice.name not in {function.name for function in offer.functions}:
        raise invalid_request(f"tool_choice.name: tool '{choice.name}' not found in `tools`")
    return ToolChoice("required", frozenset({choice.name}), named=True)


def _no_choice(kind: str) -> ApiError:
    return invalid_request(
        f"tool_choice: Input tag '{kind}' does not match any of the expected tags: "
        "'auto', 'any', 'tool', 'none'"
    )


def _output_format(config: _OutputConfig | None) -> OutputFormat:
    if config is None or config.format is None:
        return OutputFormat()
    if config.format.type != "json_schema" or config.format.schema is None:
        raise invalid_request("output_config.format: expected 'json_schema' with a `schema`")
    return OutputFormat("json_schema", "output_config", config.format.schema)
