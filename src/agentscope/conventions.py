"""The vocabulary: every span attribute, metric, wait and cause, spelled once.

The recorder writes these names, the analyzer reads them, dashboards plot them. OpenTelemetry's
semantic conventions are used wherever they have a name (general conventions 1.44, GenAI
conventions of open-telemetry/semantic-conventions-genai after its pull requests 374 and 521);
``agentscope.*`` stands only where they have none. The GenAI constants of OpenTelemetry's Python
package are all marked deprecated, so the literals are spelled here and imported from nowhere.

This module imports nothing of ours: the analyzer and the dashboards may depend on it without
depending on the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

RUN_SCHEMA: Final = "agentscope.run/1"
"""Schema of ``manifest.json``."""

REPORT_SCHEMA: Final = "agentscope.report/1"
"""Schema of the report that ``agentscope analyze --json`` prints."""

LAYERS_SCHEMA: Final = "agentscope.layers/1"
"""Schema of what ``agentscope analyze --layers --json`` prints."""


# --- attributes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribute:
    """A span or resource attribute: its name, the Python type of its value, what it says."""

    name: str
    kind: type
    doc: str


ATTRIBUTES: Final[dict[str, Attribute]] = {}
"""Every attribute that we write or read, by name."""


def _attribute(name: str, kind: type, doc: str) -> str:
    # A plain str is returned, not the record: these are dictionary keys on the hot path.
    ATTRIBUTES[name] = Attribute(name, kind, doc)
    return name


SERVICE_NAME: Final = _attribute("service.name", str, "the service, as its team calls it")
SERVICE_INSTANCE_ID: Final = _attribute(
    "service.instance.id", str, "one process on one boot: spans that share it share one event loop"
)
PROCESS_PID: Final = _attribute("process.pid", int, "process id")
HOST_NAME: Final = _attribute("host.name", str, "the host's name")
CONTAINER_ID: Final = _attribute("container.id", str, "the container that the process runs in")
SDK_NAME: Final = _attribute("telemetry.sdk.name", str, "what recorded the span")
SDK_LANGUAGE: Final = _attribute("telemetry.sdk.language", str, "always python for ours")
SDK_VERSION: Final = _attribute("telemetry.sdk.version", str, "version of what recorded the span")

HTTP_REQUEST_METHOD: Final = _attribute("http.request.method", str, "HTTP method, upper case")
HTTP_ROUTE: Final = _attribute("http.route", str, "route template, never the raw path")
HTTP_STATUS_CODE: Final = _attribute("http.response.status_code", int, "HTTP status of the answer")
HTTP_RESEND_COUNT: Final = _attribute(
    "http.request.resend_count", int, "0 for the first attempt of a request, 1 for its first retry"
)
HTTP_RESPONSE_HEADER: Final = "http.response.header."
"""Prefix: the response header's lower-case name follows; the value is a list of strings."""
URL_SCHEME: Final = _attribute("url.scheme", str, "http or https")
SERVER_ADDRESS: Final = _attribute("server.address", str, "host that was called")
SERVER_PORT: Final = _attribute("server.port", int, "port that was called")
ERROR_TYPE: Final = _attribute("error.type", str, "exception class or status code of a failure")
CODE_FUNCTION: Final = _attribute("code.function.name", str, "function that blocks or waits")
CODE_FILE: Final = _attribute("code.file.path", str, "file of the function that blocks or waits")
CODE_LINE: Final = _attribute("code.line.number", int, "line that blocks or waits")
CODE_CALLEE: Final = _attribute(
    "agentscope.code.callee", str, "what a blocking frame was calling, where that is Python too"
)
CODE_SHARE: Final = _attribute(
    "agentscope.code.share", float, "share of a block's sampled time spent in that function"
)

