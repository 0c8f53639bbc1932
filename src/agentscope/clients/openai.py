"""openai: one inference span a call, streamed or not, synchronous or asynchronous.

Patched are the methods that make the request (``chat.completions.create`` and ``.parse``,
``embeddings.create``, ``responses.create`` and ``.parse``), so frameworks that call them are
covered, and with them ``.stream()``, ``with_raw_response`` and ``with_streaming_response``, which
are built on them. The inference is current while the method runs, so the HTTP layer's attempts lie
below it. A stream is read later, in whatever context: there, objects refer to each other instead.
"""

from __future__ import annotations

from typing import Any

from agentscope import conventions as c
from agentscope.clients.calls import Begin, async_hook, sync_hook
from agentscope.clients.hosts import provider_at
from agentscope.clients.inference import Call, begin
from agentscope.clients.openai_answers import Chat, Dialect, Embeddings, Responses
from agentscope.clients.patches import Patches
from agentscope.clients.stainless import answered_for
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import MAX_VALUE_LENGTH, AttributeValue

OPENAI = "openai"


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


def _wrap_both(
    patches: Patches, sync: Any, asynchronous: Any, names: tuple[str, ...], dialect: Dialect
) -> None:
    begin_call, answered = _begin_as(dialect), answered_for(dialect)
    for name in names:
        patches.wrap(sync, name, sync_hook(begin_call, answered))
        patches.wrap(asynchronous, name, async_hook(begin_call, answered))


def _begin_as(dialect: Dialect) -> Begin:
    def begin_call(
        recorder: Recorder, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        return _begin(recorder, dialect, resource, kwargs)

    return begin_call


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
    client = resource._client
    # The property imports a module at every look, which takes longer than the rest of this.
    url = getattr(client, "_base_url", None) or client.base_url
    return provider_at(url.host, OPENAI)
