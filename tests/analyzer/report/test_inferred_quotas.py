"""A quota that only refusals tell of, against buckets whose limit is known."""

import heapq
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from agentscope_analyzer.ceilings.quotas import Quota, quota_given
from agentscope_analyzer.ceilings.refusals import quota_by_refusals

T0_NS = 1_790_000_000_000_000_000


class Attempt(NamedTuple):
    """One HTTP request to the provider."""

    at_s: float
    session: int
    call: int
    status: int
    read: int
    written: int


@dataclass
class Limited:
    """A provider's quota and the sessions that run into it."""

    limit: float = 120.0
    """A minute; of requests, or of tokens."""
    counts: str = "requests"
    capacity: float = 1.0
    """What the bucket holds, in minutes' worth."""
    full: float = 1.0
    """How full it is at first."""
    by_the_minute: bool = False
    sessions: int = 30
    think_s: tuple[float, float] = (4.0, 8.0)
    read: tuple[int, int] = (200, 2000)
    written: tuple[int, int] = (20, 200)
    retries: int = 6
    seconds: float = 240.0

    def attempts(self, seed: int) -> list[Attempt]:
        """What the provider was asked, and how it answered; refused ones come again after a while."""
        draw = random.Random(seed)
        due = [(draw.uniform(0, 6), n, n, 0, *self._size(draw)) for n in range(self.sessions)]
        heapq.heapify(due)
        most, level, then_s = (
            self.limit * self.capacity,
            self.limit * self.capacity * self.full,
            0.0,
        )
        found, calls = [], self.sessions
        while due[0][0] < self.seconds:
            at_s, session, call, tried, read, written = heapq.heappop(due)
            if not self.by_the_minute:
                level = min(most, level + (at_s - then_s) * self.limit / 60)
            elif at_s // 60 > then_s // 60:
                level = self.limit
            then_s = at_s
            takes = {"requests": 1, "tokens": read + written, "output_tokens": written}[self.counts]
            refused = level < takes
            found.append(Attempt(at_s, session, call, 429 if refused else 200, read, written))
            if refused and tried < self.retries:
                next_s = at_s + min(8.0, 0.5 * 2**tried) * draw.uniform(0.75, 1)
                heapq.heappush(due, (next_s, session, call, tried + 1, read, written))
                continue
            level -= 0 if refused else takes
            next_s = at_s + 1.0 + draw.uniform(*self.think_s)
            heapq.heappush(due, (next_s, session, calls, 0, *self._size(draw)))
            calls += 1
        return found

    def _size(self, draw: random.Random) -> tuple[int, int]:
        return draw.randint(*self.read), draw.randint(*self.written)

    def refusals(self, seed: int) -> list[dict[str, Any]]:
        """The rows of ``ceilings/refusals``."""
        rows, requests, read, written = [], 0, 0, 0
        for one in self.attempts(seed):
            if one.status == 429:
                rows.append(
                    {
                        "at_ns": T0_NS + round(one.at_s * 1e9),
                        "requests": requests,
                        "with_usage": requests,
                        "input_tokens": float(read),
                        "output_tokens": float(written),
                    }
                )
            else:
                requests, read, written = requests + 1, read + one.read, written + one.written
        return rows


def drawn(seed: int) -> Limited:
    """Any quota, a little or far too small for what is asked of it."""
    draw = random.Random(seed)
    counts = draw.choice(["requests", "tokens", "output_tokens"])
    size = {"requests": 1, "tokens": 1210, "output_tokens": 110}[counts]
    sessions = draw.randint(15, 60)
    asked = sessions * size * 60 / 7
    return Limited(
        limit=round(asked / draw.uniform(1.25, 3)),
        counts=counts,
        capacity=draw.choice([1.0, 1.0, 0.3]),
        full=draw.random(),
        by_the_minute=draw.random() < 0.4,
        sessions=sessions,
        seconds=draw.uniform(200, 400),
    )


