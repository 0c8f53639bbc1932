"""The requests of Gemini's protocol: decoded, and refused as Google refuses them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import msgspec

from agentscope.lab.mock_llm.errors import ApiError, invalid_request, not_json
from agentscope.lab.mock_llm.request import (
    Function,
    Message,
    ModelRequest,
    Offer,
    OutputFormat,
    PastCall,
    ToolChoice,
    ToolMode,
    offer_tokens,
    remembered_offer,
)


class _FunctionCall(msgspec.Struct):
    name: str
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class _FunctionResponse(msgspec.Struct):
    name: str
    response: msgspec.Raw = msgspec.Raw(b"{}")


class _Part(msgspec.Struct, rename="camel", kw_only=True):
    """A part of any kind: the fields of those that this server reads."""

    text: str | None = None
    thought: bool = False
    function_call: _FunctionCall | None = None
    function_response: _FunctionResponse | None = None


class Content(msgspec.Struct, kw_only=True):
    """One message."""

    parts: list[_Part] = []
    role: str | None = None

    @property
    def text(self) -> str:
        """The text of its parts; what is no text counts as nothing."""
        return "\n".join(part.text for part in self.parts if part.text and not part.thought)


class _Declaration(msgspec.Struct, rename="camel", kw_only=True):
    name: str
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    # Google takes every name in both spellings; its own client writes this one so.
    parameters_json_schema_too: dict[str, Any] | None = msgspec.field(
        name="parameters_json_schema", default=None
    )

    @property
    def schema(self) -> Any:
        """The JSON schema of the arguments."""
        given = self.parameters_json_schema or self.parameters_json_schema_too
        return given or _json_schema(self.parameters)


class _Tool(msgspec.Struct, rename="camel", kw_only=True):
    """Tools without declarations (search, code execution) run at Google: never called here."""

    function_declarations: list[_Declaration] = []


class _CallingConfig(msgspec.Struct, rename="camel", kw_only=True):
    mode: str = "AUTO"
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel", kw_only=True):
    function_calling_config: _CallingConfig = msgspec.field(default_factory=_CallingConfig)


class _GenerationConfig(msgspec.Struct, rename="camel", kw_only=True):
    max_output_tokens: int | None = None
    candidate_count: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None


class _Request(msgspec.Struct, rename="camel", kw_only=True):
    """The fields of a request that change what this server answers."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: msgspec.Raw = msgspec.Raw()
    tool_config: _ToolConfig | None = None
    generation_config: _GenerationConfig = msgspec.field(default_factory=_GenerationConfig)


_DECODER = msgspec.json.Decoder(_Request)
_TOOLS_DECODER = msgspec.json.Decoder(list[_Tool] | None)
_MODES: dict[str, ToolMode] = {
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}


def decode_gemini_request(body: bytes, model: str, stream: bool) -> ModelRequest:
    """Read a request's body; raises ApiError, status 400, saying what is wrong with it."""
    try:
        asked = _DECODER.decode(body)
        offer = _offer(bytes(asked.tools))
    except msgspec.ValidationError as error:
        raise invalid_request(f"Invalid JSON payload received. {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    config = asked.generation_config
    if config.candidate_count not in (None, 1):
        raise invalid_request("This mock answers with one candidate: candidateCount must be 1.")
    if config.max_output_tokens is not None and config.max_output_tokens < 1:
        raise invalid_request("max_output_tokens must be positive.")
    return ModelRequest(
        model=model,
        messages=_messages(asked),
        offer=offer,
        choice=_tool_choice(asked.tool_config, offer),
        stream=stream,
        with_usage=True,
        output_limit=config.max_output_tokens,
        output_format=_output_format(config),
    )


def _messages(asked: _Request) -> list[Message]:
    """The history; each result of a function is a message of its own."""
    if not asked.contents:
        raise invalid_request("* GenerateContentRequest.contents: contents is not specified")
    messages = []
    if asked.system_instruction is not None:
        messages.append(Message("system", asked.system_instruction.text))
    calls = 0
    # A turn may come in several contents: a client that streams sends back the chunks it got.
    for by_model, contents in groupby(asked.contents, key=_is_models):
        turn = Content(parts=[part for content in contents for part in content.parts])
        if by_model:
            past = tuple(_past_calls(turn))
            calls = len(past)
            messages.append(Message("assistant", turn.text, calls=past))
            continue
        results = [part.function_response for part in turn.parts if part.function_response]
        if results and len(results) != calls:
            raise _unequal()
        messages += [Message("tool", bytes(one.response).decode()) for one in results]
        if not results or turn.text:
            messages.append(Message("user", turn.text))
    return messages


def _is_models(content: Content) -> bool:
    if content.role not in (None, "user", "model", "function"):
        raise invalid_request("Please use a valid role: user, model.")
    return content.role == "model"


def _past_calls(turn: Content) -> list[PastCall]:
    called = [part.function_call for part in turn.parts if part.function_call]
    return [PastCall(one.id or "", one.name, bytes(one.args).decode()) for one in called]


def _unequal() -> ApiError:
    return invalid_request(
        "Please ensure that the number of function response parts is equal to the number of "
        "function call parts of the function call turn."
    )


@remembered_offer
def _offer(tools: bytes) -> Offer:
    offered = (_TOOLS_DECODER.decode(tools) if tools else None) or []
    declared = [one for tool in offered for one in tool.function_declarations]
    functions = tuple(Function(one.name, one.schema) for one in declared)
    return Offer(functions, offer_tokens(tools) if functions else 0)


def _json_schema(schema: Any) -> Any:
    """A schema of OpenAPI 3.0, as Google's own are, as JSON schema: types are in lower case."""
    if isinstance(schema, list):
        return [_json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    translated = {key: _json_schema(value) for key, value in schema.items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        translated["type"] = kind.lower()
    return translated


def _tool_choice(config: _ToolConfig | None, offer: Offer) -> ToolChoice:
    if config is None:
        return ToolChoice()
    calling = config.function_calling_config
    if calling.mode not in _MODES:
        raise invalid_request(f"Invalid value at 'tool_config.mode': \"{calling.mode}\"")
    mode, allowed = _MODES[calling.mode], calling.allowed_function_names
    if not offer.functions:
        return ToolChoice()
    if not allowed:
        return ToolChoice(mode)
    unknown = set(allowed) - {function.name for function in offer.functions}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise invalid_request(f"allowed_function_names: {names} not declared in tools")
    return ToolChoice(mode, frozenset(allowed))


def _output_format(config: _GenerationConfig) -> OutputFormat:
    schema = config.response_json_schema or _json_schema(config.response_schema)
    if schema is not None:
        return OutputFormat("json_schema", "response_schema", schema)
    return OutputFormat(
        "json_object" if config.response_mime_type == "application/json" else "text"
    )
