"""A turn that another instrumentation records beside ours: its time counts once, and is explained.

Times are milliseconds. ``theirs`` are spans of another scope and of another resource, as they are
where its exporter writes into the same folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.engine import Engine

MS = 1_000_000
CHAT = {"operation": "chat", "model": "m", "kind": "CLIENT"}
SENT = {"http_method": "POST", "kind": "CLIENT"}
BLOCK = {"runtime_event": "loop_blocked", "trace_id": f"{9:032x}"}

Span = Callable[..., dict[str, Any]]


@pytest.fixture
def theirs(span: Span) -> Span:
    def row(*told: Any, **columns: Any) -> dict[str, Any]:
        return span(*told, **{"scope": "their.instrumentation", "instance": "uuid", **columns})

    return row


def test_a_call_in_two_spans_side_by_side_is_told_as_ours_alone(tell, span, theirs):
    """Ours lies within theirs but below the same turn: 429, a sleep and a stream stay visible."""
    ours = (
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 11, 89, **CHAT, streamed=True, first_chunk_s=0.05),
        span("refused", "chat", 12, 20, **SENT, http_status=429),
        span("sleep", "chat", 20, 40, wait_kind="rate_limit"),
        span("answered", "chat", 40, 88, **SENT, http_status=200),
    )
    both = tell(*ours, theirs("openai.chat", "turn", 10, 90, **CHAT))
    expected = [
        ("turn", "unattributed", 0, 11),
        ("chat", "unattributed", 11, 12),
        ("refused", "llm.rate_limit", 12, 20),
        ("sleep", "llm.rate_limit", 20, 40),
        ("answered", "llm.first_token", 40, 61),
        ("answered", "llm.generation", 61, 88),
        ("chat", "llm.generation", 88, 89),
        ("turn", "unattributed", 89, 100),
    ]
    assert both.sections == expected == tell(*ours).sections


def test_calls_that_are_counted_once_are_told(tell, span, theirs):
    """What was merged is among the summary's anomalies."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        theirs("middleware", "turn", 0, 101),
        theirs("openai.chat", "turn", 10, 90, **CHAT),
        span("chat", "turn", 11, 89, **CHAT),
        span("attempt", "chat", 12, 88, **SENT, http_status=200),
    )
    assert told.summary.anomalies == {"calls_recorded_twice": 1, "wrappers_seen_through": 1}


