"""Spans of other instrumentations fill the same typed columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.engine import TABLES
from agentscope_analyzer.ingest import open_run
from agentscope_analyzer.ingest.dialects import RESOURCE_COLUMNS, SPAN_COLUMNS

DIALECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ours, a turn": (
        {
            "agentscope.turn": True,
            "agentscope.outcome": "ok",
            "gen_ai.conversation.id": "s1",
            "http.request.method": "POST",
            "http.route": "/chat",
            "http.response.status_code": 200,
            "agentscope.response.time_to_first_byte": 0.25,
            "agentscope.response.send_wait": 1,
        },
        {
            "is_turn": True,
            "outcome": "ok",
            "session": "s1",
            "http_method": "POST",
            "http_route": "/chat",
            "http_status": 200,
            "first_byte_s": 0.25,
            "send_wait_s": 1.0,
        },
    ),
    "ours, an inference": (
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": 0.5,
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 3,
            "server.address": "api.openai.com",
            "server.port": 443,
        },
        {
            "operation": "chat",
            "provider": "openai",
            "model": "gpt-4o-2024-08-06",
            "asked_model": "gpt-4o",
            "response_id": "chatcmpl-1",
            "server_address": "api.openai.com",
            "server_port": 443,
            "streamed": True,
            "first_chunk_s": 0.5,
            "input_tokens": 12,
            "output_tokens": 3,
        },
    ),
    "ours, the rest": (
        {
            "agentscope.phase": "context_load",
            "agentscope.wait.kind": "db.pool",
            "agentscope.wait.resource": "main",
            "agentscope.runtime.event": "loop_blocked",
            "code.function.name": "f",
            "code.file.path": "a.py",
            "code.line.number": 7,
            "db.system.name": "postgresql",
            "db.query.summary": "SELECT orders",
            "db.client.connection.pool.name": "main",
            "gen_ai.tool.name": "lookup",
            "error.type": "429",
            "http.request.resend_count": 1,
        },
        {
            "phase": "context_load",
            "wait_kind": "db.pool",
            "wait_resource": "main",
            "runtime_event": "loop_blocked",
            "code_function": "f",
            "code_file": "a.py",
            "code_line": 7,
            "db_system": "postgresql",
            "db_summary": "SELECT orders",
            "db_pool": "main",
            "tool": "lookup",
            "error_type": "429",
            "resend_count": 1,
        },
    ),
    "older GenAI conventions": (
        {
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": "claude",
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 4,
        },
        {
            "provider": "anthropic",
            "model": "claude",
            "asked_model": "claude",
            "input_tokens": 9,
            "output_tokens": 4,
        },
    ),
    "OpenLLMetry": (
        {"llm.request.type": "chat", "llm.vendor": "OpenAI", "llm.is_streaming": True},
        {"operation": "chat", "provider": "OpenAI", "streamed": True},
    ),
    "OpenLLMetry, a workflow": ({"traceloop.span.kind": "workflow"}, {}),
    "OpenInference, a model": (
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4",
            "llm.token_count.prompt": 5,
            "llm.token_count.completion": 6,
            "session.id": "s2",
        },
        {
            "operation": "chat",
            "model": "gpt-4",
            "input_tokens": 5,
            "output_tokens": 6,
            "session": "s2",
        },
    ),
    "OpenInference, a tool": (
        {"openinference.span.kind": "TOOL", "tool.name": "search"},
        {"operation": "execute_tool", "tool": "search"},
    ),
    "OpenInference, an agent": (
        {"openinference.span.kind": "AGENT"},
        {"operation": "invoke_agent"},
    ),
    "OpenInference, a retriever": (
        {"openinference.span.kind": "RETRIEVER"},
        {"operation": "retrieval"},
    ),
    "OpenLLMetry, a tool of LangChain": (
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "lookup"},
        {"operation": "execute_tool"},
    ),
    "OpenLLMetry, a node": ({"traceloop.span.kind": "task", "traceloop.entity.name": "plan"}, {}),
    "LangSmith, a prompt template": (
        {"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat"},
        {"operation": "prompt"},
    ),
    "LangSmith, a retriever": (
        {"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings"},
        {"operation": "retrieval"},
    ),
    "tokens of the cache and of reasoning, ours": (
        {
            "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.cache_write.input_tokens": 3,
            "gen_ai.usage.reasoning.output_tokens": 2,
        },
        {"cache_read_tokens": 4, "cache_write_tokens": 3, "reasoning_tokens": 2},
    ),
    "tokens of the cache and of reasoning, OpenLLMetry": (
        {
            "gen_ai.usage.cache_read_input_tokens": 4,
            "gen_ai.usage.cache_creation_input_tokens": 3,
            "gen_ai.usage.reasoning_tokens": 2,
        },
        {"cache_read_tokens": 4, "cache_write_tokens": 3, "reasoning_tokens": 2},
    ),
    "tokens of the cache and of reasoning, OpenInference": (
        {
            "llm.token_count.prompt_details.cache_read": 4,
            "llm.token_count.prompt_details.cache_write": 3,
            "llm.token_count.completion_details.reasoning": 2,
        },
        {"cache_read_tokens": 4, "cache_write_tokens": 3, "reasoning_tokens": 2},
    ),
    "a refusal for billing": (
        {"error.type": "RateLimitError", "agentscope.llm.error_code": "insufficient_quota"},
        {"error_type": "RateLimitError", "billing_code": "insufficient_quota"},
    ),
    "a refusal for its rate": (
        {"error.type": "429", "agentscope.llm.error_code": "rate_limit_exceeded"},
        {"error_type": "429"},
    ),
    "OpenInference, a chain": ({"openinference.span.kind": "CHAIN"}, {}),
    "older HTTP and database conventions": (
        {
            "http.method": "GET",
            "http.status_code": 503,
            "http.target": "/items?id=7#x",
            "db.system": "redis",
            "db.operation": "GET",
            "code.function": "g",
        },
        {
            "http_method": "GET",
            "http_status": 503,
            "http_route": "/items",
            "db_system": "redis",
            "db_summary": "GET",
            "code_function": "g",
        },
    ),
    "newer before older": (
        {
            "gen_ai.usage.prompt_tokens": 1,
            "gen_ai.usage.input_tokens": 2,
            "http.target": "/a/1",
            "http.route": "/a/{id}",
        },
        {"input_tokens": 2, "http_route": "/a/{id}"},
    ),
    "numbers in other clothes": (
        {
            "http.status_code": "200",
            "gen_ai.usage.input_tokens": 7.0,
            "gen_ai.response.time_to_first_chunk": "0.5",
            "agentscope.turn": "true",
        },
        {"http_status": 200, "input_tokens": 7, "first_chunk_s": 0.5, "is_turn": True},
    ),
    "values that are none": (
        {
            "http.status_code": "many",
            "gen_ai.usage.input_tokens": 7.5,
            "code.lineno": 2**40,
            "gen_ai.response.time_to_first_chunk": "inf",
            "agentscope.turn": "perhaps",
        },
        {},
    ),
}

TYPED = list(SPAN_COLUMNS)


@pytest.mark.parametrize(("attributes", "columns"), DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_fills_the_typed_columns(
    tmp_path: Path, attributes: dict[str, Any], columns: dict[str, Any]
) -> None:
    """The columns named are read, every other one is NULL, and the map holds all as text."""
    (tmp_path / "spans.jsonl").write_text(otlp(attributes))
    with open_run(tmp_path / "spans.jsonl") as run:
        (row,) = run.engine.query("SELECT * FROM spans")
        assert run.rejected == {}
    assert {name: row[name] for name in TYPED if row[name] is not None} == columns
    assert row["attrs"].keys() == attributes.keys()


@pytest.mark.parametrize(
    ("resource", "instance"),
    [
        ({"service.instance.id": "i-1", "host.name": "h"}, "i-1"),
        ({"k8s.pod.name": "pod-7", "host.name": "h"}, "pod-7"),
        ({"host.name": "h"}, "h"),
        ({}, ""),
    ],
)
def test_the_instance_is_the_closest_thing_to_a_process(
    tmp_path: Path, resource: dict[str, Any], instance: str
) -> None:
    """Spans that share it are taken to share an event loop, so a process comes before a host."""
    (tmp_path / "spans.jsonl").write_text(otlp({}, resource | {"service.name": "agent"}))
    with open_run(tmp_path / "spans.jsonl") as run:
        assert run.engine.rows("SELECT service, instance FROM spans") == [("agent", instance)]


def test_the_dialects_name_the_columns_after_attrs() -> None:
    """Every typed column has its sources, and there is no source without a column."""
    names = [column.name for column in TABLES["spans"].columns]
    assert list(SPAN_COLUMNS) == names[names.index("attrs") + 1 :]
    assert set(RESOURCE_COLUMNS) <= set(names)


def otlp(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> str:
    span = {
        "traceId": f"{1:032x}",
        "spanId": f"{1:016x}",
        "startTimeUnixNano": 1,
        "endTimeUnixNano": 2,
        "attributes": pairs(attributes),
    }
    batch = {"resource": {"attributes": pairs(resource or {})}, "scopeSpans": [{"spans": [span]}]}
    return json.dumps({"resourceSpans": [batch]}) + "\n"


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    names = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [{"key": k, "value": {names[type(v)]: v}} for k, v in attributes.items()]
