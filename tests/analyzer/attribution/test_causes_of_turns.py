"""Stories of a turn, each small enough to check by hand: times are milliseconds."""

from __future__ import annotations

import pytest

from agentscope.conventions import RuntimeEvent, Wait


def test_a_plain_turn_is_divided_among_what_it_waited_for(tell, span):
    """Phases hand their time to what is below them; what nothing explains stays unattributed."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("load", "turn", 5, 30, phase="context_load"),
        span("select", "load", 10, 25, db_system="postgresql"),
        span("ask", "turn", 30, 80, phase="llm_call"),
        span("chat", "ask", 32, 78, operation="chat", model="m"),
        span("post", "chat", 33, 77, http_method="POST", http_status=200),
        span("insert", "turn", 85, 95, db_system="postgresql"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 5),
        ("load", "context.load", 5, 10),
        ("select", "db.query", 10, 25),
        ("load", "context.load", 25, 30),
        ("ask", "unattributed", 30, 32),
        ("chat", "unattributed", 32, 33),
        ("post", "llm.first_token", 33, 77),
        ("chat", "unattributed", 77, 78),
        ("ask", "unattributed", 78, 80),
        ("turn", "unattributed", 80, 85),
        ("insert", "db.query", 85, 95),
        ("turn", "unattributed", 95, 100),
    ]
    assert story.summary.turns == 1
    assert story.summary.spans_used == 7
    assert story.summary.anomalies == {}
    assert story.summary.sweep_disagreement == pytest.approx(0, abs=1e-12)


def test_rate_limited_attempts_and_the_sleeps_after_them_are_rate_limit(tell, span):
    """Only the last attempt of 429, 429, 200 is the model's own time."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 100, operation="chat", model="m"),
        span("post1", "chat", 0, 10, http_method="POST", http_status=429),
        span("sleep1", "chat", 11, 30, wait_kind="rate_limit"),
        span("post2", "chat", 30, 40, http_method="POST", http_status=429, error_type="429"),
        span("sleep2", "chat", 40, 69, wait_kind="rate_limit"),
        span("post3", "chat", 70, 99, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("post1", "llm.rate_limit", 0, 10),
        ("chat", "llm.rate_limit", 10, 11),
        ("sleep1", "llm.rate_limit", 11, 30),
        ("post2", "llm.rate_limit", 30, 40),
        ("sleep2", "llm.rate_limit", 40, 69),
        ("chat", "llm.rate_limit", 69, 70),
        ("post3", "llm.first_token", 70, 99),
        ("chat", "unattributed", 99, 100),
    ]


def test_time_between_attempts_needs_no_wait_span(tell, span):
    """What lies between two attempts has the cause that the first of them failed with."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 100, operation="chat", model="m"),
        span("post1", "chat", 10, 20, http_method="POST", http_status=503),
        span("post2", "chat", 40, 50, http_method="POST", http_status=529),
        span("post3", "chat", 70, 75, http_method="POST", error_type="ReadTimeout"),
        span("post4", "chat", 80, 90, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("chat", "unattributed", 0, 10),
        ("post1", "llm.retry", 10, 20),
        ("chat", "llm.retry", 20, 40),
        ("post2", "llm.rate_limit", 40, 50),
        ("chat", "llm.rate_limit", 50, 70),
        ("post3", "llm.retry", 70, 75),
        ("chat", "llm.retry", 75, 80),
        ("post4", "llm.first_token", 80, 90),
        ("chat", "unattributed", 90, 100),
    ]


def test_retries_of_the_user_around_the_client_count_as_retries(tell, span):
    """A loop in an llm_call phase that calls again after a failure waits because of it."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask", "turn", 0, 100, phase="llm_call"),
        span("chat1", "ask", 1, 10, operation="chat", model="m", error_type="RateLimitError"),
        span("chat2", "ask", 60, 99, operation="chat", model="m"),
    )
    assert story.sections == [
        ("ask", "unattributed", 0, 1),
        ("chat1", "llm.rate_limit", 1, 10),
        ("ask", "llm.rate_limit", 10, 60),
        ("chat2", "llm.first_token", 60, 99),
        ("ask", "unattributed", 99, 100),
    ]


def test_a_back_off_that_was_cut_short_still_belongs_to_its_failure(tell, span):
    """After a last attempt that failed nothing else is waited for than the next one."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True, outcome="cancelled"),
        span("chat", "turn", 0, 90, operation="chat", model="m", outcome="cancelled"),
        span("post", "chat", 0, 10, http_method="POST", http_status=429),
    )
    assert story.sections == [
        ("post", "llm.rate_limit", 0, 10),
        ("chat", "llm.rate_limit", 10, 90),
        ("turn", "unattributed", 90, 100),
    ]


@pytest.mark.parametrize(("followed", "cause"), [(True, "llm.retry"), (False, "llm.first_token")])
def test_a_cancelled_attempt_is_a_time_out_only_if_another_follows(tell, span, followed, cause):
    """A caller that hung up is no failure of the provider's; a deadline that led to a retry is."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 100, operation="chat", model="m"),
        span("post1", "chat", 0, 50, http_method="POST", error_type="asyncio.CancelledError"),
        *([span("post2", "chat", 50, 100, http_method="POST", http_status=200)] * followed),
    )
    assert story.sections[0] == ("post1", cause, 0, 50)


