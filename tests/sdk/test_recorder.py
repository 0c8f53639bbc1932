"""The recorder: bounded queues, an account that balances, samples, metrics."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

import agentscope
from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.instruments import OTHER
from agentscope.recording.outbox import Outbox
from agentscope.recording.recorder import MAX_UNENCODED, Recorder
from agentscope.recording.sink import SinkUnavailable
from agentscope.testing import MemorySink, Recorded, recording


class FullDisk(MemorySink):
    """A sink that can be full."""

    full = True

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        if self.full:
            raise SinkUnavailable("enospc")
        super().write_spans(fragments)


def test_thirty_two_threads_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every span made in any thread is delivered or counted as dropped, exactly."""
    sink = MemorySink()
    recorder = Recorder({}, [sink])
    monkeypatch.setattr(lifecycle, "recorder", recorder)

    def work() -> None:
        for _ in range(1000):
            with agentscope.phase("p"):
                pass

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.shutdown(10)
    account = recorder.accounts()[0]
    assert account.created == 32_000
    assert account.balanced
    assert account.delivered == len(sink.span_fragments)
    assert set(account.dropped) <= {"queue_full"}


def test_a_burst_beyond_the_queue_drops_the_newest_and_counts_them(recorded: Recorded) -> None:
    """Memory is bounded: what does not fit is gone, and the account says how many."""
    for number in range(MAX_UNENCODED + 100):
        with agentscope.phase(f"p{number}"):
            pass
    account = recorded.account()
    assert account.created == MAX_UNENCODED + 100
    assert account.dropped == {"queue_full": 100}
    assert account.balanced
    assert recorded.spans[-1].name == f"p{MAX_UNENCODED - 1}"


def test_a_sink_that_refuses_keeps_nothing_from_arriving_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Spans wait as bytes while the disk is full; begin and end of the loss are said once."""
    sink = FullDisk()
    outbox = Outbox(sink, max_bytes=1000)
    for number in range(15):
        outbox.put(b"x" * 99 + b"%d" % number if number < 10 else b"y" * 100)
    outbox.send()
    outbox.send()
    assert (len(outbox), outbox.ledger.dropped) == (10, {"queue_full": 5})
    sink.full = False
    outbox.send()
    assert sink.span_fragments == [b"x" * 99 + b"%d" % number for number in range(10)]
    assert outbox.ledger.account(created=15, pending=len(outbox)).balanced
    assert [record.message for record in caplog.records] == [
        "agentscope: memory takes no spans (enospc); they wait",
        "agentscope: memory takes spans again; 5 dropped",
    ]


def test_what_never_arrives_is_dropped_by_its_reason() -> None:
    """At the end of the process the account balances over what the disk did not take."""
    recorder = Recorder({}, [FullDisk()], threaded=False)
    recorder.end(recorder.start("p", 0, {}))  # type: ignore[arg-type]
    assert recorder.shutdown(5)
    (spans, _) = recorder.accounts()
    assert (spans.created, spans.delivered, spans.dropped, spans.pending) == (
        1,
        0,
        {"enospc": 1},
        0,
    )


def test_open_turns_are_written_at_shutdown_as_open(recorded: Recorded) -> None:
    """Nothing that was still running is missing from the run."""
    running = agentscope.turn("message", session="s1").__enter__()
    recorded.clock.advance(3)
    recorded.recorder.shutdown(5)
    span = recorded.span("message")
    assert (span.duration_s, span.attributes["agentscope.outcome"]) == (3.0, "open")
    running.__exit__(None, None, None)
    assert len(recorded.spans) == 1


def test_sampling_keeps_whole_traces_and_counts_the_rest() -> None:
    """All spans of a trace are kept or none; metrics see every turn."""
    with recording(real_time=True, sample_ratio=0.5) as recorded:
        for _ in range(200):
            with agentscope.turn("t"), agentscope.phase("p"):
                pass
        spans = recorded.spans
        account = recorded.account()
        assert 100 < len(spans) < 300
        turns = {span.trace_id for span in spans if span.name == "t"}
        assert turns == {span.trace_id for span in spans if span.name == "p"}
        assert account.dropped == {"not_sampled": 400 - len(spans)}
        assert account.balanced
        ((_, (point,)),) = [
            (metric, points)
            for metric, points in recorded.instruments.snapshot()
            if metric is c.TURN_DURATION
        ]
        assert point.count == 200


def test_a_flood_of_series_ends_in_other(recorded: Recorded) -> None:
    """Labels that a caller can choose cannot grow the metrics without bound."""
    for number in range(2000):
        with agentscope.phase(f"p{number}"):
            recorded.clock.advance(1)
        recorded.recorder.work()
    series = dict(recorded.instruments.snapshot())[c.PHASE_DURATION]
    assert len(series) < 50
    assert recorded.value(c.PHASE_DURATION, OTHER) == 2000 - (len(series) - 1)


def test_metrics_come_from_the_same_spans(recorded: Recorded) -> None:
    """Duration, tokens and tool calls of one turn, each to its metric."""

    @agentscope.tool(name="search")
    def fails() -> None:
        raise KeyError

    with agentscope.turn("t"):
        with agentscope.llm_call(model="m", provider="openai"):
            recorded.clock.advance(2)
            agentscope.record_usage(input_tokens=100, output_tokens=20)
        with pytest.raises(KeyError):
            fails()
    assert recorded.value(c.TURN_DURATION, "t", "") == 2.0
    assert recorded.value(c.PHASE_DURATION, "llm_call") == 2.0
    assert recorded.value(c.OPERATION_DURATION, "chat", "openai", "m", "") == 2.0
    assert recorded.value(c.TOKEN_USAGE, "chat", "openai", "m", "input") == 100
    assert recorded.value(c.TOKEN_USAGE, "chat", "openai", "m", "output") == 20
    assert recorded.value(c.TOOL_CALLS, "search", "error") == 1


def test_turns_and_sessions_in_flight_are_gauges(recorded: Recorded) -> None:
    """Turns count while they run; sessions for as long as the idle time-out after."""
    recorder = recorded.recorder
    from agentscope.runtime.turns import TurnSampler

    sessions = lifecycle.sessions
    recorder.samplers += [TurnSampler(recorder, sessions).sample, sessions.sample]
    with agentscope.turn("a", session="s1"), agentscope.turn("b", session="s2"):
        assert recorded.value(c.TURNS_ACTIVE) == 2
    recorded.clock.advance(299)
    assert recorded.value(c.TURNS_ACTIVE) == 0
    assert recorded.value(c.SESSIONS_ACTIVE) == 2
    recorded.clock.advance(2)
    assert recorded.value(c.SESSIONS_ACTIVE) == 0


def test_a_million_session_ids_fit_a_table_of_fixed_size(recorded: Recorded) -> None:
    """Whatever ids clients send, the table holds the latest and no more."""
    from agentscope.runtime.sessions import MAX_SESSIONS

    for number in range(MAX_SESSIONS + 1000):
        lifecycle.sessions.touch(f"session-{number}")
    assert lifecycle.sessions.active() == MAX_SESSIONS


def test_a_failing_sampler_stops_no_other(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gauge that cannot be read is counted; the next one is read."""
    from agentscope.recording import guard

    def broken(instruments: object) -> None:
        raise OSError

    recorded.recorder.samplers += [broken, lifecycle.sessions.sample]
    assert recorded.value(c.SESSIONS_ACTIVE) == 0
    (where,) = guard.internal_errors()
    assert "broken" in where
    guard.forget_internal_errors()
