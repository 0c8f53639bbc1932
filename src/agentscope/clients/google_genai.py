"""google-genai 2 and later: one inference span a request to a model, streamed or not, sync or async.

Patched are the methods of ``Models`` and ``AsyncModels`` that make one request each,
``_generate_content``, ``_generate_content_stream`` and ``_embed_content``. The public ones above
them, and chats, run a loop: they call the user's functions and ask again, so one call of theirs is
several inferences, with tools between them. The names are private, and the same since the
library's first release; should they go, the hook says so when it is installed. Hidden retries
(``HttpRetryOptions``) are attempts. Not recorded as inferences are ``client.interactions``, images,
videos, and the Live API, whose turns have no request of their own.

The requests go out through httpx2 or httpx, and asynchronous ones through aiohttp where that is
installed; the hook of the one that is used records them. What a 429 says of a quota stands in its
body, which the library reads for the exception it makes of each, retried ones included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.calls import async_hook, sync_hook
from agentscope.clients.counts import token_count
from agentscope.clients.google_quotas import recovered, refused
from agentscope.clients.inference import Call, begin
from agentscope.clients.patches import Patches
from agentscope.clients.streams import watched
from agentscope.recording.context import attach, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue

GEMINI, VERTEX = "gcp.gemini", "gcp.vertex_ai"
_GENERATE, _EMBED = "generate_content", "embeddings"
_PARTS = ("text", "function_call", "inline_data", "file_data", "executable_code")
"""What a part of an answer may bring."""

_INPUT = ("prompt_token_count", "tool_use_prompt_token_count")
"""The results of the provider's own tools are input too, and are counted apart."""


def patch(module: Any, patches: Patches) -> None:
    """Hook ``google.genai.models``."""
    patches.wrap(module.Models, "_generate_content", sync_hook(_begin, _answered))
    patches.wrap(module.AsyncModels, "_generate_content", async_hook(_begin, _answered))
    patches.wrap(module.Models, "_embed_content", sync_hook(_begin_embedding, _embedded))
    patches.wrap(module.AsyncModels, "_embed_content", async_hook(_begin_embedding, _embedded))
    patches.wrap(module.Models, "_generate_content_stream", _stream)
    patches.wrap(module.AsyncModels, "_generate_content_stream", _stream_async)


def patch_errors(module: Any, patches: Patches) -> None:
    """Hook ``google.genai.errors``, for what refusals say of quotas."""
    patches.wrap(module.APIError, "__init__", _refused)


