"""Calls of models that two instrumentations recorded side by side: each counts once, told by both."""

from __future__ import annotations

from typing import Any

import pytest

from agentscope_analyzer.sql import ask, expanded, questions

INFERENCES = expanded(questions()["llm/_inferences"])
T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000
OURS, THEIRS = "agentscope", "opentelemetry.instrumentation.openai.v1"


@pytest.fixture
def turn(story: Any) -> dict[str, Any]:
    """A turn of ours, the parent of what follows."""
    story.turn("s", 0.0, ("unattributed", 1.0))
    return dict(story.spans[0])


def chat(
    story: Any, parent: dict[str, Any], scope: str, start_ms: float, end_ms: float, **columns: Any
) -> dict[str, Any]:
    told = {"kind": "CLIENT", "operation": "chat", "model": "m", "provider": "openai"}
    return child(story, parent, start_ms, end_ms, scope=scope, **{**told, **columns})


def child(
    story: Any, parent: dict[str, Any], start_ms: float, end_ms: float, **columns: Any
) -> dict[str, Any]:
    times = {"start_ns": T0_NS + round(start_ms * MS), "end_ns": T0_NS + round(end_ms * MS)}
    columns = {"parent_id": parent["span_id"], **times, **columns}
    story.span(parent["trace_id"], **columns)
    return dict(story.spans[-1])


def answer(response_id: str) -> dict[str, Any]:
    return {"response_id": response_id}


def calls(story: Any) -> set[str]:
    """The spans that stand for calls."""
    return {row["span_id"] for row in story.told().query(INFERENCES)}


def ids(*spans: dict[str, Any]) -> set[str]:
    return {span["span_id"] for span in spans}


def test_a_call_counts_once_and_is_told_by_both(story: Any, turn: dict[str, Any]) -> None:
    """Ours has attempts and first chunk, theirs alone has tokens and the model that answered."""
    chat(story, turn, THEIRS, 10, 90, model="m-2026", input_tokens=7, output_tokens=5)
    ours = chat(story, turn, OURS, 11, 89, model=None, streamed=True, first_chunk_s=0.05)
    refused = {"kind": "CLIENT", "scope": OURS, "http_method": "POST", "http_status": 429}
    child(story, ours, 12, 20, **refused)
    child(story, ours, 40, 88, **{**refused, "http_status": 200})
    (row,) = ask(story.told(), "llm/by_model")
    assert {name: row[name] for name in ("model", "calls", "attempts", "rate_limited")} == {
        "model": "m-2026",
        "calls": 1,
        "attempts": 2,
        "rate_limited": 1,
    }
    assert (row["input_tokens"], row["output_tokens"]) == (7, 5)
    assert (row["backoff_s"], row["ttft_p50_s"]) == pytest.approx((0.02, 0.05))


def test_parallel_calls_are_told_by_their_own_doubles(story: Any, turn: dict[str, Any]) -> None:
    """Two of ours and two of theirs at once: the short one lies within both of theirs."""
    for start, end, tokens in ((5, 95, 900), (8, 32, 3)):
        chat(story, turn, THEIRS, start, end, input_tokens=tokens)
    ours = [chat(story, turn, OURS, start, end) for start, end in ((6, 94), (9, 31))]
    rows = story.told().query(INFERENCES)
    assert {row["span_id"]: row["input_tokens"] for row in rows} == {
        ours[0]["span_id"]: 900,
        ours[1]["span_id"]: 3,
    }


def test_a_call_that_they_alone_recorded_stays(story: Any, turn: dict[str, Any]) -> None:
    """Another call of theirs around both spans of the short one, by a client that we do not see."""
    long = chat(story, turn, THEIRS, 0, 100)
    chat(story, turn, THEIRS, 10, 30)
    ours = chat(story, turn, OURS, 11, 29)
    assert calls(story) == ids(long, ours)


def test_spans_of_one_instrumentation_are_never_merged(story: Any, turn: dict[str, Any]) -> None:
    """A short call of ours during a long one."""
    both = [chat(story, turn, OURS, 0, 100), chat(story, turn, OURS, 10, 20)]
    assert calls(story) == ids(*both)


def test_answers_with_two_ids_are_two_calls(story: Any, turn: dict[str, Any]) -> None:
    """Theirs recorded one call, ours another that lies within it."""
    both = [
        chat(story, turn, THEIRS, 0, 100, **answer("a")),
        chat(story, turn, OURS, 10, 20, **answer("b")),
    ]
    assert calls(story) == ids(*both)


