"""Amazon Bedrock through botocore, hence boto3: one inference span a call of a model.

Patched is ``_make_api_call`` of ``BaseClient``, through which every method of every client runs
once, with all its retries. Calls are those of the service ``bedrock-runtime``: Converse and
InvokeModel, whole or streamed; other services are HTTP calls like any. The name is private, and
the same for as long as botocore exists; should it go, the hook says so when it is installed.
Requests go out through urllib3, whose hook records the attempts and the sleeps of botocore's
retries, in every mode.

A streamed answer is an ``EventStream``, which stays the library's object: watched are the raw
events it draws from, and ``_parse_event``, where each becomes what its reader gets. The body of an
answer of InvokeModel stays unread, so its tokens come from headers, and why it ended is not known.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agentscope import conventions as c
from agentscope.clients.bedrock_answers import converse_event, invoke_event, read_answer
from agentscope.clients.calls import sync_hook
from agentscope.clients.inference import Call, begin
from agentscope.clients.patches import Patches
from agentscope.clients.streams import ChunkReader, watched
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue

BEDROCK = "aws.bedrock"
_SERVICE = "bedrock-runtime"
_CONVERSE = {"Converse": False, "ConverseStream": True}
_INVOKE = {"InvokeModel": False, "InvokeModelWithResponseStream": True}
_STREAMED = {**_CONVERSE, **_INVOKE}
"""The operations that ask a model, and whether they stream."""

_unfinished: weakref.WeakKeyDictionary[Any, tuple[Call, ChunkReader]] = weakref.WeakKeyDictionary()
"""Streams that their readers have not read to the end, and what reads their events for us."""


def patch(module: Any, patches: Patches) -> None:
    """Hook ``botocore.client``."""
    patches.wrap(module.BaseClient, "_make_api_call", sync_hook(_begin, _answered))


def patch_streams(module: Any, patches: Patches) -> None:
    """Hook ``botocore.eventstream``."""
    patches.wrap(module.EventStream, "_parse_event", _parse_event)
    patches.wrap(module.EventStream, "close", _close)


def _begin(
    recorder: Recorder, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    try:
        if client.meta.service_model.service_name != _SERVICE:
            return None
        operation = args[0] if args else kwargs["operation_name"]
        if operation not in _STREAMED:
            return None
        given = args[1] if len(args) > 1 else kwargs["api_params"]
        model = given.get("modelId")
        name = "chat"
        if operation in _INVOKE and isinstance(model, str) and "embed" in model:
            name = "embeddings"
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: name,
            c.PROVIDER_NAME: BEDROCK,
        }
        if isinstance(model, str):
            attributes[c.REQUEST_MODEL] = model = model[:MAX_VALUE_LENGTH]
            name = f"{name} {model}"
        if _STREAMED[operation]:
            attributes[c.REQUEST_STREAM] = True
        max_tokens = _max_tokens(operation, given)
        if isinstance(max_tokens, int):
            attributes[c.REQUEST_MAX_TOKENS] = max_tokens
        return begin(recorder, name, attributes)
    except Exception as error:
        internal_error("clients.bedrock", error)
        return None


class _Body(msgspec.Struct):
    """What is read of a body that is the model's own: Anthropic's and others' limit."""

    max_tokens: Any = None


_BODY = msgspec.json.Decoder(_Body)


def _max_tokens(operation: str, given: Mapping[str, Any]) -> Any:
    if operation in _CONVERSE:
        config = given.get("inferenceConfig")
        return config.get("maxTokens") if isinstance(config, dict) else None
    try:
        return _BODY.decode(given["body"]).max_tokens
    except (KeyError, TypeError, ValueError):  # a file, or a body of another form
        return None


def _answered(call: Call, answer: Any) -> None:
    """What the method returned: a dictionary, which may have a stream in it."""
    try:
        for name, read_event in (("stream", converse_event), ("body", invoke_event)):
            stream = answer.get(name)
            if hasattr(stream, "_event_generator"):
                stream._event_generator = watched(stream._event_generator, call, _nothing)
                _unfinished[stream] = (call, read_event)
                return
        read_answer(answer, call)
    except Exception as error:
        internal_error("clients.bedrock", error)
    call.done()


def _nothing(raw: Any, call: Call) -> None:
    """What a raw event tells: ``_parse_event`` comes next."""


def _parse_event(
    wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    unfinished = _unfinished.get(stream)
    if unfinished is None:
        return wrapped(*args, **kwargs)
    call, read_event = unfinished
    try:
        event = wrapped(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    try:
        read_event(event, call)
    except Exception as error:
        internal_error("clients.bedrock", error)
    return event


def _close(
    wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    unfinished = _unfinished.pop(stream, None)
    try:
        return wrapped(*args, **kwargs)
    finally:
        if unfinished is not None:
            unfinished[0].dropped()
