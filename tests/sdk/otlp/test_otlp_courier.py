"""Deliveries: when they are tried, tried again, and what becomes of what was not taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentscope import conventions as c
from agentscope.export.otlp.courier import Courier
from agentscope.export.otlp.feed import Feed
from agentscope.export.otlp.payload import Envelope
from agentscope.export.otlp.sink import OtlpSink
from agentscope.recording.instruments import Instruments
from agentscope.recording.sink import SinkRefused, SinkUnavailable

Answer = bytes | Exception


class Receiver:
    """Answers each request with the next of ``answers``, then with success."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sizes: list[int] = []
        self.closed = False

    def send(self, body: bytes) -> bytes:
        answer = self.answers.pop(0) if self.answers else b""
        if isinstance(answer, Exception):
            raise answer
        self.sizes.append(len(body))
        return answer

    def close(self) -> None:
        self.closed = True


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def courier(
    clock: Hand,
    spans: Receiver | None = None,
    metrics: Receiver | None = None,
    instruments: Instruments | None = None,
    jitter: Callable[[float, float], float] = lambda low, high: high,
    max_queue_bytes: int = 1 << 20,
) -> Courier:
    envelope = Envelope({}, "1")
    return Courier(
        None if spans is None else OtlpSink(spans, envelope),
        None if metrics is None else OtlpSink(metrics, envelope),
        instruments=instruments or Instruments(),
        feed=Feed(1),
        epoch_ns=lambda: 2,
        max_queue_bytes=max_queue_bytes,
        monotonic_s=clock,
        jitter=jitter,
    )


def put(one: Courier) -> None:
    assert one.outbox is not None
    one.outbox.put(b"span")


def told(one: Courier, created: int) -> dict[str, object]:
    assert one.outbox is not None
    account = one.outbox.account(created, 0)
    assert account.balanced
    return {
        "delivered": account.delivered, "dropped": account.dropped, "pending": account.pending
    }  # fmt: skip


def test_spans_go_after_the_delay_or_when_a_batch_is_full() -> None:
    """Five seconds by default; 512 spans do not wait for them."""
    clock, receiver = Hand(), Receiver()
    one = courier(clock, receiver)
    put(one)
    assert one.deliver() == 5.0
    assert receiver.sizes == []
    clock.now_s = 5.0
    assert one.deliver() == 5.0
    assert len(receiver.sizes) == 1
    for _ in range(512):
        put(one)
    clock.now_s = 6.0
    one.deliver()
    assert len(receiver.sizes) == 2
    assert told(one, 513) == {"delivered": 513, "dropped": {}, "pending": 0}


def test_a_receiver_that_is_away_is_tried_again_less_and_less_often() -> None:
    """1, 2, 4, … 64 seconds; nothing is lost; afterwards it is as before."""
    clock = Hand()
    receiver = Receiver(*[SinkUnavailable("unreachable")] * 9)
    one = courier(clock, receiver)
    put(one)
    clock.now_s = 5.0
    pauses = []
    while receiver.answers:
        pauses.append(one.deliver())
        clock.now_s += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]
    assert told(one, 1) == {"delivered": 0, "dropped": {}, "pending": 1}
    assert one.deliver() == 5.0
    assert told(one, 1) == {"delivered": 1, "dropped": {}, "pending": 0}


def test_a_fleet_does_not_come_back_at_one_time() -> None:
    """Each pause is drawn from its upper half."""
    asked: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    clock = Hand()
    one = courier(clock, Receiver(*[SinkUnavailable("x")] * 2), jitter=jitter)
    put(one)
    clock.now_s = 5.0
    clock.now_s += one.deliver()
    one.deliver()
    assert asked == [(0.5, 1.0), (1.0, 2.0)]


def test_a_receiver_says_when_to_come_back() -> None:
    """``Retry-After`` is obeyed, up to five minutes."""
    clock = Hand()
    receiver = Receiver(SinkUnavailable("http_429", 30.0), SinkUnavailable("http_429", 1e9))
    one = courier(clock, receiver)
    put(one)
    clock.now_s = 5.0
    first = one.deliver()
    clock.now_s += first
    assert (first, one.deliver()) == (30.0, 300.0)


def test_what_is_refused_for_good_is_counted_and_not_sent_again() -> None:
    """All of a batch, or as many as the receiver names."""
    partly = ExportTraceServiceResponse()
    partly.partial_success.rejected_spans = 2
    clock = Hand()
    receiver = Receiver(SinkRefused("http_400"), partly.SerializeToString())
    one = courier(clock, receiver)
    for _ in range(3):
        put(one)
    one.deliver(everything=True)
    assert told(one, 3) == {"delivered": 0, "dropped": {"http_400": 3}, "pending": 0}
    for _ in range(3):
        put(one)
    one.deliver(everything=True)
    dropped = {"http_400": 3, "refused_by_receiver": 2}
    assert told(one, 6) == {"delivered": 1, "dropped": dropped, "pending": 0}


def test_the_queue_is_bounded_while_the_receiver_is_away() -> None:
    """The newest go, counted."""
    one = courier(Hand(), Receiver(), max_queue_bytes=10)
    for _ in range(5):
        put(one)
    assert told(one, 5) == {"delivered": 0, "dropped": {"queue_full": 3}, "pending": 2}


