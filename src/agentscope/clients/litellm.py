"""litellm: one inference span a call, whichever provider it goes to and however often it is tried.

LiteLLM asks OpenAI and its like through the openai client, and most others (Anthropic, Bedrock,
Vertex) through an HTTP client of its own; it repeats a failed call (``num_retries``), and asks
another model in its place (``fallbacks``, ``Router``). The outermost of its functions is the
logical call: those below it, and the client below them, fill its span, and every request lies in
it as an attempt.

Patched are the functions themselves. A service that took one out of the module before it called
``instrument()`` still has the unpatched one; recent versions send chats and responses through
``PublicDispatch``, which is patched too, so there nothing escapes.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from agentscope import conventions as c
from agentscope.clients import inference
from agentscope.clients.attempts import attempts_of
from agentscope.clients.calls import async_hook, sync_hook
from agentscope.clients.gaps import Gaps
from agentscope.clients.inference import Call
from agentscope.clients.openai_answers import Chat, Dialect, Embeddings, Responses
from agentscope.clients.patches import Patches
from agentscope.recording.context import attach, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue, Span

_CHAT, _TEXT, _EMBEDDINGS, _RESPONSES = "chat", "text_completion", "embeddings", "responses"
_DIALECTS: dict[str, Dialect] = {
    _CHAT: Chat(),
    _TEXT: Chat(),  # its answers have choices and usage too
    _EMBEDDINGS: Embeddings(),
    _RESPONSES: Responses(),
}
_FUNCTIONS = {
    "completion": _CHAT,
    "text_completion": _TEXT,
    "embedding": _EMBEDDINGS,
    "responses": _RESPONSES,
}
"""What each of LiteLLM's functions asks for; the asynchronous ones have an ``a`` before."""
_ROUTES = {"chat_completions": _CHAT, "embeddings": _EMBEDDINGS, "responses": _RESPONSES}
_PROVIDERS = {
    "azure_ai": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "text-completion-openai": "openai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""What LiteLLM's names of providers begin with, where the conventions have others."""
_CONTENT = ("content", "tool_calls", "function_call")
"""What of a chunk is something to show or do."""

_calls: weakref.WeakKeyDictionary[Span, _LogicalCall] = weakref.WeakKeyDictionary()
"""The calls that run now, by their span."""
_streams: weakref.WeakKeyDictionary[Any, tuple[Call, Gaps]] = weakref.WeakKeyDictionary()
"""The streams that were made for a call: it ends with the one that the user reads."""


def patch(module: Any, patches: Patches) -> None:
    """Hook ``litellm``."""
    _wrap_functions(module, patches)


def patch_router(module: Any, patches: Patches) -> None:
    """Hook ``litellm.router``."""
    _wrap_functions(module.Router, patches)


def patch_dispatch(module: Any, patches: Patches) -> None:
    """Hook ``litellm.rust_bridge.dispatch``, which older versions do not have."""
    patches.wrap(module.PublicDispatch, "run", sync_hook(_begin_dispatched, _answered))
    patches.wrap(module.PublicDispatch, "arun", async_hook(_begin_dispatched, _answered))


def patch_streams(module: Any, patches: Patches) -> None:
    """Hook ``litellm.litellm_core_utils.streaming_handler``."""
    patches.wrap(module.CustomStreamWrapper, "__init__", _made_stream)
    patches.wrap(module.CustomStreamWrapper, "__next__", _next)
    patches.wrap(module.CustomStreamWrapper, "__anext__", _next_async)


def _wrap_functions(owner: Any, patches: Patches) -> None:
    for name, kind in _FUNCTIONS.items():
        begin = _begin_as(kind)
        if name in vars(owner):  # a router makes ``responses`` for each object
            patches.wrap(owner, name, sync_hook(begin, _answered))
            patches.wrap(owner, f"a{name}", async_hook(begin, _answered))


class _LogicalCall(Call):
    """A call of LiteLLM's: what it left unread of the provider's answer is over when it is."""

    __slots__ = ()

    def goes_on(self, attributes: dict[str, AttributeValue]) -> None:
        """It is tried now, by a function below the one that began it, perhaps with another model."""
        if self._owned:
            for key in (c.PROVIDER_NAME, c.REQUEST_MODEL):
                if key in attributes:
                    self.span.attributes[key] = attributes[key]

    def _end(self, outcome: c.Outcome, error: BaseException | str | None) -> None:
        if _calls.pop(self.span, None) is not None:
            latest = attempts_of(self.span).latest
            attempt = latest() if latest is not None else None
            if attempt is not None:
                attempt.over()
        super()._end(outcome, error)


# --- requests -------------------------------------------------------------------------------------


def _begin_as(kind: str) -> Callable[..., Call | None]:
    def begin(
        recorder: Recorder, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        return _begin(recorder, kind, args, kwargs)

    return begin


def _begin_dispatched(
    recorder: Recorder, dispatch: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    kind = _ROUTES.get(dispatch.route.value)
    return None if kind is None else _begin(recorder, kind, *args)


def _begin(
    recorder: Recorder, kind: str, args: tuple[Any, ...], given: dict[str, Any]
) -> Call | None:
    """The logical call; None for a part of one that runs already."""
    try:
        dialect = _DIALECTS[kind]
        operation = _TEXT if kind is _TEXT else dialect.operation
        attributes = {c.OPERATION_NAME: operation, **dialect.request(given)}
        provider, model = _provider_and_model(args[0] if args else given.get("model"), given)
        if provider:
            attributes[c.PROVIDER_NAME] = provider
        if model:
            attributes[c.REQUEST_MODEL] = model
        current = current_span()
        above = None if current is None else _calls.get(current)
        if above is not None:
            above.goes_on(attributes)
            return None
        call = inference.begin(recorder, f"{operation} {model}".rstrip(), attributes)
        # The client that LiteLLM may use fills this span, and makes none beside it.
        attempts_of(call.span).adopted = False
        logical = _LogicalCall(recorder, call.span, owned=call.span is not current)
        _calls[call.span] = logical
        return logical
    except Exception as error:
        internal_error("clients.litellm", error)
        return None


def _provider_and_model(model: Any, given: dict[str, Any]) -> tuple[str, str]:
    """Both as far as the call says them: "anthropic/claude-x", or a model that LiteLLM knows."""
    if not isinstance(model, str):
        return "", ""
    litellm = sys.modules["litellm"]
    provider = given.get("custom_llm_provider")
    prefix, slash, rest = model.partition("/")
    if slash and (prefix == provider or prefix in litellm.provider_list):
        provider, model = provider or prefix, rest
    if not provider:
        provider = litellm.model_cost.get(model, {}).get("litellm_provider")
    return _conventional(provider), model[:MAX_VALUE_LENGTH]


def _conventional(provider: Any) -> str:
    """A provider by its name in the conventions."""
    if not isinstance(provider, str):
        return ""
    for beginning, name in _PROVIDERS.items():
        if provider.startswith(beginning):
            return name
    return str(provider)


# --- answers --------------------------------------------------------------------------------------


def _answered(call: Call, answer: Any) -> None:
    if not hasattr(type(answer), "model_fields"):
        if not call.iterated:  # else it ends with its stream
            call.done()
        return
    try:
        hidden = getattr(answer, "_hidden_params", None) or {}
        provider, _ = _provider_and_model(hidden.get("litellm_model_name"), hidden)
        _note_provider(call, provider)
        if not hidden.get("cache_hit"):  # those tokens were paid for once
            _read(call, answer)
    except Exception as error:
        internal_error("clients.litellm", error)
    call.done()


def _note_provider(call: Call, provider: str) -> None:
    """Who answered, where the model's name did not say it."""
    if provider:
        call.note(c.PROVIDER_NAME, provider)


def _read(call: Call, answer: Any) -> None:
    operation = call.span.attributes[c.OPERATION_NAME]
    if operation == Embeddings.operation:
        _DIALECTS[_EMBEDDINGS].answer(answer, call)
    elif hasattr(answer, "output"):
        _DIALECTS[_RESPONSES].answer(answer, call)
    else:
        _read_chat(call, answer.model, answer.choices, getattr(answer, "usage", None))


def _read_chat(call: Call, model: Any, choices: Any, usage: Any) -> None:
    # Not the answer's id: where the provider's client is LiteLLM's own, it has made up one.
    answer = SimpleNamespace(id=None, model=model, choices=choices, usage=usage)
    _DIALECTS[_CHAT].answer(answer, call)


# --- streams --------------------------------------------------------------------------------------


def _made_stream(
    wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    wrapped(*args, **kwargs)
    try:
        current = current_span()
        call = None if current is None else _calls.get(current)
        if call is not None:
            call.iterated = True
            _streams[stream] = call, call.chunk_gaps()
            weakref.finalize(stream, call.dropped).atexit = False
    except Exception as error:
        internal_error("clients.litellm", error)


def _next(
    wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    found = _streams.get(stream)
    if found is None:
        return wrapped(*args, **kwargs)
    call, gaps = found
    token = attach(call.span)  # the first chunk may be what the request is sent for
    try:
        chunk = wrapped(*args, **kwargs)
    except StopIteration:
        _read_out(call, stream)
        raise
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        detach(token)
    _chunk(call, gaps, chunk)
    return chunk


async def _next_async(
    wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    found = _streams.get(stream)
    if found is None:
        return await wrapped(*args, **kwargs)
    call, gaps = found
    token = attach(call.span)
    try:
        chunk = await wrapped(*args, **kwargs)
    except StopAsyncIteration:
        _read_out(call, stream)
        raise
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        detach(token)
    _chunk(call, gaps, chunk)
    return chunk


def _chunk(call: Call, gaps: Gaps, chunk: Any) -> None:
    try:
        gaps.came(call.clock.monotonic_ns())
        for choice in chunk.choices:
            delta = getattr(choice, "delta", None)
            if any(getattr(delta, name, None) for name in _CONTENT):
                call.first_content()
            if choice.finish_reason:
                call.complete = True
    except Exception as error:
        internal_error("clients.litellm", error)


def _read_out(call: Call, stream: Any) -> None:
    """The stream has ended. LiteLLM ends it with a reason of its own where the provider gave none."""
    try:
        _note_provider(call, _conventional(stream.custom_llm_provider))
        for chunk in stream.chunks:
            # What it gives the user is counted by itself where the provider said nothing.
            usage = getattr(chunk, "usage", None)
            _read_chat(call, stream.model, (), usage)
        reason = stream.received_finish_reason
        call.complete = reason is not None
        if reason is not None:
            call.note(c.FINISH_REASONS, [str(reason)])
    except Exception as error:
        internal_error("clients.litellm", error)
    call.read_out()
