"""The canonical tables: every column's name, type and meaning, spelled once.

Ingest fills them, everything after it reads them. Types are DuckDB's; every instant is integer
nanoseconds since 1970, every duration is seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

__all__ = [
    "LOAD",
    "LOAD_HISTORY",
    "LOAD_TOTALS",
    "METRICS",
    "SPANS",
    "TABLES",
    "Column",
    "Table",
    "arrow_type",
]

SCHEMA_VERSION: Final = 4
"""Raised whenever the same file would give other rows: older Parquet caches are then rebuilt."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a canonical table."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """A canonical table."""

    name: str
    doc: str
    columns: tuple[Column, ...]

    @property
    def ddl(self) -> str:
        """The statement that makes the table."""
        columns = ", ".join(f'"{column.name}" {column.type}' for column in self.columns)
        return f'CREATE TABLE "{self.name}" ({columns})'

    @property
    def arrow(self) -> pa.Schema:
        """The table's schema in Arrow."""
        return pa.schema([(column.name, arrow_type(column.type)) for column in self.columns])


SPANS: Final = Table(
    "spans",
    "one row a span; columns after attrs are read from attributes and NULL where absent",
    (
        Column("trace_id", "VARCHAR", "32 lower-case hex digits"),
        Column("span_id", "VARCHAR", "16 lower-case hex digits; unique within its trace"),
        Column("parent_id", "VARCHAR", "span_id of the parent, '' at roots"),
        Column("name", "VARCHAR", "the span's name"),
        Column("kind", "VARCHAR", "INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER"),
        Column("start_ns", "BIGINT", "start"),
        Column("end_ns", "BIGINT", "end, never before start_ns"),
        Column("status", "VARCHAR", "UNSET, OK or ERROR"),
        Column("service", "VARCHAR", "service.name of the resource, '' where unknown"),
        Column("instance", "VARCHAR", "the process: spans that share it share one event loop"),
        Column("scope", "VARCHAR", "instrumentation scope, '' where unknown"),
        Column("attrs", "MAP(VARCHAR, VARCHAR)", "all attributes as text; lists as JSON"),
        Column("is_turn", "BOOLEAN", "marked as a turn; NULL where the recorder did not say"),
        Column("session", "VARCHAR", "the conversation"),
        Column("outcome", "VARCHAR", "ok, error, cancelled, abandoned or open"),
        Column("phase", "VARCHAR", "context_load, llm_call, tool_execution or the user's own"),
        Column("operation", "VARCHAR", "chat, embeddings, execute_tool, invoke_agent, …"),
        Column("provider", "VARCHAR", "openai, anthropic, …"),
        Column("model", "VARCHAR", "model that answered, else the model asked for"),
        Column("asked_model", "VARCHAR", "model asked for, as OpenTelemetry spells it"),
        Column("response_id", "VARCHAR", "the provider's id of the answer"),
        Column("streamed", "BOOLEAN", "the answer was streamed"),
        Column("first_chunk_s", "DOUBLE", "from the span's start to the first chunk"),
        Column("input_tokens", "BIGINT", "input tokens, cached included"),
        Column("output_tokens", "BIGINT", "output tokens, reasoning included"),
        Column("cache_read_tokens", "BIGINT", "input tokens read from the provider's cache"),
        Column("cache_write_tokens", "BIGINT", "input tokens written to the provider's cache"),
        Column("reasoning_tokens", "BIGINT", "output tokens spent on reasoning"),
        Column("http_method", "VARCHAR", "HTTP method"),
        Column("http_route", "VARCHAR", "route template; the bare path in old traces without one"),
        Column("http_status", "INTEGER", "HTTP status of the answer"),
        Column("resend_count", "INTEGER", "0 for a request's first attempt, 1 for its first retry"),
        Column("server_address", "VARCHAR", "host that was called"),
        Column("server_port", "INTEGER", "port that was called"),
        Column("error_type", "VARCHAR", "exception class or status of a failure"),
        Column("billing_code", "VARCHAR", "why a provider refused for money; NULL for all else"),
        Column("wait_kind", "VARCHAR", "what was waited for"),
        Column("wait_resource", "VARCHAR", "name of the pool or lock that was waited for"),
        Column("db_system", "VARCHAR", "postgresql, sqlite, redis, …"),
        Column("db_summary", "VARCHAR", "operation and table, no values"),
        Column("db_pool", "VARCHAR", "connection pool"),
        Column("tool", "VARCHAR", "the tool's name"),
        Column(
            "runtime_event", "VARCHAR", "loop_blocked, gc_pause, connection_held, cpu_throttled"
        ),
        Column("first_byte_s", "DOUBLE", "from the span's start to the answer's first byte"),
        Column("send_wait_s", "DOUBLE", "time spent awaiting send()"),
        Column("code_function", "VARCHAR", "function that blocked, waited or held"),
        Column("code_file", "VARCHAR", "its file"),
        Column("code_line", "INTEGER", "its line"),
    ),
)

