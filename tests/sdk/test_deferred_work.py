"""What is put off to the recorder's thread: done once, never lost with a fault."""

from __future__ import annotations

import logging

import pytest

from agentscope import conventions as c
from agentscope.recording.guard import forget_internal_errors, internal_errors
from agentscope.recording.instruments import MAX_WAITING, Instruments, Point
from agentscope.recording.span import Role, Span
from agentscope.testing import recording

LABELS = ("openai", "m", "requests")


def fault(*_: object) -> None:
    raise RuntimeError("ours")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("agentscope"), "disabled", True)


def test_the_last_of_a_key_counts() -> None:
    """Gauges are set when somebody looks, each kind once, in the order of their last call."""
    instruments = Instruments()
    seen: list[str] = []
    for key, word in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        instruments.later(key, lambda _, word=word: seen.append(word))  # type: ignore[misc]
    assert seen == []
    instruments.snapshot()
    instruments.snapshot()
    assert seen == ["b1", "a2"]


def test_what_waits_is_bounded() -> None:
    """With too many keys, all of them are read at once."""
    instruments = Instruments()
    seen: list[int] = []
    for key in range(MAX_WAITING + 1):
        instruments.later(key, lambda _, key=key: seen.append(key))  # type: ignore[misc]
    assert seen == list(range(MAX_WAITING))


@pytest.mark.usefixtures("quiet")
def test_a_fault_stops_nothing_else() -> None:
    """It is counted; the gauges of others are set."""
    forget_internal_errors()
    instruments = Instruments()
    instruments.later("one", fault)
    instruments.later("other", lambda store: store.set(c.RATELIMIT_REMAINING, LABELS, 7))
    assert instruments.snapshot() == [(c.RATELIMIT_REMAINING, [Point(LABELS, 7, 0)])]
    assert internal_errors() == {"instruments": 1}
    forget_internal_errors()


def test_a_span_is_finished_before_it_is_written() -> None:
    """What was put off happens once, and what it finds is on the span."""
    with recording() as recorded:
        span = recorded.recorder.start("x", Role.OTHER, {})

        def find(ended: Span, _: Instruments) -> None:
            ended.attributes["found"] = ended.end_ns > 0

        span.deferred = find
        recorded.recorder.end(span)
        assert "found" not in span.attributes
        assert recorded.span("x").attributes == {"found": True}
        assert span.deferred is None


@pytest.mark.usefixtures("quiet")
def test_a_span_is_not_lost_with_what_was_put_off() -> None:
    """The span is written without it, and the account balances."""
    forget_internal_errors()
    with recording() as recorded:
        span = recorded.recorder.start("x", Role.OTHER, {"kept": 1})
        span.deferred = fault
        recorded.recorder.end(span)
        assert recorded.span("x").attributes == {"kept": 1}
        assert recorded.account().balanced
    assert internal_errors() == {"deferred": 1}
    forget_internal_errors()


def test_merged_observations() -> None:
    """Counts by bucket add up with what was observed one by one."""
    metric = c.OPERATION_CHUNK_GAP
    counts = [0] * (len(metric.buckets) + 1)
    counts[0], counts[-1] = 2, 1
    instruments = Instruments()
    instruments.observe(metric, ("chat", "p", "m"), 0.005)
    instruments.merge(metric, ("chat", "p", "m"), counts, 100.5)
    ((_, (point,)),) = instruments.snapshot()
    assert (point.bucket_counts[0], point.bucket_counts[-1], point.count) == (3, 1, 4)
    assert point.value == pytest.approx(100.505)