CONVERSATION_ID: Final = _attribute("gen_ai.conversation.id", str, "the session; never invented")
OPERATION_NAME: Final = _attribute(
    "gen_ai.operation.name", str, "chat, embeddings, execute_tool, invoke_agent, …"
)
PROVIDER_NAME: Final = _attribute("gen_ai.provider.name", str, "openai, anthropic, …")
REQUEST_MODEL: Final = _attribute("gen_ai.request.model", str, "model asked for")
RESPONSE_MODEL: Final = _attribute("gen_ai.response.model", str, "model that answered")
REQUEST_STREAM: Final = _attribute("gen_ai.request.stream", bool, "the answer was streamed")
REQUEST_MAX_TOKENS: Final = _attribute("gen_ai.request.max_tokens", int, "output limit asked for")
FINISH_REASONS: Final = _attribute("gen_ai.response.finish_reasons", list, "stop, tool_calls, …")
RESPONSE_ID: Final = _attribute("gen_ai.response.id", str, "the provider's id of the answer")
INPUT_TOKENS: Final = _attribute("gen_ai.usage.input_tokens", int, "input tokens, cached included")
OUTPUT_TOKENS: Final = _attribute(
    "gen_ai.usage.output_tokens", int, "output tokens, reasoning included"
)
CACHE_READ_TOKENS: Final = _attribute(
    "gen_ai.usage.cache_read.input_tokens", int, "input tokens read from the provider's cache"
)
CACHE_WRITE_TOKENS: Final = _attribute(
    "gen_ai.usage.cache_write.input_tokens", int, "input tokens written to the provider's cache"
)
CACHE_WRITE_1H_TOKENS: Final = _attribute(
    "agentscope.llm.cache_write_1h.input_tokens", int,
    "of the tokens written to the cache, those to be kept for an hour: they cost more",
)  # fmt: skip
REASONING_TOKENS: Final = _attribute(
    "gen_ai.usage.reasoning.output_tokens", int, "output tokens spent on reasoning"
)
TIME_TO_FIRST_CHUNK: Final = _attribute(
    "gen_ai.response.time_to_first_chunk", float, "seconds from the request to the first content"
)
LONGEST_CHUNK_GAP: Final = _attribute(
    "agentscope.llm.longest_chunk_gap", float,
    "seconds of the longest gap between two chunks of a streamed answer, as its reader saw it",
)  # fmt: skip
TOOL_NAME: Final = _attribute("gen_ai.tool.name", str, "the tool's name")
TOOL_CALL_ID: Final = _attribute("gen_ai.tool.call.id", str, "id the model gave the tool call")
AGENT_NAME: Final = _attribute("gen_ai.agent.name", str, "the agent's name")

DB_SYSTEM: Final = _attribute("db.system.name", str, "postgresql, sqlite, redis, …")
DB_OPERATION: Final = _attribute("db.operation.name", str, "SELECT, INSERT, …")
DB_COLLECTION: Final = _attribute("db.collection.name", str, "main table of the statement")
DB_QUERY_SUMMARY: Final = _attribute("db.query.summary", str, "operation and table, no values")
DB_POOL_NAME: Final = _attribute("db.client.connection.pool.name", str, "the connection pool")
DB_STATUS_CODE: Final = _attribute(
    "db.response.status_code", str, "the database's own code of a failure: 40001, SQLITE_BUSY, …"
)
DB_BATCH_SIZE: Final = _attribute(
    "db.operation.batch.size", int, "statements or rows of parameters sent at once"
)
DB_BUSY: Final = _attribute(
    "agentscope.db.connection.busy", float,
    "seconds of a held connection's time in which it was at work on statements",
)  # fmt: skip

