"""Which cause a span's own time has, from what the spans around it say.

Own time is what the critical path leaves to a span itself. For most spans it has one cause; for a
call of a model it changes as the call goes on (attempt, back-off, attempt, first chunk, stream), so
a span's cause is a step function of time. Rules, by the span's role:

- wait: what the wait's kind says. Waiting for a connection is ``llm.connection`` below an inference
  or an ``llm_call`` phase, else ``http.upstream``; kinds that we do not know explain nothing and
  inherit.
- database: ``db.query``, with everything below it that says nothing of its own.
- tool, context_load: ``tool.execution``, ``context.load``, beyond what their children explain.
- http below an inference is one attempt of it: failed with 429 or 529 ``llm.rate_limit``, failed
  otherwise or refused for billing ``llm.retry`` (a call that failed for billing in the end was
  refused for it before, too, and its sleeps follow from that), else ``llm.first_token`` until the inference's first chunk and
  ``llm.generation`` after it; all of it ``llm.first_token`` when not streamed. An attempt that the
  caller cancelled failed (a time-out) if another one followed it, else the model was at work.
- http elsewhere: ``http.upstream``, with what the other service did unless its spans say more.
- inference: what lies between two attempts has the cause that the first one failed with, whether or
  not a wait span was written; so has what follows a last attempt that failed (a back-off that was
  cancelled). What follows a good last attempt is still the model's answer while it streams. The
  rest is the turn's own code. An inference without attempts (most instrumentations write none) is
  its own attempt.
- llm_call phase: with no inference below it, it stands for one that is not streamed. With
  inferences below it, time between a failed one and the next is waiting after the failure: retry
  loops in the user's code are retries too.
- everything else is the turn's own code: it has the cause of the nearest span above that has one
  (a tool, context loading, a call), and else none: ``unattributed``.

A span that overlaps its successor on the path (a hedged attempt) is not on it; the inference's own
time under it has its cause all the same.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agentscope.conventions import CAUSES, UNATTRIBUTED, Phase, Wait
from agentscope_analyzer.attribution.critical_path import Section
from agentscope_analyzer.attribution.spans import Spans

__all__ = [
    "CAUSE_NAMES",
    "CLIENT_SEND",
    "CONTEXT",
    "EVENT_LOOP",
    "FIRST_TOKEN",
    "GC",
    "GENERATION",
    "NOTHING",
    "OWN_CODE",
    "QUERY",
    "RATE_LIMIT",
    "RETRY",
    "THROTTLED",
    "TOOL",
    "UPSTREAM",
    "Causes",
    "Piece",
    "wait_codes",
]

Piece = tuple[int, int, int, int]
"""Start, end, row of the span, code of the cause."""

CAUSE_NAMES: Final = tuple(CAUSES)
_CODE: Final = {name: code for code, name in enumerate(CAUSE_NAMES)}

OWN_CODE: Final = 64
"""Added to a cause's code: it is the process's own code that ran, not something it awaited."""

CLIENT_SEND: Final = _CODE["client.send"]
EVENT_LOOP: Final = _CODE["runtime.event_loop"]
GC: Final = _CODE["runtime.gc"]
GENERATION: Final = _CODE["llm.generation"]
RATE_LIMIT: Final = _CODE["llm.rate_limit"]
RETRY: Final = _CODE["llm.retry"]
THROTTLED: Final = _CODE["runtime.throttled"]
NOTHING: Final = _CODE[UNATTRIBUTED] + OWN_CODE
CONNECTION: Final = _CODE["llm.connection"]
FIRST_TOKEN: Final = _CODE["llm.first_token"]
QUERY: Final = _CODE["db.query"]
UPSTREAM: Final = _CODE["http.upstream"]
TOOL: Final = _CODE["tool.execution"] + OWN_CODE
CONTEXT: Final = _CODE["context.load"] + OWN_CODE

_CONNECTION_WAITS: Final = frozenset(f"wait.{w}" for w in (Wait.HTTP_POOL, Wait.HTTP_CONNECT))
_WAITS: Final = {
    f"wait.{wait}": _CODE[cause]
    for wait, cause in {
        Wait.DB_POOL: "db.pool",
        Wait.RATE_LIMIT: "llm.rate_limit",
        Wait.RETRY_BACKOFF: "llm.retry",
        Wait.THREADPOOL: "runtime.threadpool",
        Wait.LOCK: "wait.lock",
    }.items()
}
_BILLING: Final = "billing"
_FAILED: Final = {"llm.rate_limit": RATE_LIMIT, "llm.retry": RETRY, _BILLING: RETRY}


_CONTEXT_LOAD: Final = Phase.CONTEXT_LOAD.value
_LLM_CALL: Final = Phase.LLM_CALL.value

_Context = tuple[int, int, int, int]
"""What a span hands down to those below it; -1 stands for none:

the code that own code below it has; the inference or llm_call phase that calls below it are part
of; the same where HTTP calls below it are its attempts; the attempt that it lies below or is.
"""

_IN_TURN: Final = (NOTHING, -1, -1, -1)
_IN_QUERY: Final = (QUERY, -1, -1, -1)
_IN_UPSTREAM: Final = (UPSTREAM, -1, -1, -1)
_IN_TOOL: Final = (TOOL, -1, -1, -1)
_IN_CONTEXT_LOAD: Final = (CONTEXT, -1, -1, -1)


class _Steps(NamedTuple):
    """``codes[i]`` holds from ``times[i - 1]`` to ``times[i]``."""

    times: list[int]
    codes: list[int]


@dataclass(slots=True)
class Causes:
    """The causes of the spans of one portion, turn by turn."""

    spans: Spans
    _code: dict[int, int] = field(default_factory=dict)
    _steps: dict[int, _Steps] = field(default_factory=dict)
    _calls: dict[int, list[int]] = field(default_factory=dict)
    _inherited: dict[int, int] = field(default_factory=dict)
    _sleeps: dict[int, list[int]] = field(default_factory=dict)

    def classify(self, order: list[int]) -> None:
        """Find the cause of every span of one turn; ``order`` has parents before children."""
        spans = self.spans
        roles, parents, origin = spans.role, spans.parent, spans.origin
        code: dict[int, int] = {}
        context: dict[int, _Context] = {-1: _IN_TURN}
        alike: list[tuple[int, int]] = []
        self._code, self._steps, self._calls, self._inherited = code, {}, {}, {}
        self._sleeps = {}
        with_inference = self._with_inference(order)
        for row in order:
            above = context[parents[row]]
            inherited, call, attempts_of, within = above
            role = roles[row]
            if role == "own":
                code[row] = inherited
                context[row] = above
                if within >= 0:
                    alike.append((row, within))
            elif row in origin:
                context[row] = context[origin[row]]
                alike.append((row, origin[row]))
            elif role == "database":
                code[row] = QUERY
                context[row] = _IN_QUERY
            elif role == "http":
                if within >= 0:  # two instrumentations saw the same attempt
                    alike.append((row, within))
                    context[row] = above
                elif attempts_of >= 0:
                    self._calls[attempts_of].append(row)
                    code[row] = FIRST_TOKEN
                    context[row] = (FIRST_TOKEN, call, attempts_of, row)
                else:  # some databases speak HTTP
                    code[row] = QUERY if inherited == QUERY else UPSTREAM
                    context[row] = above if inherited == QUERY else _IN_UPSTREAM
            elif role == "inference":
                self._call(row, inherited, call)
                context[row] = (inherited, row, row, -1)
            elif role == "tool":
                code[row] = TOOL
                context[row] = _IN_TOOL
            elif role == _CONTEXT_LOAD:
                code[row] = CONTEXT
                context[row] = _IN_CONTEXT_LOAD
            elif role == _LLM_CALL:
                self._call(row, inherited, call)
                context[row] = (inherited, row, -1 if row in with_inference else row, -1)
            elif role == "agent":
                code[row] = inherited
                context[row] = (inherited, -1, -1, -1)
            else:
                code[row] = _wait(role, inherited, call)
                if code[row] == RATE_LIMIT and call >= 0:
                    self._sleeps.setdefault(call, []).append(row)
                context[row] = (code[row], call, attempts_of, -1)
        for row, calls in self._calls.items():
            self._settle(row, calls, row in with_inference)
        for row, other in alike:
            code[row] = code[other]
            if other in self._steps:
                self._steps[row] = self._steps[other]

    def pieces(self, sections: list[Section]) -> list[Piece]:
        """The sections of a path, divided where the cause changes."""
        code, steps = self._code, self._steps
        if not steps:
            return [(a, b, row, code[row]) for a, b, row in sections]
        out: list[Piece] = []
        for a, b, row in sections:
            if row not in steps:
                out.append((a, b, row, code[row]))
                continue
            times, codes = steps[row]
            i = bisect_right(times, a)
            while i < len(times) and times[i] < b:
                if times[i] > a:
                    out.append((a, times[i], row, codes[i]))
                    a = times[i]
                i += 1
            out.append((a, b, row, codes[i]))
        return out

    def bases(self, rows: list[int]) -> list[int]:
        """One cause a span: where it changes (in a call of a model), the call's."""
        code, steps = self._code, self._steps
        if not steps:
            return [code[row] & ~OWN_CODE for row in rows]
        return [
            (code[row] if row not in steps else _most_telling(steps[row].codes)) & ~OWN_CODE
            for row in rows
        ]

    def _with_inference(self, order: list[int]) -> set[int]:
        roles, parents = self.spans.role, self.spans.parent
        found: set[int] = set()
        for row in order:
            if roles[row] == "inference":
                up = parents[row]
                while up >= 0 and up not in found:
                    found.add(up)
                    up = parents[up]
        return found

    def _call(self, row: int, inherited: int, call: int) -> None:
        self._calls[row] = []
        self._inherited[row] = inherited
        if call >= 0:
            self._calls[call].append(row)

    def _settle(self, row: int, calls: list[int], nests: bool) -> None:
        """Find the cause of a call's own time, and of its attempts', from how they went."""
        spans, own = self.spans, self._inherited[row]
        inference = spans.role[row] == "inference"
        chunk = spans.first_chunk[row] if inference else None
        if not calls:
            failed = _FAILED.get(spans.failure[row] or "") if inference else None
            if nests and not inference:  # its inferences are in a tool or an agent below it
                self._code[row] = own
            else:
                self._attempt(row, failed, chunk)
            return
        self._code[row] = own
        if not inference and len(calls) == 1 and spans.role[calls[0]] == "inference":
            return
        calls.sort(key=spans.raw_start.__getitem__)
        outcomes = {call: _outcome(spans.failure[call], call != calls[-1]) for call in calls}
        if spans.failure[row] == _BILLING or any(spans.failure[call] == _BILLING for call in calls):
            self._unpaid(row, outcomes)
        for call, failed in outcomes.items():
            if spans.role[call] == "http":
                self._attempt(call, failed, chunk)
        streams = inference and spans.streams[row]
        if len(calls) > 1 or streams or outcomes[calls[0]] is not None:
            self._steps[row] = self._between(calls, outcomes, own, inference, streams, chunk)

    def _unpaid(self, row: int, outcomes: dict[int, int | None]) -> None:
        """No attempt or sleep of a call that was refused for billing is a matter of rate."""
        for call, failed in outcomes.items():
            if failed == RATE_LIMIT and self.spans.role[call] == "http":
                outcomes[call] = RETRY
        for sleep in self._sleeps.get(row, ()):
            self._code[sleep] = RETRY

    def _attempt(self, row: int, failed: int | None, chunk: int | None) -> None:
        self._code[row] = FIRST_TOKEN if failed is None else failed
        if failed is None and chunk is not None:
            self._steps[row] = _Steps([chunk], [FIRST_TOKEN, GENERATION])

    def _between(
        self,
        calls: list[int],
        outcomes: dict[int, int | None],
        own: int,
        inference: bool,
        streams: bool,
        chunk: int | None,
    ) -> _Steps:
        """The step function of the own time of a call that consists of ``calls``."""
        start, end = self.spans.raw_start, self.spans.raw_end
        steps = _Steps([], [own])
        path = _not_beside_another(calls, end)
        for call in path:
            failed, last = outcomes[call], call == path[-1]
            while steps.times and steps.times[-1] > start[call]:
                steps.times.pop()
                steps.codes.pop()
            _answer(steps, start[call], end[call], failed, chunk)
            if failed is not None and (inference or not last):
                _step(steps, end[call], failed)
            elif failed is None and last and streams:
                _answer(steps, end[call], None, None, chunk)
            else:
                _step(steps, end[call], own)
        return steps


