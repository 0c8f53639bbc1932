"""From ended spans to metrics: called once a span, in the recorder's thread."""

from __future__ import annotations

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Exemplar, Instruments
from agentscope.recording.prices import bill
from agentscope.recording.span import Deferred, Role, Span

_STATUS_ERROR = 2

_OTHER_TOKENS = (
    (c.CACHE_READ_TOKENS, c.INFERENCE_CACHE_READ_TOKENS),
    (c.CACHE_WRITE_TOKENS, c.INFERENCE_CACHE_WRITE_TOKENS),
    (c.REASONING_TOKENS, c.INFERENCE_REASONING_TOKENS),
)
"""Which only the newer conventions have a metric for: counted whatever names are chosen."""

_MAX_TOKENS = 1 << 63

_BILLED = (
    c.INPUT_TOKENS,
    c.OUTPUT_TOKENS,
    c.CACHE_READ_TOKENS,
    c.CACHE_WRITE_TOKENS,
    c.CACHE_WRITE_1H_TOKENS,
)


def meter(span: Span, instruments: Instruments) -> None:
    """Do what was put off for ``span``, and feed it to every metric that it is an observation of."""
    if span.deferred is not None:
        _do_deferred(span, span.deferred, instruments)
    recorder = _METERS.get(span.role)
    if recorder is not None:
        recorder(span, (span.end_ns - span.start_ns) / 1e9, instruments)


def _do_deferred(span: Span, work: Deferred, instruments: Instruments) -> None:
    span.deferred = None
    try:
        work(span, instruments)
    except Exception as error:
        note_error("deferred", error)  # the span itself is not lost for it


def _exemplar(span: Span, value: float) -> Exemplar | None:
    # Of a span that is not written there is nothing to look up.
    return Exemplar(span.trace_id, span.span_id, value, span.end_ns) if span.sampled else None


def _text(span: Span, key: str) -> str:
    value = span.attributes.get(key, "")
    return value if type(value) is str else str(value)


def _request(span: Span, duration_s: float, instruments: Instruments) -> None:
    route = _text(span, c.HTTP_ROUTE)
    status = _text(span, c.HTTP_STATUS_CODE)
    exemplar = _exemplar(span, duration_s)
    if route:
        instruments.know(route)
    if c.HTTP_REQUEST_METHOD in span.attributes:
        labels = (_text(span, c.HTTP_REQUEST_METHOD), route, status)
        instruments.observe(c.HTTP_SERVER_DURATION, labels, duration_s, exemplar)
    if span.attributes.get(c.TURN):
        instruments.observe(c.TURN_DURATION, (route or span.name, status), duration_s, exemplar)
        if span.status == _STATUS_ERROR:
            instruments.add(c.ERRORS, (span.error or c.UNKNOWN_ERROR,), 1)


def _phase(span: Span, duration_s: float, instruments: Instruments) -> None:
    instruments.observe(c.PHASE_DURATION, (str(span.attributes.get(c.PHASE, "")),), duration_s)


def _inference(span: Span, duration_s: float, instruments: Instruments) -> None:
    operation = _text(span, c.OPERATION_NAME)
    provider = _text(span, c.PROVIDER_NAME)
    model = _text(span, c.REQUEST_MODEL)
    labels = (operation, provider, model, span.error or "")
    if model and span.status != _STATUS_ERROR:
        instruments.know(model)
    instruments.observe(c.OPERATION_DURATION, labels, duration_s, _exemplar(span, duration_s))
    if c.PHASE in span.attributes:
        _phase(span, duration_s, instruments)
    first_chunk_s = span.attributes.get(c.TIME_TO_FIRST_CHUNK)
    if isinstance(first_chunk_s, float):
        exemplar = _exemplar(span, first_chunk_s)
        instruments.observe(c.OPERATION_FIRST_CHUNK, labels[:3], first_chunk_s, exemplar)
    for key, token_type in ((c.INPUT_TOKENS, "input"), (c.OUTPUT_TOKENS, "output")):
        tokens = span.attributes.get(key)
        if type(tokens) is int and 0 <= tokens < _MAX_TOKENS:  # the user may have set anything
            instruments.observe(c.TOKEN_USAGE, (operation, provider, model, token_type), tokens)
    for key, metric in _OTHER_TOKENS:
        tokens = span.attributes.get(key)
        if type(tokens) is int and 0 < tokens < _MAX_TOKENS:
            instruments.add(metric, (operation, provider, model, c.MODALITY_UNKNOWN), tokens)
    if span.status != _STATUS_ERROR or c.INPUT_TOKENS in span.attributes:
        answered_by = _text(span, c.RESPONSE_MODEL)
        bill(instruments, provider, model, answered_by, (*map(span.attributes.get, _BILLED),))


def _tool(span: Span, duration_s: float, instruments: Instruments) -> None:
    tool = _text(span, c.TOOL_NAME)
    status = "error" if span.status == _STATUS_ERROR else "ok"
    labels = (tool, span.error or "")
    instruments.observe(c.EXECUTE_TOOL_DURATION, labels, duration_s, _exemplar(span, duration_s))
    instruments.observe(c.PHASE_DURATION, (c.Phase.TOOL_EXECUTION.value,), duration_s)
    instruments.add(c.TOOL_CALLS, (tool, status), 1)


def _attempt(span: Span, duration_s: float, instruments: Instruments) -> None:
    call = span.parent.attributes if span.parent is not None else {}
    status = span.attributes.get(c.HTTP_STATUS_CODE)
    status_class = f"{status // 100}xx" if isinstance(status, int) else "none"
    failed = span.status == _STATUS_ERROR
    labels = (
        str(call.get(c.PROVIDER_NAME, "")),
        str(call.get(c.REQUEST_MODEL, "")),
        status_class,
        "error" if failed else "ok",
    )
    instruments.add(c.LLM_ATTEMPTS, labels, 1)


def _wait(span: Span, duration_s: float, instruments: Instruments) -> None:
    kind = _text(span, c.WAIT_KIND)
    resource = _text(span, c.WAIT_RESOURCE)
    exemplar = _exemplar(span, duration_s)
    instruments.observe(c.WAIT_DURATION, (kind, resource), duration_s, exemplar)
    if kind in (c.Wait.RATE_LIMIT, c.Wait.RETRY_BACKOFF):
        call = span.parent.attributes if span.parent is not None else {}
        labels = (str(call.get(c.PROVIDER_NAME, "")), str(call.get(c.REQUEST_MODEL, "")), kind)
        instruments.add(c.LLM_BACKOFF, labels, duration_s)


_METERS = {
    Role.REQUEST: _request,
    Role.TURN: _request,
    Role.PHASE: _phase,
    Role.INFERENCE: _inference,
    Role.TOOL: _tool,
    Role.ATTEMPT: _attempt,
    Role.WAIT: _wait,
}