def test_the_limit_is_told_whatever_the_bucket_and_however_full_it_was() -> None:
    """Of sixty quotas none is off by a tenth, 95 % of the intervals hold the limit, no kind is wrong."""
    told = holds = kinds = 0
    for seed in range(60):
        service = drawn(seed)
        quota = quota_by_refusals(service.refusals(seed))
        if not isinstance(quota, Quota):
            continue
        told += 1
        if "cannot be told" not in quota.says:
            assert (quota.dimension == "requests") == (service.counts == "requests")
        if quota.dimension == service.counts:
            kinds += 1
            assert quota.limit == pytest.approx(service.limit, rel=0.10)
            holds += (quota.low or 0) <= service.limit <= (quota.high or 0)
            assert not (quota.window_known and not service.by_the_minute)
    assert told >= 57
    assert kinds >= 50
    assert holds >= 0.95 * kinds


@pytest.mark.parametrize("full", [0.0, 0.5, 1.0])
def test_what_is_in_the_bucket_at_first_does_not_count(full: float) -> None:
    """Empty, half full or full: the limit is what is let in once it refuses."""
    quota = quota_by_refusals(Limited(full=full).refusals(1))
    assert isinstance(quota, Quota)
    assert quota.dimension == "requests"
    assert quota.limit == pytest.approx(120, rel=0.01)


def test_a_small_bucket_is_looked_at_where_it_was_not_full() -> None:
    """Two seconds' worth: it takes in less than its limit whenever nobody asks for a while."""
    service = Limited(capacity=2 / 60, sessions=80, think_s=(0, 60), retries=1, seconds=600.0)
    quota = quota_by_refusals(service.refusals(2))
    assert isinstance(quota, Quota)
    assert quota.limit == pytest.approx(120, rel=0.03)


def test_what_is_not_constant_is_no_limit() -> None:
    """The same bucket hardly reached: too little was let in to take that for its limit."""
    service = Limited(capacity=2 / 60, sessions=40, think_s=(0, 60), retries=0, seconds=900.0)
    said = quota_by_refusals(service.refusals(2))
    assert isinstance(said, str)
    assert "was not constant" in said


def test_calls_that_are_all_alike_do_not_tell_what_is_counted() -> None:
    """Requests and tokens are then in step; the sessions are the same either way, and it is said."""
    service = Limited(read=(500, 500), written=(50, 50))
    quota = quota_by_refusals(service.refusals(3))
    assert isinstance(quota, Quota)
    assert (quota.dimension, quota.limit) == ("requests", pytest.approx(120, rel=0.01))
    assert "either requests or tokens: which of them was constant cannot be told" in quota.says


def test_without_usage_tokens_are_not_looked_at() -> None:
    """Calls that do not say what they used leave the kind open."""
    rows = [{**row, "with_usage": 0} for row in Limited().refusals(4)]
    quota = quota_by_refusals(rows)
    assert isinstance(quota, Quota)
    assert "either requests or tokens: too few calls say their usage to tell" in quota.says


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (Limited().refusals(5)[:7], "refused at 7 moments, and 8 are needed"),
        (
            [{**row, "requests": 40} for row in Limited().refusals(5)],
            "nothing was let in between refusals: a longer quota, or no quota at all",
        ),
        (Limited().refusals(5)[:20], "they lasted for "),
        (
            [{**row, "requests": i**3} for i, row in enumerate(Limited().refusals(5)[::40])],
            "or came too unevenly",
        ),
    ],
    ids=["few", "shut", "short", "unsteady"],
)
def test_what_does_not_tell_a_limit_says_why(rows: list[dict[str, Any]], why: str) -> None:
    """Not enough data is an answer, and the user may know."""
    said = quota_by_refusals(rows)
    assert isinstance(said, str)
    assert why in said
    assert said.endswith("give it: --limit llm.requests=150/min")