def _refused(
    wrapped: Callable[..., Any], error: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    result = wrapped(*args, **kwargs)
    recorder = lifecycle.recorder
    if recorder is not None:
        try:
            refused(recorder, error)
        except Exception as fault:
            internal_error("clients.google_genai", fault)
    return result


def _stream(
    wrapped: Callable[..., Any], models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    chunks = wrapped(*args, **kwargs)
    return chunks if recorder is None else _read(recorder, chunks, models, kwargs)


def _read(recorder: Recorder, chunks: Any, models: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
    """The same chunks. The request goes out when the first one is asked for, and no earlier."""
    call = _begin(recorder, models, (), kwargs, streamed=True)
    if call is None:
        yield from chunks
        return
    chunks = watched(chunks, call, _chunk)
    token = attach(call.span)
    try:
        first = next(chunks)
    except StopIteration:
        return
    finally:
        detach(token)
    yield first
    del first  # the user's alone
    yield from chunks


def _stream_async(
    wrapped: Callable[..., Any], models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    asking = wrapped(*args, **kwargs)
    return asking if recorder is None else _ask_stream(recorder, asking, models, kwargs)


async def _ask_stream(
    recorder: Recorder, asking: Awaitable[Any], models: Any, kwargs: dict[str, Any]
) -> Any:
    call = _begin(recorder, models, (), kwargs, streamed=True)
    if call is None:
        return await asking
    token = attach(call.span)
    try:
        chunks = await asking
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        detach(token)
    return watched(chunks, call, _chunk)


def _begin(
    recorder: Recorder,
    models: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    streamed: bool = False,
    operation: str = _GENERATE,
) -> Call | None:
    try:
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: operation,
            c.PROVIDER_NAME: VERTEX if models._api_client.vertexai else GEMINI,
        }
        name = operation
        model = kwargs.get("model")
        if isinstance(model, str):
            attributes[c.REQUEST_MODEL] = model = model[:MAX_VALUE_LENGTH]
            name = f"{name} {model}"
        if streamed:
            attributes[c.REQUEST_STREAM] = True
        max_tokens = _option(kwargs.get("config"), "max_output_tokens")
        if isinstance(max_tokens, int):
            attributes[c.REQUEST_MAX_TOKENS] = max_tokens
        return begin(recorder, name, attributes)
    except Exception as error:
        internal_error("clients.google_genai", error)
        return None


def _begin_embedding(
    recorder: Recorder, models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    return _begin(recorder, models, args, kwargs, operation=_EMBED)


def _option(config: Any, name: str) -> Any:
    """A setting of the call: its ``config`` may be a dictionary, a model or nothing."""
    return config.get(name) if isinstance(config, dict) else getattr(config, name, None)


def _answered(call: Call, answer: Any) -> None:
    """A whole ``GenerateContentResponse``."""
    try:
        _read_answer(answer, call)
        _count_output(answer.usage_metadata, call)
    except Exception as error:
        internal_error("clients.google_genai", error)
    _recovered(call)
    call.done()


def _embedded(call: Call, answer: Any) -> None:
    """An ``EmbedContentResponse``: Gemini counts the request's tokens, Vertex AI each text's."""
    try:
        # 2.0 has no such field; both counts may be missing.
        _sum(call, c.INPUT_TOKENS, getattr(answer, "usage_metadata", None), "prompt_token_count")
        counts = [
            one.statistics.token_count
            for one in answer.embeddings or ()
            if one.statistics is not None and one.statistics.token_count is not None
        ]
        if counts:
            call.note(c.INPUT_TOKENS, int(sum(counts)))
    except Exception as error:
        internal_error("clients.google_genai", error)
    _recovered(call)
    call.done()


def _chunk(answer: Any, call: Call) -> None:
    """One of the ``GenerateContentResponse`` of a stream; the last one counts the output."""
    _read_answer(answer, call)
    if c.TIME_TO_FIRST_CHUNK not in call.span.attributes and _has_content(answer):
        call.first_content()
        _recovered(call)
    if c.FINISH_REASONS in call.span.attributes:
        call.complete = True
        _count_output(answer.usage_metadata, call)


def _recovered(call: Call) -> None:
    recorder = lifecycle.recorder
    if recorder is not None:
        recovered(recorder, call.span)


def _read_answer(answer: Any, call: Call) -> None:
    if answer.response_id:
        call.note(c.RESPONSE_ID, str(answer.response_id))
    if answer.model_version:
        call.note(c.RESPONSE_MODEL, str(answer.model_version))
    reasons = [one.finish_reason for one in answer.candidates or () if one.finish_reason]
    if not reasons and answer.prompt_feedback and answer.prompt_feedback.block_reason:
        reasons = [answer.prompt_feedback.block_reason]  # no candidate, and no more to come
    if reasons:
        call.note(c.FINISH_REASONS, [str(getattr(one, "value", one)) for one in reasons])
    usage = answer.usage_metadata
    _sum(call, c.INPUT_TOKENS, usage, *_INPUT)
    _sum(call, c.CACHE_READ_TOKENS, usage, "cached_content_token_count")


def _count_output(usage: Any, call: Call) -> None:
    """Google counts thoughts apart from the answer; the conventions' output includes them.

    Its documents say so, and some of its answers were seen to include them all the same: then the
    total is the sum without them.
    """
    _sum(call, c.REASONING_TOKENS, usage, "thoughts_token_count")
    answer = _known(usage, "candidates_token_count")
    total = _known(usage, "total_token_count")
    if total and answer and total[0] == sum(_known(usage, *_INPUT) + answer):
        _sum(call, c.OUTPUT_TOKENS, usage, "candidates_token_count")
    else:
        _sum(call, c.OUTPUT_TOKENS, usage, "candidates_token_count", "thoughts_token_count")


def _sum(call: Call, key: str, usage: Any, *names: str) -> None:
    known = _known(usage, *names)
    if known:
        call.span.attributes[key] = sum(known)


def _known(usage: Any, *names: str) -> list[int]:
    counts = [token_count(getattr(usage, name, None)) for name in names]
    return [count for count in counts if count is not None]


def _has_content(answer: Any) -> bool:
    """Whether a chunk brings something to show or do: not a thought."""
    for candidate in answer.candidates or ():
        for part in (candidate.content.parts if candidate.content else None) or ():
            if not part.thought and any(getattr(part, name, None) for name in _PARTS):
                return True
    return False
