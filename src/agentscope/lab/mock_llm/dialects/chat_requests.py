"""The requests of the chat-completions protocol: decoded, and refused as OpenAI refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agentscope.lab.mock_llm.dialects.openai import checked_model, checked_tools, parts_text
from agentscope.lab.mock_llm.errors import ApiError, invalid_request, not_json
from agentscope.lab.mock_llm.request import (
    Function,
    Message,
    ModelRequest,
    Offer,
    OutputFormat,
    PastCall,
    Role,
    ToolChoice,
    offer_tokens,
    remembered_offer,
)

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class _ToolCall(msgspec.Struct):
    id: str
    function: _CalledFunction


class _Message(msgspec.Struct, kw_only=True):
    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Tool(msgspec.Struct):
    """A tool offered to the model; only those of type ``function`` are ever called."""

    type: str
    function: Function | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct, kw_only=True):
    """The fields of a request that change what this server answers."""

    model: str
    messages: list[_Message]
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


_DECODER = msgspec.json.Decoder(_Request)
_TOOLS_DECODER = msgspec.json.Decoder(list[_Tool] | None)


def decode_request(body: bytes) -> ModelRequest:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        asked = _DECODER.decode(body)
        offer = _offer(bytes(asked.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(str(error), "invalid_type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    checked_model(asked.model)
    _check_limits(asked)
    _check_messages(asked.messages)
    return ModelRequest(
        model=asked.model,
        messages=[_message(message) for message in asked.messages],
        offer=offer,
        choice=_tool_choice(asked.tool_choice, offer),
        parallel=asked.parallel_tool_calls is not False,
        stream=bool(asked.stream),
        with_usage=asked.stream_options is not None and asked.stream_options.include_usage,
        output_limit=asked.max_completion_tokens or asked.max_tokens,
        output_format=_output_format(asked.response_format),
        conversation_key=(
            asked.prompt_cache_key or "",
            asked.safety_identifier or "",
            asked.user or "",
        ),
    )


def _message(message: _Message) -> Message:
    calls = tuple(
        PastCall(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    )
    return Message(_ROLES[message.role], parts_text(message.content), message.name, calls)


@remembered_offer
def _offer(tools: bytes) -> Offer:
    offered = _TOOLS_DECODER.decode(tools) if tools else None
    functions = tuple(tool.function for tool in offered or () if tool.function is not None)
    return Offer(functions, offer_tokens(tools) if functions else 0)


def _check_limits(request: _Request) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(request, name)
        if value is not None and value < 1:
            message = f"Invalid value for '{name}': expected 1 or more, got {value}."
            raise invalid_request(message, "integer_below_min_value", name)
    if request.n not in (None, 1):
        message = f"This mock answers with one choice: 'n' must be 1, got {request.n}."
        raise invalid_request(message, "unsupported_value", "n")


def _check_messages(messages: list[_Message]) -> None:
    """Tool calls must be answered, each by one message, before anything else is said.

    OpenAI refuses such histories, so an agent that makes them should learn it here.
    """
    if not messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise invalid_request(text, "empty_array", "messages")
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            text = f"Invalid value: '{message.role}'. Supported values are: {', '.join(_ROLES)}."
            raise invalid_request(text, "invalid_value", f"messages[{index}].role")
        if message.role == "tool":
            if message.tool_call_id is None or message.tool_call_id not in open_calls:
                text = "Invalid parameter: messages with role 'tool' must be a response to a "
                text += "preceding message with 'tool_calls'."
                raise invalid_request(text, param=f"messages[{index}].role")
            open_calls.discard(message.tool_call_id)
        elif open_calls and message.role in ("user", "assistant"):
            raise _unanswered(open_calls, index)
        elif message.role == "assistant" and message.tool_calls:
            open_calls = {call.id for call in message.tool_calls}
    if open_calls:
        raise _unanswered(open_calls, len(messages) - 1)


def _unanswered(call_ids: set[str], index: int) -> ApiError:
    ids = ", ".join(sorted(call_ids))
    return invalid_request(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        f"each 'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        param=f"messages[{index}].role",
    )


def _tool_choice(choice: str | dict[str, Any] | None, offer: Offer) -> ToolChoice:
    if not isinstance(choice, dict):
        return checked_tools(choice, None, False, offer)
    if choice.get("type") != "allowed_tools":
        return checked_tools("required", _names([choice]), True, offer)
    allowed = _object(choice.get("allowed_tools"))
    mode = "required" if allowed.get("mode") == "required" else "auto"
    return checked_tools(mode, _names(allowed.get("tools")), False, offer)


def _names(entries: Any) -> frozenset[str]:
    """The functions that entries of a ``tool_choice`` object name."""
    if not isinstance(entries, list):
        return frozenset()
    names = (_object(_object(entry).get("function")).get("name") for entry in entries)
    return frozenset(name for name in names if isinstance(name, str))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _output_format(wanted: dict[str, Any] | None) -> OutputFormat:
    if wanted is None:
        return OutputFormat()
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"Invalid value: '{kind}'. Supported values are: 'text', 'json_object', "
        raise invalid_request(f"{message}'json_schema'.", "invalid_value", "response_format.type")
    described = _object(wanted.get("json_schema"))
    if kind != "json_schema":
        return OutputFormat(kind)
    if not isinstance(described.get("schema"), dict):
        message = "Missing required parameter: 'response_format.json_schema.schema'."
        param = "response_format.json_schema.schema"
        raise invalid_request(message, "missing_required_parameter", param)
    return OutputFormat(kind, str(described.get("name")), described["schema"])