TURN: Final = _attribute("agentscope.turn", bool, "true on the span that is one turn of a session")
OUTCOME: Final = _attribute(
    "agentscope.outcome", str, "how a turn or inference ended: see ``Outcome``"
)
PHASE: Final = _attribute(
    "agentscope.phase", str, "context_load, llm_call, tool_execution or a name the user gives"
)
TIME_TO_FIRST_BYTE: Final = _attribute(
    "agentscope.response.time_to_first_byte", float, "seconds from the request to the first byte"
)
SEND_WAIT: Final = _attribute(
    "agentscope.response.send_wait", float, "seconds spent awaiting send(): the caller reads slowly"
)
SERVER_PROCESSING: Final = _attribute(
    "agentscope.llm.server_processing", float, "seconds the provider says it worked"
)
LLM_ERROR_CODE: Final = _attribute(
    "agentscope.llm.error_code", str,
    "the provider's own word for why a call failed: rate_limit_exceeded, insufficient_quota, …",
)  # fmt: skip
WAIT_KIND: Final = _attribute("agentscope.wait.kind", str, "what was waited for: see ``Wait``")
WAIT_RESOURCE: Final = _attribute(
    "agentscope.wait.resource", str, "name of the pool; of a lock, the line that waits for it"
)
RUNTIME_EVENT: Final = _attribute(
    "agentscope.runtime.event", str, "what is no turn's work: see ``RuntimeEvent``"
)
START_UNCERTAINTY: Final = _attribute(
    "agentscope.runtime.start_uncertainty", float,
    "seconds by which an event's start may be wrong; absent where the start was seen",
)  # fmt: skip
PROCESSOR_WAIT: Final = _attribute(
    "agentscope.runtime.processor_wait", float,
    "seconds of a block for which the loop was ready to run and the machine had no processor free",
)  # fmt: skip
GC_GENERATION: Final = _attribute("agentscope.gc.generation", int, "generation that was collected")
TRUNCATED: Final = _attribute("agentscope.truncated", bool, "an attribute of the span was cut")


class Phase(StrEnum):
    """The phases of a turn that every agent has; users add names of their own."""

    CONTEXT_LOAD = "context_load"
    LLM_CALL = "llm_call"
    TOOL_EXECUTION = "tool_execution"
    BACKGROUND = "background"
    """What a request leaves running after its answer's last byte: beside the turn, not in it."""


class Outcome(StrEnum):
    """How a turn or an inference ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    """A stream that nobody read to its end."""
    OPEN = "open"
    """Still running when the process shut down: written then, ended at that moment."""


class Wait(StrEnum):
    """What a ``wait`` span waited for. Written when the wait lasted a millisecond or more."""

    HTTP_POOL = "http.pool"
    HTTP_CONNECT = "http.connect"
    DB_POOL = "db.pool"
    RATE_LIMIT = "rate_limit"
    """Sleeping before a retry after status 429 or 529."""
    RETRY_BACKOFF = "retry_backoff"
    """Sleeping before a retry after any other failure."""
    THREADPOOL = "threadpool"
    LOCK = "lock"


class RuntimeEvent(StrEnum):
    """Evidence beside the work of turns, no part of it: what stood still, or what was occupied."""

    LOOP_BLOCKED = "loop_blocked"
    GC_PAUSE = "gc_pause"
    CONNECTION_HELD = "connection_held"
    """A pooled connection, from getting it to giving it back. In the trace of who took it; where a
    call of a model in the same turn overlaps it, the connection was pinned for so long."""
    CPU_THROTTLED = "cpu_throttled"
    """The container had used up its CPU quota: the kernel ran none of its threads."""


RUNTIME_SPAN_NAMES: Final[dict[RuntimeEvent, str]] = {
    RuntimeEvent.LOOP_BLOCKED: "event_loop.blocked",
    RuntimeEvent.GC_PAUSE: "gc.pause",
    RuntimeEvent.CONNECTION_HELD: "db.connection.held",
    RuntimeEvent.CPU_THROTTLED: "cpu.throttled",
}

UNKNOWN_ERROR: Final = "_OTHER"
"""What ``error.type`` says where the type is not known; the conventions' own word."""

STREAM_TRUNCATED: Final = "stream_truncated"
"""What ``error.type`` says of a stream that ended without the model's last word."""

HTTP_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
"""Methods that may name a span or label a series; what a caller invents is ``_OTHER``."""

RATE_LIMIT_STATUSES: Final = frozenset({429, 529})
"""Statuses by which a provider says "too many": 529 is Anthropic's overload."""

BILLING_ERROR_CODES: Final = frozenset(
    {
        "insufficient_quota",  # OpenAI, as a 429
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",  # Anthropic, as a 402
        "contract_spend_limit_reached",  # Anthropic, as a 429
        "enforced_spend_limit_reached",
    }
)
"""Error codes that mean money: waiting does not help, and the quota is not what binds."""