def test_one_answer_is_one_call_whatever_the_clocks_say(story: Any, turn: dict[str, Any]) -> None:
    """Ours reads the monotonic clock, theirs the wall clock, which was set meanwhile."""
    chat(story, turn, THEIRS, 500, 520, **answer("a"))
    ours = chat(story, turn, OURS, 10, 30, **answer("a"))
    assert calls(story) == ids(ours)


def test_another_model_is_another_call(story: Any, turn: dict[str, Any]) -> None:
    """Each instrumentation knows one client; a gateway's prefix alone makes no other model."""
    long = chat(story, turn, THEIRS, 0, 100, model="claude")
    short = chat(story, turn, OURS, 10, 20, model="gpt")
    prefixed = chat(story, turn, OURS, 200, 220, model="gpt")
    chat(story, turn, THEIRS, 199, 221, model="openai/gpt")
    assert calls(story) == ids(long, short, prefixed)


def test_a_call_below_a_chain_is_the_same_as_ours_below_a_phase(
    story: Any, turn: dict[str, Any]
) -> None:
    """Neither parent lies above the other; the chain and its agent are no calls."""
    agent = child(story, turn, 0, 100, scope=THEIRS, kind="INTERNAL", operation="invoke_agent")
    chain = child(story, agent, 1, 99, scope=THEIRS, kind="INTERNAL")
    phase = child(story, turn, 2, 98, scope=OURS, kind="INTERNAL", phase="llm_call")
    ours = []
    for start in (10, 50):
        chat(story, chain, THEIRS, start, start + 20)
        ours.append(chat(story, phase, OURS, start + 1, start + 19))
    assert calls(story) == ids(*ours)


def test_a_gateway_in_another_process_makes_a_call_of_its_own(
    story: Any, turn: dict[str, Any]
) -> None:
    """Their client asks our gateway for the same model: a request comes in between."""
    outer = chat(story, turn, THEIRS, 0, 100)
    sent = child(story, outer, 5, 95, scope=THEIRS, kind="CLIENT", http_method="POST")
    served = child(story, sent, 10, 90, scope=OURS, kind="SERVER")
    inner = chat(story, served, OURS, 12, 88)
    assert calls(story) == ids(outer, inner)


def test_three_instrumentations_of_one_client_record_one_call(
    story: Any, turn: dict[str, Any]
) -> None:
    """Ours leads, though it is the shortest; a span within one of theirs goes with it."""
    longest = chat(story, turn, THEIRS, 0, 100)
    chat(story, longest, "openinference", 10, 90)
    chat(story, turn, "logfire", 20, 80)
    ours = chat(story, turn, OURS, 30, 70)
    assert calls(story) == ids(ours)


def test_among_others_the_longest_leads(story: Any, turn: dict[str, Any]) -> None:
    """No span of ours: LangChain's callback beside the client's own instrumentation."""
    outer = chat(story, turn, "langchain", 0, 100, provider=None, model=None)
    chat(story, turn, THEIRS, 10, 90, input_tokens=3, output_tokens=2)
    (row,) = story.told().query(INFERENCES)
    told = (row["span_id"], row["provider"], row["model"], row["input_tokens"])
    assert told == (outer["span_id"], "openai", "m", 3)


def test_attempts_that_two_recorded_are_counted_once(story: Any, turn: dict[str, Any]) -> None:
    """An instrumentation of HTTP beside our hook makes no hidden retry."""
    ours = chat(story, turn, OURS, 0, 100)
    for scope, start, end in (("opentelemetry.instrumentation.httpx", 10, 90), (OURS, 11, 89)):
        sent = {"kind": "CLIENT", "http_method": "POST", "http_status": 200}
        child(story, ours, start, end, scope=scope, **sent)
    (row,) = ask(story.told(), "llm/by_model")
    assert (row["calls"], row["attempts"], row["retries"]) == (1, 1, 0)


def test_a_cycle_of_parents_ends(story: Any, turn: dict[str, Any]) -> None:
    """The search for the process of a call goes up, and stops where parents go round."""
    one = chat(story, turn, OURS, 0, 10)
    two = child(story, turn, 0, 10, kind="INTERNAL", span_id="a", parent_id="b")
    child(story, two, 0, 10, kind="INTERNAL", span_id="b", parent_id="a")
    three = chat(story, two, THEIRS, 0, 10)
    assert calls(story) == ids(one, three)
