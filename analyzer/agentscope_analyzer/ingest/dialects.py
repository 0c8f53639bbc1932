"""Which attributes fill which typed column, for every instrumentation that we read.

Read here: our own vocabulary, OpenTelemetry's semantic conventions in their present and older
spellings (https://opentelemetry.io/docs/specs/semconv/registry/attributes/), OpenLLMetry
(https://github.com/traceloop/openllmetry, package opentelemetry-semantic-conventions-ai) and
OpenInference (https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md),
LangSmith (https://docs.smith.langchain.com, its OpenTelemetry exporter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentscope import conventions as c

__all__ = ["RESOURCE_COLUMNS", "SPAN_COLUMNS", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """An attribute that a column may be read from.

    With ``values``, each value is translated and one that is not listed counts as absent;
    with ``bare_path``, the query and the fragment of a URL are cut off.
    """

    attribute: str
    values: Mapping[str, str] | None = None
    bare_path: bool = False


def _first_of(*sources: str | Source) -> tuple[Source, ...]:
    return tuple(Source(source) if isinstance(source, str) else source for source in sources)


_OPENINFERENCE_KINDS: Final = {
    "LLM": "chat",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
}
_LANGSMITH_KINDS: Final = {
    # Beside this LangSmith's exporter names an operation, which takes prompt templates for chats and
    # retrievers for embeddings: so its own word comes first.
    "llm": "chat",
    "tool": "execute_tool",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "chain": "chain",
    "prompt": "prompt",
    "parser": "parser",
}
_TRACELOOP_KINDS: Final = {"agent": "invoke_agent", "tool": "execute_tool"}
_BILLING_CODES: Final = {code: code for code in sorted(c.BILLING_ERROR_CODES)}
_LLM_REQUEST_TYPES: Final = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
}

SPAN_COLUMNS: Final[dict[str, tuple[Source, ...]]] = {
    "is_turn": _first_of(c.TURN),
    "session": _first_of(
        c.CONVERSATION_ID, "session.id", "traceloop.association.properties.session_id"
    ),
    "outcome": _first_of(c.OUTCOME),
    "phase": _first_of(c.PHASE),
    "operation": _first_of(
        Source("langsmith.span.kind", _LANGSMITH_KINDS),
        c.OPERATION_NAME,
        Source("llm.request.type", _LLM_REQUEST_TYPES),
        Source("traceloop.span.kind", _TRACELOOP_KINDS),
        Source("openinference.span.kind", _OPENINFERENCE_KINDS),
    ),
    "provider": _first_of(
        c.PROVIDER_NAME, "gen_ai.system", "llm.provider", "llm.system", "llm.vendor"
    ),
    "model": _first_of(
        c.RESPONSE_MODEL,
        "llm.response.model",
        c.REQUEST_MODEL,
        "llm.request.model",
        "llm.model_name",
        "embedding.model_name",
    ),
    "asked_model": _first_of(c.REQUEST_MODEL),
    "response_id": _first_of(c.RESPONSE_ID),
    "streamed": _first_of(c.REQUEST_STREAM, "gen_ai.is_streaming", "llm.is_streaming"),
    "first_chunk_s": _first_of(c.TIME_TO_FIRST_CHUNK),
    "input_tokens": _first_of(
        c.INPUT_TOKENS,
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "output_tokens": _first_of(
        c.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "cache_read_tokens": _first_of(
        c.CACHE_READ_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": _first_of(
        c.CACHE_WRITE_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": _first_of(
        c.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "http_method": _first_of(c.HTTP_REQUEST_METHOD, "http.method"),
    "http_route": _first_of(
        c.HTTP_ROUTE,
        "url.template",
        Source("http.target", bare_path=True),
        Source("url.path", bare_path=True),
    ),
    "http_status": _first_of(c.HTTP_STATUS_CODE, "http.status_code"),
    "resend_count": _first_of(c.HTTP_RESEND_COUNT, "http.resend_count"),
    "server_address": _first_of(c.SERVER_ADDRESS),
    "server_port": _first_of(c.SERVER_PORT),
    "error_type": _first_of(c.ERROR_TYPE, "exception.type"),
    "billing_code": _first_of(
        Source(c.LLM_ERROR_CODE, _BILLING_CODES), Source(c.ERROR_TYPE, _BILLING_CODES)
    ),
    "wait_kind": _first_of(c.WAIT_KIND),
    "wait_resource": _first_of(c.WAIT_RESOURCE),
    "db_system": _first_of(c.DB_SYSTEM, "db.system"),
    "db_summary": _first_of(c.DB_QUERY_SUMMARY, c.DB_OPERATION, "db.operation"),
    "db_pool": _first_of(c.DB_POOL_NAME, "pool.name"),
    "tool": _first_of(c.TOOL_NAME, "tool.name"),
    "runtime_event": _first_of(c.RUNTIME_EVENT),
    "first_byte_s": _first_of(c.TIME_TO_FIRST_BYTE),
    "send_wait_s": _first_of(c.SEND_WAIT),
    "code_function": _first_of(c.CODE_FUNCTION, "code.function"),
    "code_file": _first_of(c.CODE_FILE, "code.filepath"),
    "code_line": _first_of(c.CODE_LINE, "code.lineno"),
}
"""Columns of ``spans``, each with the span attributes it is read from: the first that is there."""

RESOURCE_COLUMNS: Final[dict[str, tuple[Source, ...]]] = {
    "service": _first_of(c.SERVICE_NAME),
    # Without service.instance.id the closest thing to "one process" is a container or a host.
    "instance": _first_of(c.SERVICE_INSTANCE_ID, "container.id", "k8s.pod.name", c.HOST_NAME),
}
"""Columns that are read from the attributes of the resource."""