PRICED_AS: Final = {"fireworks_ai": "fireworks", "x_ai": "x-ai"}
"""What the package ``genai-prices`` calls providers that it does not know by their names here."""

MIN_WAIT_S: Final = 0.001
"""Shorter waits are not written: a span would cost more than it tells."""

MIN_IDLE_HOLD_S: Final = 0.01
"""A connection held is written as an event where it was held so long without a statement on it."""

MIN_LOOP_BLOCK_S: Final = 0.005
"""Shorter stops of the event loop are not written as events; the delay histogram has them."""


# --- causes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cause:
    """One place where a turn's wall time can go.

    ``inherent`` time is work that is there for a single user too; the rest is waiting for
    something that is used up, and grows with load.
    """

    name: str
    group: str
    inherent: bool
    doc: str


UNATTRIBUTED: Final = "unattributed"

CAUSES: Final[dict[str, Cause]] = {
    cause.name: cause
    for cause in (
        Cause("llm.first_token", "llm", True, "the model had not yet sent its first token"),
        Cause("llm.generation", "llm", True, "the model was generating"),
        Cause("llm.rate_limit", "llm", False, "the provider's quota: 429s and the waits after"),
        Cause("llm.retry", "llm", False, "attempts that failed otherwise and the waits after"),
        Cause("llm.connection", "llm", False, "waiting for a connection to the provider"),
        Cause("db.query", "database", True, "a database query was running"),
        Cause("db.pool", "database", False, "waiting for a database connection"),
        Cause("runtime.event_loop", "runtime", False, "the event loop was blocked or backed up"),
        Cause("runtime.cpu", "runtime", True, "the turn's own code was running"),
        Cause("runtime.threadpool", "runtime", False, "queued for a worker thread"),
        Cause("runtime.gc", "runtime", False, "the garbage collector had stopped the process"),
        Cause("runtime.throttled", "runtime", False, "the container's CPU quota was used up"),
        Cause("tool.execution", "tools", True, "inside a tool"),
        Cause("http.upstream", "upstream", True, "another HTTP service was called"),
        Cause("context.load", "context", True, "the conversation's context was being loaded"),
        Cause("client.send", "client", False, "the caller was reading the answer slowly"),
        Cause("wait.lock", "wait", False, "waiting for a lock or semaphore in the service"),
        Cause(UNATTRIBUTED, UNATTRIBUTED, True, "nothing recorded explains it"),
    )
}
"""Every cause, in the order in which tables print them."""

CAUSE_GROUPS: Final[tuple[str, ...]] = tuple(dict.fromkeys(c.group for c in CAUSES.values()))
"""The groups of causes, in the order in which tables print them."""


# --- metrics --------------------------------------------------------------------------------

Instrument = Literal["histogram", "gauge", "counter"]

DURATION_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""Bounds in seconds that the GenAI conventions prescribe for one operation."""

TURN_BUCKETS: Final = (
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
)  # fmt: skip
"""Bounds in seconds for a whole agent turn: HTTP's own end at 10 s, where agents begin."""

DELAY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds in seconds for waits and event-loop delays."""

SESSION_TURN_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bounds in turns of one session."""

TOKEN_BUCKETS: Final = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip
"""Bounds in tokens that the GenAI conventions prescribe."""


@dataclass(frozen=True, slots=True, eq=False)  # one record a metric: identity, hashed fast
class Metric:
    """A metric: OpenTelemetry name, instrument, UCUM unit, label names, histogram bounds."""

    name: str
    instrument: Instrument
    unit: str
    doc: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    over_workers: Literal["sum", "max", "min"] = "sum"
    """What a gauge of several processes is as one: counters and histograms always add up."""

    @property
    def prometheus_name(self) -> str:
        """The name on ``/metrics``, as OpenTelemetry's Prometheus exporter spells it."""
        name = self.name.replace(".", "_")
        suffix = {"s": "_seconds", "By": "_bytes", "USD": "_usd"}.get(self.unit, "")
        if suffix and not name.endswith(suffix):
            name += suffix
        return name + "_total" if self.instrument == "counter" else name

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """Its label names on ``/metrics``."""
        return tuple(map(prometheus_label, self.attributes))