def test_a_streamed_answer_is_generation_from_its_first_chunk_on(tell, span):
    """Time to the first chunk counts from the inference's start, the failed attempt included."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 2, 98, operation="chat", model="m", streamed=True, first_chunk_s=0.05),
        span("post1", "chat", 2, 12, http_method="POST", http_status=500),
        span("post2", "chat", 22, 98, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 2),
        ("post1", "llm.retry", 2, 12),
        ("chat", "llm.retry", 12, 22),
        ("post2", "llm.first_token", 22, 52),
        ("post2", "llm.generation", 52, 98),
        ("turn", "unattributed", 98, 100),
    ]


def test_a_stream_goes_on_when_its_attempt_ends_with_the_headers(tell, span):
    """Where the HTTP span is over at the headers, the inference's own time is the model's."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span(
            "chat", "turn", 0, 100, operation="chat", model="m", streamed=True, first_chunk_s=0.04
        ),
        span("post", "chat", 5, 20, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("chat", "unattributed", 0, 5),
        ("post", "llm.first_token", 5, 20),
        ("chat", "llm.first_token", 20, 40),
        ("chat", "llm.generation", 40, 100),
    ]


def test_a_stream_that_is_handed_on_outlives_the_phase_that_opened_it(tell, span):
    """The phase returned the open stream; who reads it still waits for the model."""
    chat = {"operation": "chat", "model": "m", "streamed": True, "first_chunk_s": 0.01}
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask", "turn", 10, 25, phase="llm_call"),
        span("chat", "ask", 12, 90, **chat),
        span("post", "chat", 14, 90, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("ask", "unattributed", 10, 12),
        ("chat", "unattributed", 12, 14),
        ("post", "llm.first_token", 14, 22),
        ("post", "llm.generation", 22, 25),
        ("post", "llm.generation", 25, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.summary.spans_used == 4
    assert story.summary.anomalies == {"streams_handed_on": 1}
    assert story.summary.sweep_disagreement == pytest.approx(0, abs=1e-12)


def test_an_inference_without_attempts_is_its_own_attempt(tell, span):
    """Other instrumentations write one span a call: split at the first chunk, or failed."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 30, operation="chat", model="m", first_chunk_s=0.02),
        span("chat2", "turn", 30, 50, operation="chat", model="m", status="ERROR"),
        span("chat3", "turn", 50, 60, operation="chat", error_type="openai.RateLimitError"),
        span("chat4", "turn", 60, 100, operation="chat", model="m", streamed=False),
    )
    assert story.sections == [
        ("chat1", "llm.first_token", 0, 20),
        ("chat1", "llm.generation", 20, 30),
        ("chat2", "llm.retry", 30, 50),
        ("chat3", "llm.rate_limit", 50, 60),
        ("chat4", "llm.first_token", 60, 100),
    ]


def test_an_llm_call_phase_stands_for_an_inference_nobody_recorded(tell, span):
    """Its HTTP calls are attempts; with none it is the model's time as a whole."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask1", "turn", 0, 30, phase="llm_call"),
        span("ask2", "turn", 30, 100, phase="llm_call"),
        span("connect", "ask2", 30, 35, wait_kind="http.connect"),
        span("post1", "ask2", 35, 45, http_method="POST", http_status=429),
        span("post2", "ask2", 65, 95, http_method="POST", http_status=200),
    )
    assert story.sections == [
        ("ask1", "llm.first_token", 0, 30),
        ("connect", "llm.connection", 30, 35),
        ("post1", "llm.rate_limit", 35, 45),
        ("ask2", "llm.rate_limit", 45, 65),
        ("post2", "llm.first_token", 65, 95),
        ("ask2", "unattributed", 95, 100),
    ]


def test_parallel_tools_are_explained_by_the_one_that_ended_last(tell, span):
    """The path tells one story; the equal share tells how much of it was a choice."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("fetch", "turn", 10, 60, tool="fetch"),
        span("get", "fetch", 10, 60, http_method="GET", http_status=200),
        span("lookup", "turn", 10, 90, tool="lookup"),
        span("select", "lookup", 20, 80, db_system="postgresql"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("lookup", "tool.execution", 10, 20),
        ("select", "db.query", 20, 80),
        ("lookup", "tool.execution", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]
    # Half of 10..60 is the other tool's call: 25 of 100 ms go from lookup (5) and select (20) to it.
    assert story.summary.sweep_group == "upstream"
    assert story.summary.sweep_disagreement == pytest.approx(0.25)


def test_siblings_that_overlap_by_a_clocks_breath_both_stay_on_the_path(tell, span):
    """Less than a hundredth of the parent is late reading of clocks, not parallel work."""
    story = tell(
        span("turn", "", 0, 1000, is_turn=True),
        span("load", "turn", 0, 500.5, db_system="postgresql"),
        span("tool", "turn", 500, 1000, tool="t"),
    )
    assert story.sections == [
        ("load", "db.query", 0, 500),
        ("tool", "tool.execution", 500, 1000),
    ]


def test_waits_are_named_by_what_was_waited_for(tell, span):
    """A connection to the model is the model's, a connection elsewhere is the other service's."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("lock", "turn", 0, 10, wait_kind="lock"),
        span("thread", "turn", 10, 20, wait_kind="threadpool"),
        span("select", "turn", 20, 50, db_system="postgresql"),
        span("pool", "select", 20, 45, wait_kind="db.pool"),
        span("elsewhere", "turn", 50, 60, wait_kind="http.pool"),
        span("get", "turn", 60, 70, http_method="GET", http_status=500),
        span("chat", "turn", 70, 100, operation="chat", model="m"),
        span("post", "chat", 70, 100, http_method="POST", http_status=200),
        span("connect", "post", 70, 80, wait_kind="http.connect"),
        span("backoff", "turn", 100, 100, wait_kind="retry_backoff"),
    )
    assert story.sections == [
        ("lock", "wait.lock", 0, 10),
        ("thread", "runtime.threadpool", 10, 20),
        ("pool", "db.pool", 20, 45),
        ("select", "db.query", 45, 50),
        ("elsewhere", "http.upstream", 50, 60),
        ("get", "http.upstream", 60, 70),
        ("connect", "llm.connection", 70, 80),
        ("post", "llm.first_token", 80, 100),
    ]


