"""The verbs: what a user writes around the parts of a turn, and says about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Self, TypeVar, overload

from agentscope import conventions as c
from agentscope.recording.context import ContextToken, attach_session, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.span import CLIENT, AttributeValue, Role, Span, text_of
from agentscope.turns import bind_session
from agentscope.wrappers import Phase

P = ParamSpec("P")
R = TypeVar("R")

_INFERENCE = Role.INFERENCE


def phase(name: str) -> Phase:
    """A part of a turn with a name of your own: ``with agentscope.phase("rerank"): …``."""
    name = text_of(name)
    return Phase(name, Role.PHASE, {c.PHASE: name})


@overload
def context_load(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def context_load(*, name: str | None = None) -> Phase: ...
def context_load(function: Any = None, /, *, name: str | None = None) -> Any:
    """The phase that loads the conversation: ``@agentscope.context_load``, bare or called.

    ``name`` defaults to the function's.
    """
    kind = c.Phase.CONTEXT_LOAD.value
    loading = Phase(name or kind, Role.PHASE, {c.PHASE: kind}, takes_name=name is None)
    return loading if function is None else loading(function)


@overload
def llm_call(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def llm_call(
    *, name: str | None = None, model: str | None = None, provider: str | None = None
) -> Phase: ...
def llm_call(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    provider: str | None = None,
) -> Any:
    """The phase that asks the model: ``@agentscope.llm_call``, bare or called.

    Where the client library is instrumented, its call is recorded inside this phase. Where it is
    not, give ``model`` (and ``provider``): the phase is then the inference itself, and
    ``record_usage`` says its tokens.
    """
    kind = c.Phase.LLM_CALL.value
    attributes: dict[str, AttributeValue] = {c.PHASE: kind}
    if model is None:
        asking = Phase(name or kind, Role.PHASE, attributes, takes_name=name is None)
    else:
        attributes[c.OPERATION_NAME] = "chat"
        attributes[c.REQUEST_MODEL] = model
        if provider is not None:
            attributes[c.PROVIDER_NAME] = provider
        asking = Phase(name or f"chat {model}", Role.INFERENCE, attributes, CLIENT)
    return asking if function is None else asking(function)


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def tool(*, name: str | None = None) -> Phase: ...
def tool(function: Any = None, /, *, name: str | None = None) -> Any:
    """A tool's execution: ``@agentscope.tool``, bare or called; ``name`` is the function's."""
    executing = _ToolPhase(name or "tool", takes_name=name is None)
    return executing if function is None else executing(function)


class _ToolPhase(Phase):
    """A tool: its name stands in the span's name and in an attribute."""

    __slots__ = ()

    def __init__(self, name: str, takes_name: bool = False) -> None:
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: "execute_tool",
            c.TOOL_NAME: name,
        }
        super().__init__(f"execute_tool {name}", Role.TOOL, attributes, takes_name=takes_name)

    def _named(self, name: str) -> Phase:
        return _ToolPhase(name)


def turn(name: str, session: str | None = None) -> Phase:
    """A turn without HTTP, for queue workers, WebSocket messages and scripts.

    ``with agentscope.turn("message", session=chat_id): …``
    """
    attributes: dict[str, AttributeValue] = {c.TURN: True}
    if session is not None:
        attributes[c.CONVERSATION_ID] = text_of(session)
    return Phase(text_of(name), Role.TURN, attributes)


class session:
    """Bind a session to what runs inside: ``with agentscope.session(chat_id): …``."""

    __slots__ = ("_session_id", "_tokens")

    def __init__(self, session_id: str) -> None:
        self._session_id = text_of(session_id)
        self._tokens: list[ContextToken] = []

    def __enter__(self) -> Self:
        try:
            self._tokens.append(attach_session(self._session_id))
            span = current_span()
            if span is not None and span.turn is not None:
                bind_session(span.turn, self._session_id)
        except Exception as error:
            internal_error("phases.session", error)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._tokens:
            detach(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__(*exception)


def record_usage(
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cache_read_input_tokens: int | None = None,
    reasoning_output_tokens: int | None = None,
) -> None:
    """Say the tokens of the model call that is running; totals include cached and reasoning ones.

    Outside of a model call it does nothing.
    """
    try:
        span = current_span()
        while span is not None and not _is_model_call(span):
            span = span.parent
        if span is None:
            return
        if span.role is Role.PHASE:  # an llm_call without a model: now it is known to be one call
            span.role = Role.INFERENCE
            span.attributes.setdefault(c.OPERATION_NAME, "chat")
        attributes = span.attributes
        if input_tokens is not None:
            attributes[c.INPUT_TOKENS] = int(input_tokens)
        if output_tokens is not None:
            attributes[c.OUTPUT_TOKENS] = int(output_tokens)
        if cache_read_input_tokens is not None:
            attributes[c.CACHE_READ_TOKENS] = int(cache_read_input_tokens)
        if reasoning_output_tokens is not None:
            attributes[c.REASONING_TOKENS] = int(reasoning_output_tokens)
    except Exception as error:
        internal_error("phases.record_usage", error)


def record_error(error: BaseException) -> None:
    """Say that the current turn failed although it answers, and with what type of error."""
    try:
        span = current_span()
        if span is not None and span.turn is not None:
            # A text in the place of an exception may be anything, secrets included.
            known = isinstance(error, BaseException)
            span.turn.fail(error if known else c.UNKNOWN_ERROR)
            span.turn.attributes[c.OUTCOME] = c.Outcome.ERROR.value
    except Exception as fault:
        internal_error("phases.record_error", fault)


def _is_model_call(span: Span) -> bool:
    if span.role is _INFERENCE:
        return True
    return span.role is Role.PHASE and span.attributes.get(c.PHASE) == c.Phase.LLM_CALL.value
