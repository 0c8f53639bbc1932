"""The requests of OpenAI's Responses API: decoded, and refused as OpenAI refuses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agentscope.lab.mock_llm.dialects.openai import checked_model, checked_tools, parts_text
from agentscope.lab.mock_llm.errors import invalid_request, not_json
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
}
_ITEMS = ("message", "function_call", "function_call_output", "reasoning")


class Item(msgspec.Struct, kw_only=True):
    """An item of the input, of any type: the fields of those that this server reads."""

    type: str = "message"
    role: str = ""
    content: str | list[dict[str, Any]] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""
    output: str | list[dict[str, Any]] | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    parameters: dict[str, Any] | None = None


class _Text(msgspec.Struct):
    format: dict[str, Any] | None = None


class ResponsesRequest(msgspec.Struct, kw_only=True):
    """The fields of a request that change what this server answers, or that it answers with."""

    model: str
    input: str | list[Item] = ""
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    text: _Text | None = None
    background: bool | None = None
    conversation: Any = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


_DECODER = msgspec.json.Decoder(ResponsesRequest)
_TOOLS_DECODER = msgspec.json.Decoder(list[_Tool] | None)


def decode_responses_request(body: bytes) -> tuple[ResponsesRequest, Offer]:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        asked = _DECODER.decode(body)
        offer = _offer(bytes(asked.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(str(error), "invalid_type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    checked_model(asked.model)
    if asked.max_output_tokens is not None and asked.max_output_tokens < 1:
        message = "Invalid value for 'max_output_tokens': expected 1 or more."
        raise invalid_request(message, "integer_below_min_value", "max_output_tokens")
    for name in ("background", "conversation"):
        if getattr(asked, name):
            message = f"This mock has no '{name}': leave it out, or use previous_response_id."
            raise invalid_request(message, "unsupported_parameter", name)
    return asked, offer


def as_model_request(
    asked: ResponsesRequest, offer: Offer, earlier: Sequence[Message]
) -> ModelRequest:
    """The request in this server's terms, after what ``earlier`` responses had said.

    Raises ApiError, status 400, for a history that OpenAI refuses.
    """
    given = asked.input
    if not given:
        message = "Missing required parameter: 'input'."
        raise invalid_request(message, "missing_required_parameter", "input")
    messages = [Message("system", asked.instructions)] if asked.instructions else []
    messages += earlier
    messages += [Message("user", given)] if isinstance(given, str) else _messages(given)
    _check_calls(given, earlier)
    return ModelRequest(
        model=asked.model,
        messages=messages,
        offer=offer,
        choice=_tool_choice(asked.tool_choice, offer),
        parallel=asked.parallel_tool_calls is not False,
        stream=bool(asked.stream),
        with_usage=True,
        output_limit=asked.max_output_tokens,
        output_format=_output_format(asked.text.format if asked.text else None),
        conversation_key=(
            asked.prompt_cache_key or "",
            asked.safety_identifier or "",
            asked.user or "",
        ),
    )


def _messages(items: list[Item]) -> Iterable[Message]:
    """The messages of the input: calls that follow one another are one round."""
    text: str | None = None
    calls: list[PastCall] = []
    for index, item in enumerate(items):
        if item.type == "function_call":
            calls.append(PastCall(item.call_id or "", item.name or "", item.arguments))
            continue
        if item.type == "reasoning":
            continue
        if text is not None or calls:
            yield Message("assistant", text or "", calls=tuple(calls))
            text, calls = None, []
        if item.type == "function_call_output":
            yield Message("tool", parts_text(item.output))
        elif item.type != "message":
            message = f"Invalid value: '{item.type}'. This mock reads: {', '.join(_ITEMS)}."
            raise invalid_request(message, "invalid_value", f"input[{index}].type")
        elif item.role == "assistant":
            text = parts_text(item.content)
        elif item.role in _ROLES:
            yield Message(_ROLES[item.role], parts_text(item.content))
        else:
            message = f"Invalid value: '{item.role}'. Supported values are: {', '.join(_ROLES)}."
            raise invalid_request(message, "invalid_value", f"input[{index}].role")
    if text is not None or calls:
        yield Message("assistant", text or "", calls=tuple(calls))


def _check_calls(given: str | list[Item], earlier: Sequence[Message]) -> None:
    """Each call has its output and each output its call."""
    items = [] if isinstance(given, str) else given
    calls = [item.call_id for item in items if item.type == "function_call"]
    if earlier:
        # Older ones were answered before, or their response would not have been stored.
        calls += [call.id for call in earlier[-1].calls]
    outputs = [item.call_id for item in items if item.type == "function_call_output"]
    for call_id in outputs:
        if call_id not in calls:
            message = f"No tool call found for function call output with call_id {call_id}."
            raise invalid_request(message, param="input")
    for call_id in calls:
        if call_id not in outputs:
            message = f"No tool output found for function call {call_id}."
            raise invalid_request(message, param="input")


@remembered_offer
def _offer(tools: bytes) -> Offer:
    offered = (_TOOLS_DECODER.decode(tools) if tools else None) or []
    functions = tuple(
        Function(tool.name, tool.parameters)
        for tool in offered
        if tool.type == "function" and tool.name
    )
    return Offer(functions, offer_tokens(tools) if functions else 0)


def _tool_choice(choice: str | dict[str, Any] | None, offer: Offer) -> ToolChoice:
    if not isinstance(choice, dict):
        # Clients send "auto" with an empty list of tools.
        return checked_tools(None if choice == "auto" else choice, None, False, offer)
    if choice.get("type") != "allowed_tools":
        return checked_tools("required", _names([choice]), True, offer)
    mode = "required" if choice.get("mode") == "required" else "auto"
    return checked_tools(mode, _names(choice.get("tools")), False, offer)


def _names(entries: Any) -> frozenset[str]:
    names = (entry.get("name") for entry in entries or () if isinstance(entry, dict))
    return frozenset(name for name in names if isinstance(name, str))


def _output_format(wanted: dict[str, Any] | None) -> OutputFormat:
    if wanted is None:
        return OutputFormat()
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"Invalid value: '{kind}'. Supported values are: 'text', 'json_object', "
        raise invalid_request(f"{message}'json_schema'.", "invalid_value", "text.format.type")
    if kind != "json_schema":
        return OutputFormat(kind)
    if not isinstance(wanted.get("schema"), dict):
        message = "Missing required parameter: 'text.format.schema'."
        raise invalid_request(message, "missing_required_parameter", "text.format.schema")
    return OutputFormat(kind, str(wanted.get("name")), wanted["schema"])