METRICS: Final = Table(
    "metrics",
    "one row a metric point",
    (
        Column("name", "VARCHAR", "OpenTelemetry name"),
        Column("instance", "VARCHAR", "the process, '' where unknown"),
        Column("time_ns", "BIGINT", "when it was measured"),
        Column("start_ns", "BIGINT", "since when it was summed up, NULL where not said"),
        Column("kind", "VARCHAR", "gauge, sum or histogram"),
        Column("temporality", "VARCHAR", "delta or cumulative, NULL for gauges"),
        Column("unit", "VARCHAR", "UCUM unit, '' where unknown"),
        Column("attrs", "MAP(VARCHAR, VARCHAR)", "attributes of the point as text"),
        Column("value", "DOUBLE", "gauge, sum"),
        Column("count", "BIGINT", "histogram: observations"),
        Column("total", "DOUBLE", "histogram: their sum"),
        Column("bounds", "DOUBLE[]", "histogram: upper bounds of all buckets but the last"),
        Column("bucket_counts", "BIGINT[]", "histogram: observations of each bucket"),
    ),
)

LOAD: Final = Table(
    "load",
    "one row a request of the load generator",
    (
        Column("t_intended", "DOUBLE", "when the request was due, epoch seconds"),
        Column("t_start", "DOUBLE", "when it was sent, epoch seconds"),
        Column("duration_s", "DOUBLE", "from sent to answered"),
        Column("first_byte_s", "DOUBLE", "from sent to the answer's first byte"),
        Column("name", "VARCHAR", "the request, as the load script calls it"),
        Column("session", "VARCHAR", "the conversation"),
        Column("turn", "INTEGER", "number of the turn within its session"),
        Column("status", "INTEGER", "HTTP status, NULL where no answer came"),
        Column("error", "VARCHAR", "what went wrong, NULL where nothing did"),
        Column("bytes", "BIGINT", "size of the answer"),
        Column("trace_id", "VARCHAR", "trace sent in traceparent, NULL where none was"),
        Column("user", "VARCHAR", "the simulated user"),
        Column("stage", "VARCHAR", "the load stage"),
        Column("file", "VARCHAR", "name of the file that the line stood in"),
    ),
)

LOAD_HISTORY: Final = Table(
    "load_history",
    "one row a second and request name, as another load generator summed it up",
    (
        Column("at_s", "DOUBLE", "when it was written, epoch seconds"),
        Column("users", "INTEGER", "simulated users at that moment, NULL where not said"),
        Column("name", "VARCHAR", "the request, '' for all of them"),
        Column("per_second", "DOUBLE", "requests a second lately, NULL where not said"),
        Column("failed_per_second", "DOUBLE", "of these, failed ones"),
        Column("p50_s", "DOUBLE", "median answer time lately, NULL where there was none"),
        Column("p95_s", "DOUBLE", "95th percentile of it"),
        Column("requests", "BIGINT", "requests since the start, NULL where not said"),
        Column("failures", "BIGINT", "of these, failed ones"),
        Column("dropped", "BIGINT", "turns that were due and never sent, since the row before"),
        Column("generator", "VARCHAR", "locust or k6"),
        Column("file", "VARCHAR", "name of the file that the row stood in"),
    ),
)

LOAD_TOTALS: Final = Table(
    "load_totals",
    "one row a request name, or a kind of failure of one, over the whole run of a load generator",
    (
        Column("name", "VARCHAR", "the request, '' for all of them"),
        Column("error", "VARCHAR", "the failure that is counted, NULL where all requests are"),
        Column("requests", "BIGINT", "requests, NULL in rows of failures"),
        Column("failures", "BIGINT", "of these, failed ones"),
        Column("p50_s", "DOUBLE", "median answer time"),
        Column("p95_s", "DOUBLE", "95th percentile of it"),
        Column("per_second", "DOUBLE", "requests a second"),
        Column("dropped", "BIGINT", "turns that were due and never sent, NULL where not said"),
        Column("generator", "VARCHAR", "locust or k6"),
        Column("file", "VARCHAR", "name of the file that the row stood in"),
    ),
)

TABLES: Final[dict[str, Table]] = {
    table.name: table for table in (SPANS, METRICS, LOAD, LOAD_HISTORY, LOAD_TOTALS)
}
"""Every canonical table, by name."""

_ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DOUBLE": pa.float64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
}


def arrow_type(type_name: str) -> pa.DataType:
    """The Arrow type of a DuckDB type; raises KeyError for types that no table here uses."""
    if type_name.endswith("[]"):
        return pa.list_(arrow_type(type_name[:-2]))
    if type_name.startswith("MAP(") and type_name.endswith(")"):
        key, _, value = type_name[4:-1].partition(", ")
        return pa.map_(arrow_type(key), arrow_type(value))
    return _ARROW_TYPES[type_name]