def test_metrics_go_at_their_interval_and_are_not_kept() -> None:
    """A snapshot that did not arrive is counted as dropped; the next one says the same and more."""
    clock, instruments = Hand(), Instruments()
    receiver = Receiver(SinkUnavailable("unreachable"))
    one = courier(clock, metrics=receiver, instruments=instruments)
    instruments.add(c.ERRORS, ("E",), 1)
    assert one.deliver() == 60.0
    clock.now_s = 60.0
    assert one.deliver() == 60.0
    clock.now_s = 120.0
    one.deliver()
    assert len(receiver.sizes) == 1
    account = one.metrics_accounts()[0]
    assert (account.created, account.delivered, account.dropped) == (2, 1, {"unreachable": 1})
    assert account.balanced


def test_the_end_sends_everything_once() -> None:
    """What then does not arrive is counted; connections are given back."""
    clock, receiver = Hand(), Receiver(SinkUnavailable("unreachable"))
    one = courier(clock, receiver)
    put(one)
    one.close()
    assert told(one, 1) == {"delivered": 0, "dropped": {"unreachable": 1}, "pending": 0}
    assert receiver.closed


def test_a_page_of_a_proxy_with_status_200_is_a_success() -> None:
    """The status says that all is well; the body is nobody's message."""
    one = courier(Hand(), Receiver(b"<html>ok</html>"))
    put(one)
    one.deliver(everything=True)
    assert told(one, 1)["delivered"] == 1


@pytest.mark.parametrize("signals", ["spans", "metrics"])
def test_one_signal_alone(signals: str) -> None:
    """The other one may be switched off."""
    clock, receiver, instruments = Hand(), Receiver(), Instruments()
    one = courier(clock, instruments=instruments, **{signals: receiver})
    if signals == "spans":
        put(one)
    else:
        instruments.add(c.ERRORS, ("E",), 1)
    clock.now_s = 60.0
    one.deliver()
    one.close()
    assert len(receiver.sizes) >= 1


def test_a_long_way_back_does_not_starve_the_metrics() -> None:
    """Spans that waited go in batches; when metrics are due in between, they are sent first."""
    clock, instruments = Hand(), Instruments()
    order: list[str] = []

    class Slow(Receiver):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def send(self, body: bytes) -> bytes:
            clock.now_s += 25.0
            order.append(self.name)
            return super().send(body)

    one = courier(clock, Slow("spans"), Slow("metrics"), instruments)
    instruments.add(c.ERRORS, ("E",), 1)
    for _ in range(5 * 512):
        put(one)
    while told(one, 5 * 512)["pending"]:
        clock.now_s += one.deliver()
    assert order[:5] == ["spans", "spans", "spans", "metrics", "spans"]


def test_metrics_obey_who_wants_to_be_left_alone() -> None:
    """``Retry-After`` holds for them too, where it is longer than their interval."""
    clock, instruments = Hand(), Instruments()
    receiver = Receiver(SinkUnavailable("http_429", 200.0))
    one = courier(clock, metrics=receiver, instruments=instruments)
    instruments.add(c.ERRORS, ("E",), 1)
    clock.now_s = 60.0
    assert one.deliver() == 200.0


def test_a_pause_begins_when_the_refusal_has_come() -> None:
    """A receiver that takes ten seconds to say no is to have its rest after them."""
    clock = Hand()

    class Slow(Receiver):
        def send(self, body: bytes) -> bytes:
            clock.now_s += 10.0
            return super().send(body)

    one = courier(clock, Slow(SinkUnavailable("timeout")))
    put(one)
    clock.now_s = 5.0
    assert one.deliver() == 1.0


def test_less_than_nothing_is_refused() -> None:
    """A count below zero is nobody's."""
    partly = ExportTraceServiceResponse()
    partly.partial_success.rejected_spans = -1
    one = courier(Hand(), Receiver(partly.SerializeToString()))
    put(one)
    one.deliver(everything=True)
    assert told(one, 1) == {"delivered": 1, "dropped": {}, "pending": 0}


def test_a_receivers_own_words_are_passed_on_once(caplog: pytest.LogCaptureFixture) -> None:
    """Also where it took everything and only warns; what they hold cannot mark up a terminal."""
    warning = ExportTraceServiceResponse()
    warning.partial_success.error_message = "quota \x1b[31mnearly\n used up"
    one = courier(Hand(), Receiver(*[warning.SerializeToString()] * 2))
    for _ in range(2):
        put(one)
        one.deliver(everything=True)
    assert [record.getMessage() for record in caplog.records] == [
        "agentscope: the receiver of otlp says: 'quota \\x1b[31mnearly\\n used up'"
    ]
    assert told(one, 2) == {"delivered": 2, "dropped": {}, "pending": 0}


def test_spans_that_are_refused_one_by_one_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each reason."""
    one = courier(Hand(), Receiver(*[SinkRefused("http_400")] * 20))
    for _ in range(20):
        put(one)
        one.deliver(everything=True)
    assert len(caplog.records) == 1
    assert told(one, 20) == {"delivered": 0, "dropped": {"http_400": 20}, "pending": 0}