def test_a_middleware_that_spans_the_request_hides_nothing(tell, span, theirs):
    """Its span and its events stand beside our phase and end after our turn."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        theirs("GET /ask", "turn", 1, 101),
        theirs("http send", "GET /ask", 95, 96),
        span("load", "turn", 5, 30, phase="context_load"),
        span("select", "load", 10, 20, db_system="postgresql"),
        span("chat", "turn", 40, 90, **CHAT),
    )
    assert told.sections == [
        ("turn", "unattributed", 0, 5),
        ("load", "context.load", 5, 10),
        ("select", "db.query", 10, 20),
        ("load", "context.load", 20, 30),
        ("turn", "unattributed", 30, 40),
        ("chat", "llm.first_token", 40, 90),
        ("turn", "unattributed", 90, 95),
        ("http send", "unattributed", 95, 96),
        ("turn", "unattributed", 96, 100),
    ]


def test_what_their_wrapper_holds_of_their_own_stays(tell, span, theirs):
    """An agent framework's chain: its tool, which we do not know, is explained beside our call."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        theirs("agent", "turn", 0, 100, operation="invoke_agent"),
        theirs("chain", "agent", 1, 99),
        theirs("lookup", "chain", 50, 90, operation="execute_tool"),
        span("chat", "turn", 10, 40, **CHAT),
        span("select", "turn", 60, 80, db_system="postgresql"),
    )
    assert told.sections == [
        ("turn", "unattributed", 0, 10),
        ("chat", "llm.first_token", 10, 40),
        ("turn", "unattributed", 40, 50),
        ("lookup", "tool.execution", 50, 60),
        ("select", "db.query", 60, 80),
        ("lookup", "tool.execution", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]


def test_parallel_calls_are_paired_with_their_own_doubles(tell, span, theirs):
    """The short call lies within both of theirs; the one that ends last is on the path, once."""
    ours = (
        span("turn", "", 0, 100, is_turn=True),
        span("long", "turn", 6, 94, **CHAT),
        span("long attempt", "long", 7, 93, **SENT, http_status=200),
        span("short", "turn", 9, 31, **CHAT),
        span("short attempt", "short", 10, 30, **SENT, http_status=429),
    )
    doubles = (
        theirs("openai.long", "turn", 5, 95, **CHAT),
        theirs("openai.short", "turn", 8, 32, **CHAT),
    )
    assert tell(*ours, *doubles).sections == tell(*ours).sections
    assert tell(*ours).sections[1:4] == [
        ("long", "unattributed", 6, 7),
        ("long attempt", "llm.first_token", 7, 93),
        ("long", "unattributed", 93, 94),
    ]


def test_where_ours_has_no_attempts_theirs_tell(tell, span, theirs):
    """A client whose transport we do not see, under an instrumentation of HTTP that does."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 11, 89, **CHAT),
        theirs("openai.chat", "turn", 10, 90, **CHAT),
        theirs("refused", "openai.chat", 20, 30, **SENT, http_status=429),
        theirs("answered", "openai.chat", 50, 80, **SENT, http_status=200),
    )
    assert told.sections == [
        ("turn", "unattributed", 0, 11),
        ("openai.chat", "unattributed", 11, 20),
        ("refused", "llm.rate_limit", 20, 30),
        ("openai.chat", "llm.rate_limit", 30, 50),
        ("answered", "llm.first_token", 50, 80),
        ("openai.chat", "unattributed", 80, 89),
        ("turn", "unattributed", 89, 100),
    ]


def test_attempts_that_two_instrumentations_recorded_are_no_retries(tell, span, theirs):
    """Theirs around ours, in one call of ours: nothing was sent twice."""
    ours = (
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 10, 90, **CHAT),
        span("attempt", "chat", 21, 79, **SENT, http_status=500),
    )
    both = tell(*ours, theirs("POST", "chat", 20, 80, **SENT, http_status=500))
    expected = [
        ("turn", "unattributed", 0, 10),
        ("chat", "unattributed", 10, 21),
        ("attempt", "llm.retry", 21, 79),
        ("chat", "llm.retry", 79, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert both.sections == expected == tell(*ours).sections


def test_the_same_model_behind_a_gateway_is_another_call(tell, span, theirs):
    """Their client calls our gateway: the request comes in between, and nothing is merged."""
    told = tell(
        theirs("openai.chat", "", 0, 100, **CHAT),
        theirs("POST", "openai.chat", 5, 95, **SENT, http_status=200),
        span("gateway", "POST", 10, 90, is_turn=True),
        span("chat", "gateway", 20, 80, **CHAT),
    )
    assert told.sections == [
        ("gateway", "unattributed", 10, 20),
        ("chat", "llm.first_token", 20, 80),
        ("gateway", "unattributed", 80, 90),
    ]
    assert told.summary.anomalies == {}


def test_their_spans_ran_on_our_loop(tell, span, theirs):
    """A block within a dependency that only they recorded is the loop's, whatever they call it."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        theirs("dependencies", "turn", 10, 60),
        span("block", "", 20, 50, **BLOCK),
    )
    assert told.sections == [
        ("turn", "unattributed", 0, 10),
        ("dependencies", "unattributed", 10, 20),
        ("dependencies", "runtime.event_loop", 20, 50),
        ("dependencies", "unattributed", 50, 60),
        ("turn", "unattributed", 60, 100),
    ]


def test_two_other_instrumentations_side_by_side_are_one_call(tell, span, theirs):
    """LangChain's callback makes no context: the client's span stands beside its own."""
    told = tell(
        theirs("server", "", 0, 100, kind="SERVER"),
        theirs("ChatOpenAI", "server", 10, 90, **CHAT, scope="langchain"),
        theirs("openai.chat", "server", 20, 80, **CHAT, scope="openai"),
        theirs("refused", "openai.chat", 25, 75, **SENT, http_status=429),
    )
    assert told.sections == [
        ("server", "unattributed", 0, 10),
        ("ChatOpenAI", "unattributed", 10, 20),
        ("openai.chat", "unattributed", 20, 25),
        ("refused", "llm.rate_limit", 25, 75),
        ("openai.chat", "llm.rate_limit", 75, 80),
        ("ChatOpenAI", "unattributed", 80, 90),
        ("server", "unattributed", 90, 100),
    ]


def test_a_session_that_only_they_name_is_kept(tell, span, theirs):
    """The span is seen through, but it says whose turn it was."""
    told = tell(
        span("turn", "", 0, 100, is_turn=True),
        theirs("agent", "turn", 10, 90, operation="invoke_agent", session="s1"),
        span("chat", "turn", 20, 80, **CHAT),
    )
    assert told.engine.rows("SELECT session FROM turns") == [("s1",)]


LEAVES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"phase": "rerank"},
        {"phase": "context_load"},
        {"phase": "llm_call"},
        {"tool": "t"},
        {"db_system": "postgresql"},
        {"wait_kind": "lock"},
        {"http_method": "GET", "http_status": 200, "kind": "CLIENT"},
    ]
)