@pytest.mark.parametrize("wait", list(Wait))
def test_every_kind_of_wait_has_a_cause(tell, span, wait):
    """A kind of wait that is added to the vocabulary must be given a cause here too."""
    story = tell(
        span("turn", "", 0, 10, is_turn=True), span("wait", "turn", 0, 10, wait_kind=wait.value)
    )
    ((_, cause, _, _),) = story.sections
    assert cause != "unattributed"


def test_phases_of_the_user_have_the_cause_of_what_they_are_part_of(tell, span):
    """Below a tool it is the tool, below context loading that, in the turn itself nothing."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("load", "turn", 0, 30, phase="context_load"),
        span("parse", "load", 0, 30, phase="parse"),
        span("tool", "turn", 30, 60, phase="tool_execution"),
        span("step", "tool", 30, 60),
        span("rerank", "turn", 60, 80, phase="rerank"),
        span("call", "turn", 80, 100, http_method="GET", http_status=200),
        span("served", "call", 85, 95, kind="SERVER", instance="other"),
    )
    assert story.sections == [
        ("parse", "context.load", 0, 30),
        ("step", "tool.execution", 30, 60),
        ("rerank", "unattributed", 60, 80),
        ("call", "http.upstream", 80, 85),
        ("served", "http.upstream", 85, 95),
        ("call", "http.upstream", 95, 100),
    ]


def test_what_a_caller_took_to_read_is_taken_from_the_turns_own_time(tell, span):
    """From the first byte on, in order of time; what the model's time can hide is not certain."""
    chat = {"operation": "chat", "model": "m", "streamed": True, "first_chunk_s": 0.01}
    story = tell(
        span("turn", "", 0, 100, is_turn=True, first_byte_s=0.025, send_wait_s=0.04),
        span("chat", "turn", 10, 60, **chat),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("chat", "llm.first_token", 10, 20),
        ("chat", "llm.generation", 20, 60),
        ("turn", "client.send", 60, 100),
    ]
    # 35 of the 75 ms after the first byte were the model's: at least 5 ms of the waits were not.
    assert story.bounds == [("turn", "client.send", 5, 40)]


def test_a_caller_cannot_have_taken_more_than_the_turns_own_time(tell, span):
    """A wait longer than the time left is cut; before the first byte nothing is sent."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True, first_byte_s=0.08, send_wait_s=5.0),
        span("tool", "turn", 10, 90, tool="t"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("tool", "tool.execution", 10, 90),
        ("turn", "client.send", 90, 100),
    ]


def test_work_that_outlives_the_turn_is_no_part_of_it(tell, span):
    """It is clamped, and how long it went on is told apart."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("log", "turn", 90, 400, http_method="POST"),
        span("after", "turn", 100, 300, tool="t"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 90),
        ("log", "http.upstream", 90, 100),
    ]
    assert story.summary.background_s == pytest.approx(0.3)
    assert story.summary.anomalies == {"clamped": 1, "started_after_parent": 1}


def test_runtime_events_name_their_kind_as_the_vocabulary_does(tell, span):
    """An event that is neither a block nor a pause explains nothing, and is no turn's work."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("odd", "turn", 10, 20, runtime_event="odd"),
        span("block", "", 30, 40, runtime_event=RuntimeEvent.LOOP_BLOCKED.value),
    )
    assert [cause for _, cause, _, _ in story.sections] == [
        "unattributed",
        "runtime.event_loop",
        "unattributed",
    ]