def recorded(story: Any, service: Limited, seed: int = 1) -> None:
    """A turn for each call, which waits after a refusal and takes a second to be answered."""
    calls: dict[int, list[Attempt]] = {}
    for attempt in service.attempts(seed):
        calls.setdefault(attempt.call, []).append(attempt)
    for attempts in calls.values():
        first, last = attempts[0], attempts[-1]
        waited_s = last.at_s - first.at_s
        parts = [("llm.rate_limit", waited_s)] if waited_s else []
        trace = story.turn(f"s{first.session}", first.at_s, *parts, ("llm.first_token", 1.0))
        story.call(trace, first.at_s, took_s=waited_s + 1.0)
        answered = last.status == 200
        call = story.spans[-1]
        call["input_tokens"], call["output_tokens"] = (
            (first.read, first.written) if answered else (None, None)
        )
        call["status"] = "UNSET" if answered else "ERROR"
        for one in attempts:
            start_ns = T0_NS + round(one.at_s * 1e9)
            story.span(
                trace,
                parent_id=call["span_id"],
                kind="CLIENT",
                http_method="POST",
                http_status=one.status,
                start_ns=start_ns,
                end_ns=start_ns + 50_000_000,
            )


def test_a_run_without_headers_has_a_ceiling_all_the_same(story: Any) -> None:
    """Its limit, its interval and what it rests on are said."""
    recorded(story, Limited())
    report = story.report()
    (ceiling,) = [one for one in report.ceilings if one.resource.startswith("llm.")]
    assert (ceiling.resource, ceiling.dimension, ceiling.reached, ceiling.binding) == (
        "llm.requests",
        "minute",
        True,
        True,
    )
    assert ceiling.limit == pytest.approx(120, rel=0.01)
    assert ceiling.basis.startswith(
        "limit of openai gpt-4o-mini inferred from refusals: 120 [119, 121] requests a minute were "
        "let in while more was refused; requests, not tokens, were constant; what others use of the "
        "same quota is not in it; window rule"
    )
    assert "taken as a limit per minute, which nothing recorded confirms" in ceiling.basis


def test_what_somebody_says_comes_before_what_refusals_tell(story: Any) -> None:
    """A typed limit holds for every model; so does a header for its own."""
    recorded(story, Limited())
    (ceiling,) = story.report(limits=[quota_given("llm.requests=300/min")]).ceilings
    assert (ceiling.limit, "inferred" in ceiling.basis) == (300.0, False)


def test_an_overloaded_server_has_no_quota_to_tell(story: Any) -> None:
    """529 says that the provider, not the account, is at its limit."""
    recorded(story, Limited())
    for span in story.spans:
        if span.get("http_status") == 429:
            span["http_status"] = 529
    report = story.report()
    assert report.ceilings == []
    assert [check.detail for check in report.validity if check.check == "ceilings"] == [
        (
            "llm.requests: no quota was recorded, and refusals do not tell it: not enough data "
            "(refused at 0 moments, and 8 are needed); give it: --limit llm.requests=150/min"
        )
    ]


@pytest.mark.parametrize(("full", "reached"), [(0.0, True), (0.5, True), (1.0, False)])
def test_a_full_bucket_hides_for_a_while_that_too_much_is_asked(
    story: Any, full: float, reached: bool
) -> None:
    """Two minutes at 1.3 times the limit use up six tenths of a bucket: reached or not, the ceiling
    comes from the steady rate."""
    service = Limited(full=full, sessions=18, seconds=120.0)
    recorded(story, service)
    (ceiling,) = story.report(limits=[quota_given("llm.requests=120/min")]).ceilings
    assert ceiling.reached is reached
    assert ceiling.sessions == pytest.approx(120 / (60 / 7), abs=2)
    hidden = "asked for faster than it refills, which a full bucket bears for" in ceiling.basis
    assert hidden is not reached


def test_a_bucket_that_ran_out_was_reached_though_nothing_was_refused(story: Any) -> None:
    """Sent ahead of what refills by more than a bucket can hold."""
    recorded(story, Limited(limit=1e6, sessions=30, seconds=120.0))
    limits = [quota_given("llm.requests=100/min")]
    (ceiling,) = story.report(limits=limits).ceilings
    assert ceiling.reached