@st.composite
def turns_of_ours(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A turn as our recorder tells it: each span within its parent, some calls with attempts."""
    spans: list[dict[str, Any]] = [_row("turn", "", 0, 1000, is_turn=True, kind="SERVER")]
    for i in range(draw(st.integers(1, 7))):
        above = draw(st.sampled_from([s for s in spans if "operation" not in s]))
        low, high = above["start_ns"] // MS, above["end_ns"] // MS
        if high - low < 20 or "http_method" in above:
            continue
        start = draw(st.integers(low, high - 12))
        end = draw(st.integers(start + 12, high))
        parent = above["span_id"]
        if not draw(st.booleans()):
            spans.append(_row(f"s{i}", parent, start, end, **draw(LEAVES)))
            continue
        spans.append(_row(f"s{i}", parent, start, end, **CHAT))
        status = draw(st.sampled_from([200, 429, 500]))
        spans.append(_row(f"a{i}", f"s{i}", start + 1, start + 6, **SENT, http_status=status))
        spans.append(_row(f"b{i}", f"s{i}", start + 6, end - 1, **SENT, http_status=200))
    return spans


@st.composite
def echoes(draw: st.DrawFn, ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What says nothing new of the same turn: wrappers anywhere, and doubles of our calls."""
    spans: list[dict[str, Any]] = []
    theirs = {"scope": "their.instrumentation", "instance": "uuid"}
    parents = [s["span_id"] for s in ours if s["span_id"][0] in "ts"]
    for i in range(draw(st.integers(0, 4))):
        start = draw(st.integers(-20, 1000))
        parent = draw(st.sampled_from([*parents, *(s["span_id"] for s in spans)]))
        end = start + draw(st.integers(0, 600))
        spans.append(_row(f"w{i}", parent, start, end, kind="INTERNAL", **theirs))
    for call in [s for s in ours if s.get("operation") and draw(st.booleans())]:
        parent = draw(st.sampled_from([call["span_id"], call["parent_id"]]))
        out = draw(st.sampled_from([-1, 0, 1])) if parent != call["span_id"] else 1
        times = {"start_ns": call["start_ns"] + out * MS, "end_ns": call["end_ns"] - out * MS}
        spans.append(
            call | theirs | times | {"span_id": f"d{call['span_id']}", "parent_id": parent}
        )
    return spans


def _row(span_id: str, parent_id: str, start: int, end: int, **columns: Any) -> dict[str, Any]:
    return {
        "trace_id": f"{1:032x}",
        "span_id": span_id,
        "parent_id": parent_id,
        "start_ns": start * MS,
        "end_ns": end * MS,
        "kind": "INTERNAL",
        "scope": "agentscope",
        "instance": "p1",
        **columns,
    }


@pytest.fixture(scope="module")
def engine():
    with Engine.in_memory(threads=1) as engine:
        yield engine


def attributed(engine: Engine, spans: list[dict[str, Any]]) -> list[Any]:
    rows = [{"name": "n", "status": "UNSET", "service": "a", **span} for span in spans]
    rows.append(_row("e", "", 300, 500, **BLOCK) | {"name": "e", "status": "UNSET", "service": "a"})
    columns = sorted({name for row in rows for name in row})
    engine.execute("DELETE FROM spans")
    engine.insert("spans", {name: [row.get(name) for row in rows] for name in columns})
    attribute(engine)
    return engine.rows("SELECT span_id, cause, start_ns, end_ns FROM sections ORDER BY start_ns")


def by_cause(sections: list[Any]) -> list[tuple[str, int, int]]:
    """When which cause held: neighbours of one cause are one."""
    merged: list[tuple[str, int, int]] = []
    for _, cause, start, end in sections:
        if merged and merged[-1][0] == cause:
            merged[-1] = (cause, merged[-1][1], end)
        else:
            merged.append((cause, start, end))
    return merged


@given(data=st.data(), ours=turns_of_ours())
@settings(max_examples=30, deadline=None)
def test_an_echo_of_ours_changes_no_instant(engine, data, ours):
    """Causes are the same to the nanosecond with and without what says nothing new."""
    theirs = data.draw(echoes(ours))
    alone = by_cause(attributed(engine, ours))
    assert by_cause(attributed(engine, [*ours, *theirs])) == alone


@given(data=st.data(), ours=turns_of_ours())
@settings(max_examples=12, deadline=None)
def test_one_instrumentation_is_left_as_it_is(engine, data, ours):
    """Spans that all have one scope are attributed alike, whatever it is called."""
    spans = [*ours, *data.draw(echoes(ours))]
    mine = attributed(engine, [span | {"scope": "agentscope"} for span in spans])
    other = attributed(engine, [span | {"scope": "their.instrumentation"} for span in spans])
    assert mine == other


@given(data=st.data(), ours=turns_of_ours())
@settings(max_examples=30, deadline=None)
def test_sums_are_exact_whoever_recorded_what(engine, data, ours):
    """Each span of any of three scopes: sections still follow one another through the turn."""
    spans = [*ours, *data.draw(echoes(ours))]
    scopes = st.sampled_from(["agentscope", "one", "two"])
    told = [span | {"scope": data.draw(scopes)} for span in spans]
    at_ns = 0
    for _, _, start, end in attributed(engine, told):
        assert start == at_ns < end
        at_ns = end
    assert at_ns == 1000 * MS
