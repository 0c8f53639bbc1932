"""The requests of the chat-completions protocol: decoded, and refused as OpenAI refuses them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from agentscope.lab.mock_llm.errors import invalid_request

_CACHED_TOOLS_MAX_BYTES = 65_536
_MODEL_MAX_CHARS = 1_000
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class CalledFunction(msgspec.Struct):
    """The function of a tool call that the model made earlier."""

    name: str
    arguments: str = ""


class PastToolCall(msgspec.Struct):
    """A tool call that the model made earlier."""

    id: str
    function: CalledFunction


class Message(msgspec.Struct, kw_only=True):
    """One message of the conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[PastToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the message; parts that are not text (images, audio) count as nothing."""
        if isinstance(self.content, str):
            return self.content
        parts = (part.get("text") for part in self.content or ())
        return "\n".join(part for part in parts if isinstance(part, str))


class Function(msgspec.Struct):
    """A function that may be called, with the JSON schema of its arguments."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    """A tool offered to the model; only those of type ``function`` are ever called."""

    type: str
    function: Function | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request and the input tokens their schemas cost."""

    functions: tuple[Function, ...] = ()
    tokens: int = 0


class StreamOptions(msgspec.Struct):
    """How a stream is wanted."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, kw_only=True):
    """A request for a chat completion: the fields that change what this server answers."""

    model: str
    messages: list[Message]
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    offer: Offer = Offer()

    @property
    def output_limit(self) -> int | None:
        """Most output tokens that the caller wants, None without a limit."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def conversation_key(self) -> tuple[str, str, str]:
        """What the caller says the conversation, or its user, is called; '' where it does not."""
        return self.prompt_cache_key or "", self.safety_identifier or "", self.user or ""


_DECODER = msgspec.json.Decoder(ChatRequest)
_TOOLS_DECODER = msgspec.json.Decoder(list[Tool] | None)


def decode_request(body: bytes) -> ChatRequest:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        request = _DECODER.decode(body)
        request.offer = _offer(bytes(request.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(str(error), "invalid_type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"We could not parse the JSON body of your request: {error}"
        raise invalid_request(message) from None
    _check_limits(request)
    _check_messages(request.messages)
    _check_tool_choice(request)
    _check_response_format(request.response_format)
    return request


def _offer(tools: bytes) -> Offer:
    # An agent sends the same tools with every call; large ones are not worth keeping in memory.
    return _cached_offer(tools) if len(tools) <= _CACHED_TOOLS_MAX_BYTES else _read_offer(tools)


def _read_offer(tools: bytes) -> Offer:
    offered = _TOOLS_DECODER.decode(tools) if tools else None
    functions = tuple(tool.function for tool in offered or () if tool.function is not None)
    return Offer(functions, -(-len(tools) // 4) if functions else 0)


_cached_offer = lru_cache(maxsize=256)(_read_offer)


def _check_limits(request: ChatRequest) -> None:
    if not 1 <= len(request.model) <= _MODEL_MAX_CHARS:
        message = f"Invalid 'model': expected 1 to {_MODEL_MAX_CHARS} characters."
        raise invalid_request(message, "invalid_value", "model")
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(request, name)
        if value is not None and value < 1:
            message = f"Invalid value for '{name}': expected 1 or more, got {value}."
            raise invalid_request(message, "integer_below_min_value", name)
    if request.n not in (None, 1):
        message = f"This mock answers with one choice: 'n' must be 1, got {request.n}."
        raise invalid_request(message, "unsupported_value", "n")


def _check_messages(messages: list[Message]) -> None:
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


def _unanswered(call_ids: set[str], index: int) -> Exception:
    ids = ", ".join(sorted(call_ids))
    return invalid_request(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        f"each 'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        param=f"messages[{index}].role",
    )


def _check_tool_choice(request: ChatRequest) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    if not request.offer.functions and choice != "none":
        message = "'tool_choice' is only allowed when 'tools' are specified."
        raise invalid_request(message, param="tool_choice")
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            message = f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', 'required'"
            raise invalid_request(f"{message}.", "invalid_value", "tool_choice")
        return
    offered = {function.name for function in request.offer.functions}
    wanted = chosen_names(choice)
    if not wanted or not wanted <= offered:
        unknown = ", ".join(sorted(wanted - offered)) or "no name"
        message = f"Tool choice '{unknown}' not found in 'tools' parameter."
        raise invalid_request(message, param="tool_choice")


def chosen_names(choice: dict[str, Any]) -> set[str]:
    """The functions that a ``tool_choice`` object names: one, or a list of allowed ones."""
    entries: Any = [choice]
    if choice.get("type") == "allowed_tools":
        entries = _object(choice.get("allowed_tools")).get("tools")
    if not isinstance(entries, list):
        return set()
    names = (_object(_object(entry).get("function")).get("name") for entry in entries)
    return {name for name in names if isinstance(name, str)}


def is_forced(choice: str | dict[str, Any] | None) -> bool:
    """Whether ``tool_choice`` leaves no way but to call a tool."""
    if isinstance(choice, dict):
        if choice.get("type") != "allowed_tools":
            return True
        return bool(_object(choice.get("allowed_tools")).get("mode") == "required")
    return choice == "required"


def is_named(choice: str | dict[str, Any] | None) -> bool:
    """Whether ``tool_choice`` names the one function to call."""
    return isinstance(choice, dict) and choice.get("type") != "allowed_tools"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_response_format(wanted: dict[str, Any] | None) -> None:
    if wanted is None:
        return
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"Invalid value: '{kind}'. Supported values are: 'text', 'json_object', "
        raise invalid_request(f"{message}'json_schema'.", "invalid_value", "response_format.type")
    described = wanted.get("json_schema")
    if kind == "json_schema" and not (
        isinstance(described, dict) and isinstance(described.get("schema"), dict)
    ):
        message = "Missing required parameter: 'response_format.json_schema.schema'."
        param = "response_format.json_schema.schema"
        raise invalid_request(message, "missing_required_parameter", param)
