"""anthropic: one inference span a call of a model, streamed or not, synchronous or asynchronous.

Patched is ``request`` of the two base clients. Every way to ask a model runs through it, once for
a call with all its retries: ``messages.create``, ``.stream()`` and ``.parse``, ``beta.messages``
and its tool runner, raw and streaming responses, the Bedrock and Vertex clients. The methods of
``Messages`` themselves are copied into other classes, and ``.stream()`` goes around ``create``.

From version 2 on, the library traces itself wherever a tracer provider is set. While we record a
call it does not: one call is one inference span, and its attempts lie below ours. Its other calls
(token counting, files) keep their spans, and so do all calls when nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agentscope import conventions as c
from agentscope.clients.anthropic_answers import Messages
from agentscope.clients.calls import async_hook, sync_hook
from agentscope.clients.inference import Call, begin
from agentscope.clients.patches import Patches
from agentscope.clients.stainless import answered_for
from agentscope.recording.context import attached_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue, Role

ANTHROPIC = "anthropic"
_PATHS = frozenset({"/v1/messages", "/v1/messages?beta=true"})
_PLATFORMS = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}
"""Packages below ``anthropic.lib`` whose clients speak to somebody else."""

_OWN_TRACING = "start_api_call_span"


def patch(module: Any, patches: Patches) -> None:
    """Hook ``anthropic._base_client``."""
    answered = answered_for(Messages())
    for client in _with_request(module.SyncAPIClient):
        patches.wrap(client, "request", sync_hook(_begin, answered))
    for client in _with_request(module.AsyncAPIClient):
        patches.wrap(client, "request", async_hook(_begin, answered))
    if hasattr(module, _OWN_TRACING):
        patches.wrap(module, _OWN_TRACING, _start_own_span)


def _with_request(client: Any) -> Iterator[Any]:
    """The class and those below it that have a ``request`` of their own.

    Logfire gives ``Anthropic`` one, around the inherited one as it was then: it goes past ours. Of
    a class that calls ours in turn, the call is still one: the inner one is the outer one's.
    """
    if "request" in vars(client):
        yield client
    for below in client.__subclasses__():
        yield from _with_request(below)


def _begin(
    recorder: Recorder, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    try:
        options = args[1] if len(args) > 1 else kwargs["options"]
        if not _asks_a_model(options):
            return None
        body = options.json_data
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: "chat",
            c.PROVIDER_NAME: _provider(type(client)),
        }
        name = "chat"
        model = body.get("model")
        if isinstance(model, str):
            attributes[c.REQUEST_MODEL] = model = model[:MAX_VALUE_LENGTH]
            name = f"chat {model}"
        if kwargs.get("stream"):
            attributes[c.REQUEST_STREAM] = True
        max_tokens = body.get("max_tokens")
        if isinstance(max_tokens, int):
            attributes[c.REQUEST_MAX_TOKENS] = max_tokens
        return begin(recorder, name, attributes)
    except Exception as error:
        internal_error("clients.anthropic", error)
        return None


def _asks_a_model(options: Any) -> bool:
    return options.url in _PATHS and isinstance(options.json_data, dict)


def _provider(client: type) -> str:
    for cls in client.__mro__:
        package = cls.__module__.split(".")
        if package[:2] == ["anthropic", "lib"] and len(package) > 2:
            return _PLATFORMS.get(package[2], ANTHROPIC)
    return ANTHROPIC


def _start_own_span(
    wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The library's own span, or None where ours stands for the call."""
    try:
        current = attached_span()
        if current is not None and current.role is Role.INFERENCE and not current.end_ns:
            options = args[2] if len(args) > 2 else kwargs["options"]
            if _asks_a_model(options):
                return None
    except Exception as error:
        internal_error("clients.anthropic", error)
    return wrapped(*args, **kwargs)
