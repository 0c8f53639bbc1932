"""openai: one inference span a call, streamed or not, synchronous or asynchronous.

Patched are the methods that make the request (``chat.completions.create`` and ``.parse``,
``embeddings.create``, ``responses.create`` and ``.parse``), so frameworks that call them are
covered, and with them ``.stream()``, ``with_raw_response`` and ``with_streaming_response``, which
are built on them. The inference is current while the method runs, so the HTTP layer's attempts lie
below it. A stream is read later, in whatever context: there, objects refer to each other instead.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.bodies import follow
from agentscope.clients.inference import Call, begin
from agentscope.clients.openai_answers import Chat, Dialect, Embeddings, Responses
from agentscope.clients.patches import Hook, Patches
from agentscope.clients.streams import watch
from agentscope.recording.context import attach, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue

OPENAI, AZURE = "openai", "azure.ai.openai"
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")

_unread: weakref.WeakKeyDictionary[Any, tuple[Call, Dialect]] = weakref.WeakKeyDictionary()
"""Responses of ``with_streaming_response``, whose answer the user has not looked at."""


def patch_chat(module: Any, patches: Patches) -> None:
    """Hook ``openai.resources.chat.completions.completions``."""
    _wrap_both(patches, module.Completions, module.AsyncCompletions, ("create", "parse"), Chat())


def patch_embeddings(module: Any, patches: Patches) -> None:
    """Hook ``openai.resources.embeddings``."""
    _wrap_both(patches, module.Embeddings, module.AsyncEmbeddings, ("create",), Embeddings())


def patch_responses(module: Any, patches: Patches) -> None:
    """Hook ``openai.resources.responses.responses``."""
    names = ("create", "parse")
    _wrap_both(patches, module.Responses, module.AsyncResponses, names, Responses())


def patch_responses_raw(module: Any, patches: Patches) -> None:
    """Hook ``openai._response``: what ``with_streaming_response`` gives."""
    patches.wrap(module.APIResponse, "parse", _parse)
    patches.wrap(module.AsyncAPIResponse, "parse", _parse_async)


def _wrap_both(
    patches: Patches, sync: Any, asynchronous: Any, names: tuple[str, ...], dialect: Dialect
) -> None:
    for name in names:
        patches.wrap(sync, name, _sync_hook(dialect))
        patches.wrap(asynchronous, name, _async_hook(dialect))


def _sync_hook(dialect: Dialect) -> Hook:
    def ask(
        wrapped: Callable[..., Any], resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        call = None if recorder is None else _begin(recorder, dialect, resource, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        token = attach(call.span)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        _answered(call, dialect, result)
        return result

    return ask


def _async_hook(dialect: Dialect) -> Hook:
    def ask(
        wrapped: Callable[..., Any], resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        # Called here, not in the coroutine: arguments are refused at the call, as they were.
        asking = wrapped(*args, **kwargs)
        if recorder is None:
            return asking
        return _ask_async(recorder, dialect, resource, asking, kwargs)

    return ask


async def _ask_async(
    recorder: Recorder,
    dialect: Dialect,
    resource: Any,
    asking: Awaitable[Any],
    kwargs: dict[str, Any],
) -> Any:
    call = _begin(recorder, dialect, resource, kwargs)
    if call is None:
        return await asking
    token = attach(call.span)
    try:
        result = await asking
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        detach(token)
    _answered(call, dialect, result)
    return result


def _begin(
    recorder: Recorder, dialect: Dialect, resource: Any, given: dict[str, Any]
) -> Call | None:
    try:
        model = given.get("model")
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: dialect.operation,
            c.PROVIDER_NAME: _provider(resource),
            **dialect.request(given),
        }
        name = dialect.operation
        if isinstance(model, str):
            attributes[c.REQUEST_MODEL] = model = model[:MAX_VALUE_LENGTH]
            name = f"{name} {model}"
        return begin(recorder, name, attributes)
    except Exception as error:
        internal_error("clients.openai", error)
        return None


def _provider(resource: Any) -> str:
    return AZURE if resource._client.base_url.host.endswith(_AZURE_HOSTS) else OPENAI


def _answered(call: Call, dialect: Dialect, result: Any) -> None:
    """The method has returned: an answer, a stream of chunks, or a response around one."""
    try:
        kind = type(result)
        if hasattr(kind, "model_fields"):
            dialect.answer(result, call)
            call.done()
        elif kind.__name__ == "LegacyAPIResponse":
            # The body is read, or is a stream. The library keeps what parse gives, and hands out
            # the same object when the user asks.
            _answered(call, dialect, _parsed(result))
        elif hasattr(result, "http_response"):
            _unread[result] = (call, dialect)
            follow(result.http_response, call.body_over)
        elif hasattr(result, "_iterator"):
            watch(result, call, dialect.chunk)
        else:
            call.done()
    except Exception as error:
        call.done()
        internal_error("clients.openai", error)


def _parsed(response: Any) -> Any:
    try:
        return response.parse()
    except Exception:  # the user's to meet, when they ask for it
        return None


def _parse(
    wrapped: Callable[..., Any], response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    unread = _unread.pop(response, None)
    if unread is None:
        return wrapped(*args, **kwargs)
    call, dialect = unread
    call.reading = True
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        call.reading = False
    _answered(call, dialect, result)
    return result


def _parse_async(
    wrapped: Callable[..., Any], response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    unread = _unread.pop(response, None)
    if unread is None:
        return wrapped(*args, **kwargs)
    return _parse_unread(wrapped, unread, args, kwargs)


async def _parse_unread(
    wrapped: Callable[..., Awaitable[Any]],
    unread: tuple[Call, Dialect],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    call, dialect = unread
    call.reading = True
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        call.reading = False
    _answered(call, dialect, result)
    return result