def prometheus_label(attribute: str) -> str:
    """An attribute's name as ``/metrics`` spells it."""
    return attribute.replace(".", "_")


METRICS: Final[dict[str, Metric]] = {}
"""Every metric that we write, by its OpenTelemetry name."""


def _metric(
    name: str,
    instrument: Instrument,
    unit: str,
    doc: str,
    attributes: tuple[str, ...] = (),
    buckets: tuple[float, ...] = (),
    over_workers: Literal["sum", "max", "min"] = "sum",
) -> Metric:
    metric = Metric(name, instrument, unit, doc, attributes, buckets, over_workers)
    METRICS[name] = metric
    return metric


HTTP_SERVER_DURATION: Final = _metric(
    "http.server.request.duration", "histogram", "s", "duration of HTTP server requests",
    (HTTP_REQUEST_METHOD, HTTP_ROUTE, HTTP_STATUS_CODE), TURN_BUCKETS,
)  # fmt: skip
HTTP_SERVER_ACTIVE: Final = _metric(
    "http.server.active_requests", "gauge", "{request}", "HTTP requests in flight",
)  # fmt: skip
OPERATION_DURATION: Final = _metric(
    "gen_ai.client.operation.duration", "histogram", "s",
    "duration of a GenAI call, hidden retries included",
    (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, ERROR_TYPE), DURATION_BUCKETS,
)  # fmt: skip
OPERATION_FIRST_CHUNK: Final = _metric(
    "gen_ai.client.operation.time_to_first_chunk", "histogram", "s",
    "time until the first chunk of a streamed answer",
    (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL), DURATION_BUCKETS,
)  # fmt: skip
OPERATION_CHUNK_GAP: Final = _metric(
    "gen_ai.client.operation.time_per_output_chunk", "histogram", "s",
    "time between two chunks of a streamed answer, as its reader saw it",
    (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL), DURATION_BUCKETS,
)  # fmt: skip
TOKEN_USAGE: Final = _metric(
    "gen_ai.client.token.usage", "histogram", "{token}", "tokens of a GenAI call",
    (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, "gen_ai.token.type"), TOKEN_BUCKETS,
)  # fmt: skip
INFERENCE_DURATION: Final = _metric(
    "gen_ai.client.inference.duration", "histogram", "s",
    "duration of an inference, hidden retries included, by its newer name",
    OPERATION_DURATION.attributes, DURATION_BUCKETS,
)  # fmt: skip
INFERENCE_FIRST_CHUNK: Final = _metric(
    "gen_ai.client.inference.time_to_first_chunk", "histogram", "s",
    "time until the first chunk of a streamed answer, by its newer name",
    OPERATION_FIRST_CHUNK.attributes, DURATION_BUCKETS,
)  # fmt: skip
INFERENCE_CHUNK_GAP: Final = _metric(
    "gen_ai.client.inference.time_per_output_chunk", "histogram", "s",
    "time between two chunks of a streamed answer, by its newer name",
    OPERATION_CHUNK_GAP.attributes, DURATION_BUCKETS,
)  # fmt: skip


def _token_counter(kind: str, doc: str) -> Metric:
    return _metric(
        f"gen_ai.client.inference.usage.{kind}", "counter", "{token}", doc,
        (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, "gen_ai.token.modality"),
    )  # fmt: skip


