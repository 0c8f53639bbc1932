"""One logical call of a model: its span, from the request to the end of the answer."""

from __future__ import annotations

from agentscope import conventions as c
from agentscope.clients.attempts import attempts_of
from agentscope.clients.bodies import BodyEnd
from agentscope.clients.gaps import Gaps
from agentscope.clients.refusals import error_code
from agentscope.recording.clock import Clock
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import CLIENT, AttributeValue, Role, Span
from agentscope.turns import begin_turn
from agentscope.wrappers import outcome_of


def begin(recorder: Recorder, name: str, attributes: dict[str, AttributeValue]) -> Call:
    """Start an inference under the current span, or take the user's own one that is current.

    The user's (``@llm_call(model=…)``) is taken when it is the same operation and no other call
    has answered in it: so a retry loop of the user's is one inference with several attempts.
    """
    current = current_span()
    if current is not None and current.role is Role.INFERENCE and not current.end_ns:
        operation = attributes[c.OPERATION_NAME]
        attempts = attempts_of(current)
        if not attempts.adopted and current.attributes.get(c.OPERATION_NAME) == operation:
            attempts.adopted = True
            current.attributes.pop(c.LLM_ERROR_CODE, None)  # of an attempt before this one
            for key, value in attributes.items():
                current.attributes.setdefault(key, value)
            return Call(recorder, current, owned=False)
    span = recorder.start(name, Role.INFERENCE, attributes, CLIENT)
    recorder.open[span.span_id] = span
    turn = span.turn
    if turn is not None and c.TURN not in turn.attributes:
        begin_turn(turn)
    return Call(recorder, span, owned=True)


class Call:
    """A call that is running. Its end is told by whoever sees it first; later ones change nothing.

    The end of a streamed answer has three witnesses: the iterator the user reads, the HTTP body
    below it, and the garbage collector.
    """

    __slots__ = ("_owned", "_recorder", "begun", "complete", "iterated", "reading", "span")

    def __init__(self, recorder: Recorder, span: Span, owned: bool) -> None:
        self._recorder = recorder
        self._owned = owned
        self.span = span
        self.begun = False
        """The answer has said who it is, and has some content: the chunks to come need no look."""
        self.complete = False
        """The model said that it has finished."""
        self.iterated = False
        """Somebody reads the chunks, so the body's end is not yet the answer's."""
        self.reading = False
        """The library is at work inside the body; what it does there is not the user's doing."""

    @property
    def clock(self) -> Clock:
        """The clock that the span is on."""
        return self._recorder.clock

    def chunk_gaps(self) -> Gaps:
        """Where the reader of a streamed answer notes when its chunks come."""
        attempts = attempts_of(self.span)
        gaps = attempts.gaps
        if gaps is None:
            gaps = attempts.gaps = Gaps()
            self.span.deferred = gaps.report
        else:
            gaps.next_stream()
        return gaps

    def note(self, key: str, value: AttributeValue) -> None:
        """Set an attribute that nobody has set."""
        self.span.attributes.setdefault(key, value)

    def first_content(self) -> None:
        """The first content has come."""
        if c.TIME_TO_FIRST_CHUNK not in self.span.attributes:
            elapsed_ns = self._recorder.clock.monotonic_ns() - self.span.start_ns
            self.span.attributes[c.TIME_TO_FIRST_CHUNK] = elapsed_ns / 1e9

    def done(self) -> None:
        """The answer is there."""
        self._end(c.Outcome.OK, None)

    def fail(self, error: BaseException | str) -> None:
        """The call ended with ``error``."""
        self._end(c.Outcome.ERROR if isinstance(error, str) else outcome_of(error), error)

    def read_out(self) -> None:
        """The stream has ended by itself."""
        if self.complete:
            self.done()
        else:
            self.fail(c.STREAM_TRUNCATED)

    def dropped(self) -> None:
        """Nobody will read on. Who stops after the model's last word has abandoned nothing."""
        self._end(c.Outcome.OK if self.complete else c.Outcome.ABANDONED, None)

    def body_over(self, how: BodyEnd, error: BaseException | None) -> None:
        """What a followed body calls."""
        if self.reading or (self.iterated and how is BodyEnd.READ):
            return
        if error is not None:
            self.fail(error)
        elif how is BodyEnd.READ:
            self.done()
        else:
            self.dropped()

    def _end(self, outcome: c.Outcome, error: BaseException | str | None) -> None:
        span = self.span
        try:
            if span.end_ns:
                return
            code = error_code(error) if isinstance(error, BaseException) else None
            if code is not None:
                span.attributes[c.LLM_ERROR_CODE] = code
            if not self._owned:  # the user's own span: its end is theirs to tell
                if outcome is c.Outcome.ERROR:
                    attempts_of(span).adopted = False
                return
            span.attributes[c.OUTCOME] = outcome.value
            if outcome is c.Outcome.ERROR and error is not None:
                span.fail(error)
            self._recorder.end(span)
        except Exception as fault:
            internal_error("clients.inference", fault)