def _answer(
    steps: _Steps, start_ns: int, end_ns: int | None, failed: int | None, chunk: int | None
) -> None:
    # An attempt, or what of a streamed answer comes after it: until end_ns, or until further notice.
    if failed is not None:
        _step(steps, start_ns, failed)
    elif chunk is None or chunk > start_ns:
        _step(steps, start_ns, FIRST_TOKEN)
        if chunk is not None and (end_ns is None or chunk < end_ns):
            _step(steps, chunk, GENERATION)
    else:
        _step(steps, start_ns, GENERATION)


def _most_telling(codes: list[int]) -> int:
    return next((code for code in codes if code < OWN_CODE), codes[0])


def _not_beside_another(calls: list[int], end: list[int]) -> list[int]:
    # Without those that lie wholly beside a call that started earlier and lasted longer.
    kept: list[int] = []
    for call in calls:
        if not kept or end[call] > end[kept[-1]]:
            kept.append(call)
    return kept


def _step(steps: _Steps, at_ns: int, code: int) -> None:
    steps.times.append(at_ns)
    steps.codes.append(code)


def _outcome(failure: str | None, followed: bool) -> int | None:
    if failure == "cancelled":
        return RETRY if followed else None
    return _FAILED.get(failure or "")


def _wait(role: str, inherited: int, call: int) -> int:
    below_call, elsewhere = wait_codes(role)
    code = below_call if call >= 0 else elsewhere
    return inherited if code < 0 else code


def wait_codes(role: str) -> tuple[int, int]:
    """The cause of a wait below a call of a model, and elsewhere; -1: that of what is above it."""
    if role in _CONNECTION_WAITS:
        return CONNECTION, UPSTREAM
    code = _WAITS.get(role, -1)
    return code, code