INFERENCE_INPUT_TOKENS: Final = _token_counter("input_tokens", "input tokens, cached ones included")
INFERENCE_OUTPUT_TOKENS: Final = _token_counter(
    "output_tokens", "output tokens, reasoning included"
)
INFERENCE_CACHE_READ_TOKENS: Final = _token_counter(
    "cache_read.input_tokens", "input tokens read from the provider's cache"
)
INFERENCE_CACHE_WRITE_TOKENS: Final = _token_counter(
    "cache_write.input_tokens", "input tokens written to the provider's cache"
)
INFERENCE_REASONING_TOKENS: Final = _token_counter(
    "reasoning.output_tokens", "output tokens spent on reasoning"
)
MODALITY_UNKNOWN: Final = "unknown"
"""What ``gen_ai.token.modality`` is where a provider does not tell text from images and sound."""
EXECUTE_TOOL_DURATION: Final = _metric(
    "gen_ai.execute_tool.duration", "histogram", "s", "duration of a tool execution",
    (TOOL_NAME, ERROR_TYPE), DURATION_BUCKETS,
)  # fmt: skip
TURN_DURATION: Final = _metric(
    "agentscope.turn.duration", "histogram", "s", "duration of a turn",
    ("route", "status"), TURN_BUCKETS,
)  # fmt: skip
PHASE_DURATION: Final = _metric(
    "agentscope.phase.duration", "histogram", "s", "duration of a phase of a turn",
    ("phase",), DURATION_BUCKETS,
)  # fmt: skip
SESSIONS_ACTIVE: Final = _metric(
    "agentscope.sessions.active", "gauge", "{session}",
    "sessions with a turn running or ended less than the idle time-out ago",
)  # fmt: skip
SESSIONS_FORGOTTEN: Final = _metric(
    "agentscope.sessions.forgotten", "counter", "{session}",
    "sessions forgotten before the idle time-out: more were active than can be told apart",
)  # fmt: skip
SESSION_TURNS: Final = _metric(
    "agentscope.session.turns", "histogram", "{turn}", "turns of a session that went idle",
    (), SESSION_TURN_BUCKETS,
)  # fmt: skip
TURNS_ACTIVE: Final = _metric("agentscope.turns.active", "gauge", "{turn}", "turns in flight")
LOOP_DELAY: Final = _metric(
    "agentscope.event_loop.delay", "histogram", "s",
    "how much later than due the event loop ran a timer", (), DELAY_BUCKETS,
)  # fmt: skip
LOOP_DELAY_MAX: Final = _metric(
    "agentscope.event_loop.delay.max", "gauge", "s", "largest delay of the last second",
    over_workers="max",
)  # fmt: skip
GC_PAUSE: Final = _metric(
    "agentscope.gc.pause", "histogram", "s", "time the garbage collector stopped the process",
    ("generation",), DELAY_BUCKETS,
)  # fmt: skip
DB_CONNECTION_COUNT: Final = _metric(
    "db.client.connection.count", "gauge", "{connection}", "connections of a pool, by state",
    (DB_POOL_NAME, "db.client.connection.state"),
)  # fmt: skip
DB_CONNECTION_MAX: Final = _metric(
    "db.client.connection.max", "gauge", "{connection}", "most connections a pool may open",
    (DB_POOL_NAME,),
)  # fmt: skip
DB_IDLE_MAX: Final = _metric(
    "db.client.connection.idle.max", "gauge", "{connection}",
    "most connections a pool keeps open; those beyond are its overflow", (DB_POOL_NAME,),
)  # fmt: skip
DB_PENDING_REQUESTS: Final = _metric(
    "db.client.connection.pending_requests", "gauge", "{request}", "waiting for a connection",
    (DB_POOL_NAME,),
)  # fmt: skip
DB_WAIT_TIME: Final = _metric(
    "db.client.connection.wait_time", "histogram", "s", "time to get a connection from a pool",
    (DB_POOL_NAME,), DELAY_BUCKETS,
)  # fmt: skip
DB_USE_TIME: Final = _metric(
    "db.client.connection.use_time", "histogram", "s", "time a connection was held",
    (DB_POOL_NAME,), DELAY_BUCKETS,
)  # fmt: skip
DB_TIMEOUTS: Final = _metric(
    "db.client.connection.timeouts", "counter", "{timeout}",
    "calls that waited for a connection until they gave up", (DB_POOL_NAME,),
)  # fmt: skip
POSTGRES_BACKENDS: Final = _metric(
    "agentscope.postgres.backends", "gauge", "{backend}",
    "sessions of a PostgreSQL server, by what they do and what they wait for",
    ("state", "wait_event_type", "wait_event"),
    over_workers="max",
)  # fmt: skip
POSTGRES_TRANSACTION_AGE: Final = _metric(
    "agentscope.postgres.transaction.age", "gauge", "s",
    "age of the longest transaction that is open in such a session", ("state",),
    over_workers="max",
)  # fmt: skip
HTTP_POOL_LIMIT: Final = _metric(
    "agentscope.http.pool.limit", "gauge", "{connection}",
    "most connections an HTTP client's pool may have; no series where it has no limit",
    ("pool",),
)  # fmt: skip
HTTP_POOL_IN_USE: Final = _metric(
    "agentscope.http.pool.in_use", "gauge", "{connection}", "connections of a pool that are busy",
    ("pool",),
)  # fmt: skip
HTTP_POOL_WAITING: Final = _metric(
    "agentscope.http.pool.waiting", "gauge", "{request}", "requests waiting for a connection",
    ("pool",),
)  # fmt: skip
THREADPOOL_LIMIT: Final = _metric(
    "agentscope.threadpool.limit", "gauge", "{thread}",
    "most worker threads at a time; no series where there is no limit", ("limiter",),
)  # fmt: skip
THREADPOOL_BORROWED: Final = _metric(
    "agentscope.threadpool.borrowed", "gauge", "{thread}", "worker threads that are busy",
    ("limiter",),
)  # fmt: skip
THREADPOOL_WAITING: Final = _metric(
    "agentscope.threadpool.waiting", "gauge", "{call}", "calls queued for a worker thread",
    ("limiter",),
)  # fmt: skip
INTERPRETER_LOCK_WAIT: Final = _metric(
    "agentscope.interpreter.lock_wait", "gauge", "s",
    "how long a thread that was ready to run waited for the interpreter lock, mean of the last "
    "second",
    over_workers="max",
)  # fmt: skip
CGROUP_CPU_LIMIT: Final = _metric(
    "agentscope.cgroup.cpu.limit", "gauge", "{cpu}",
    "processors that the container may use; no series where there is no quota",
    over_workers="max",
)  # fmt: skip
CGROUP_THROTTLED_TIME: Final = _metric(
    "agentscope.cgroup.cpu.throttled_time", "counter", "s",
    "seconds for which the container's quota was used up, added up over its processors",
)  # fmt: skip
CGROUP_MEMORY_LIMIT: Final = _metric(
    "agentscope.cgroup.memory.limit", "gauge", "By",
    "memory that the container may use; no series where there is no limit",
    over_workers="max",
)  # fmt: skip
CPU_TIME: Final = _metric(
    "process.cpu.time", "counter", "s", "CPU seconds of the process", ("cpu.mode",)
)
MEMORY_USAGE: Final = _metric("process.memory.usage", "gauge", "By", "resident memory")
THREAD_COUNT: Final = _metric("process.thread.count", "gauge", "{thread}", "threads of the process")
PROCESSES: Final = _metric(
    "agentscope.processes", "gauge", "{process}",
    "processes that these figures are of: workers that share one /metrics add up",
)  # fmt: skip
FD_COUNT: Final = _metric(
    "process.unix.file_descriptor.count",
    "gauge",
    "{file_descriptor}",
    "open file descriptors",
    over_workers="max",
)
FD_LIMIT: Final = _metric(
    "agentscope.process.file_descriptor.limit", "gauge", "{file_descriptor}",
    "most file descriptors that the process may have open; no series where there is no limit",
    over_workers="max",
)  # fmt: skip
HOST_CPUS: Final = _metric(
    "system.cpu.logical.count", "gauge", "{cpu}", "processors that the process may be scheduled on",
    over_workers="max",
)  # fmt: skip
HOST_MEMORY: Final = _metric(
    "system.memory.limit", "gauge", "By", "memory of the host", over_workers="max",
)  # fmt: skip
RATELIMIT_LIMIT: Final = _metric(
    "agentscope.llm.ratelimit.limit", "gauge", "1", "the provider's quota, from its headers",
    ("provider", "model", "dimension"),
    over_workers="max",
)  # fmt: skip
RATELIMIT_REMAINING: Final = _metric(
    "agentscope.llm.ratelimit.remaining", "gauge", "1",
    "what is left of the quota, by the last answer; all of it once its reset is over, and no series "
    "a minute later",
    ("provider", "model", "dimension"),
    over_workers="min",
)  # fmt: skip
RATELIMIT_RESET: Final = _metric(
    "agentscope.llm.ratelimit.reset", "gauge", "s",
    "seconds until the quota is full again; no series a minute after it was",
    ("provider", "model", "dimension"),
    over_workers="max",
)  # fmt: skip
RATELIMIT_WINDOW: Final = _metric(
    "agentscope.llm.ratelimit.window", "gauge", "s",
    "seconds in which the quota refills from empty, where the headers tell: 60 or 86400, mostly",
    ("provider", "model", "dimension"),
    over_workers="max",
)  # fmt: skip
LLM_ATTEMPTS: Final = _metric(
    "agentscope.llm.attempts", "counter", "{attempt}", "HTTP attempts of GenAI calls",
    ("provider", "model", "status_class", "outcome"),
)  # fmt: skip
LLM_BACKOFF: Final = _metric(
    "agentscope.llm.backoff", "counter", "s", "seconds slept between attempts",
    ("provider", "model", "reason"),
)  # fmt: skip
COST: Final = _metric(
    "agentscope.cost", "counter", "USD",
    "cost of GenAI calls at list prices, where the package genai-prices is installed",
    ("provider", "model"),
)  # fmt: skip
COST_UNPRICED: Final = _metric(
    "agentscope.cost.unpriced", "counter", "{call}", "GenAI calls that no cost was counted for",
    ("provider", "model", "reason"),
)  # fmt: skip
TOOL_CALLS: Final = _metric(
    "agentscope.tool.calls", "counter", "{call}", "tool executions", ("tool", "status")
)
WAIT_DURATION: Final = _metric(
    "agentscope.wait.duration", "histogram", "s", "waits of a millisecond or more",
    ("kind", "resource"), DELAY_BUCKETS,
)  # fmt: skip
ERRORS: Final = _metric(
    "agentscope.errors", "counter", "{error}", "turns that failed", (ERROR_TYPE,)
)
SDK_CREATED: Final = _metric(
    "agentscope.sdk.created", "counter", "{record}", "records made", ("signal", "sink")
)
SDK_DELIVERED: Final = _metric(
    "agentscope.sdk.delivered", "counter", "{record}", "records that reached the sink",
    ("signal", "sink"),
)  # fmt: skip
SDK_DROPPED: Final = _metric(
    "agentscope.sdk.dropped", "counter", "{record}", "records given up, by reason",
    ("signal", "sink", "reason"),
)  # fmt: skip
SDK_PENDING: Final = _metric(
    "agentscope.sdk.pending", "gauge", "{record}", "records on their way", ("signal", "sink")
)
SDK_FOLDED: Final = _metric(
    "agentscope.sdk.folded", "counter", "{measurement}",
    "measurements counted as other: their metric had too many series already", ("metric",),
)  # fmt: skip
SDK_INTERNAL_ERRORS: Final = _metric(
    "agentscope.sdk.internal_errors", "counter", "{error}", "our own faults, caught", ("where",)
)

LOAD_METRICS: Final[dict[str, Metric]] = {}
"""Every metric that the load generator serves about itself: the recorder writes none of them."""


def _load_metric(
    name: str,
    instrument: Instrument,
    unit: str,
    doc: str,
    attributes: tuple[str, ...] = (),
    buckets: tuple[float, ...] = (),
) -> Metric:
    metric = Metric(f"agentscope.load.{name}", instrument, unit, doc, attributes, buckets)
    LOAD_METRICS[metric.name] = metric
    return metric


LOAD_USERS: Final = _load_metric("users", "gauge", "{user}", "simulated users that are there")
LOAD_STAGE: Final = _load_metric(
    "stage", "gauge", "1", "1 for the stage of the load run that is on", ("stage",)
)
LOAD_REQUESTS: Final = _load_metric(
    "requests", "counter", "{request}", "requests of simulated users, by how they ended",
    ("name", "outcome"),
)  # fmt: skip
LOAD_REQUEST_DURATION: Final = _load_metric(
    "request.duration", "histogram", "s",
    "time from sending a request to the last byte of its answer, as a simulated user saw it",
    ("name",), TURN_BUCKETS,
)  # fmt: skip
