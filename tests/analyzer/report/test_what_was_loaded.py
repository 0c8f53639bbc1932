"""Who answered as a model, and whether all sessions asked for the same."""

from random import Random
from typing import Any

import pytest

from agentscope_analyzer.audit.kinds import kinds_of
from agentscope_analyzer.audit.models import Addresses, addresses_of, kind_of, pretends
from agentscope_analyzer.sql import Asker

TURNS = 30


def checks(report: Any, name: str) -> list[tuple[str, str]]:
    return [(c.status, c.detail) for c in report.validity if c.check == name]


def calls(story: Any, model: str, host: str | None) -> None:
    """Thirty turns, each with one call of a model."""
    for i in range(TURNS):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 0.5)), i * 2.0, 200)
    for span in story.spans:
        if span.get("model"):
            span["model"] = model
        elif host and "attrs" in span:
            span["attrs"] = {**span["attrs"], "server.address": host}


def test_a_run_against_this_host_says_so(story: Any) -> None:
    """A mock, a gateway or a model of one's own: what is known is where calls went, no more."""
    calls(story, "gpt-4o-mini", "127.0.0.1")
    assert checks(story.report(), "models") == [
        (
            "ok",
            (
                "all 30 requests to models went to 127.0.0.1, this host: a mock, a gateway or a model of its "
                "own; unless it is a gateway, latency and quotas of models are its own, not a provider's"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("model", "host", "found"),
    [
        ("gpt-4o-mini", "api.openai.com", Addresses({"api.openai.com": TURNS}, noun="request")),
        ("gpt-4o-mini", None, Addresses()),
        (
            "mock-gpt4o@ttft=640",
            "api.openai.com",
            Addresses({"api.openai.com": TURNS}, {"mock-gpt4o@ttft=640": TURNS}, "request"),
        ),
    ],
)
def test_addresses_and_names_are_counted(
    story: Any, model: str, host: str | None, found: Addresses
) -> None:
    """Attempts say where calls went, calls by which name a model was asked for."""
    calls(story, model, host)
    asker = Asker(story.told())
    asker.prepare("llm/_model_spans", "llm/_twins", "llm/_inferences", "llm/_attempts")
    assert addresses_of(asker) == found


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", "loopback"),
        ("127.8.0.1", "loopback"),
        ("::1", "loopback"),
        ("[::1]", "loopback"),
        ("mock-llm", "private"),
        ("10.0.0.7", "private"),
        ("vllm.models.svc", "private"),
        ("fd00::7", "private"),
        ("api.anthropic.com", "public"),
        ("8.8.8.8", "public"),
    ],
)
def test_hosts_are_near_or_far(host: str, kind: str) -> None:
    """This host, a network of one's own, or the world."""
    assert kind_of(host) == kind


@pytest.mark.parametrize(("model", "is_mock"), [("fake-llm", True), ("mockingbird-7b", False)])
def test_a_mock_is_one_by_a_whole_word(model: str, is_mock: bool) -> None:
    """A model may be called after a bird."""
    assert pretends(model) is is_mock


def sessions(story: Any, n: int, asked: Any) -> None:
    """Sessions of four turns; ``asked`` says how many calls of a model one of them makes."""
    random = Random(5)
    for session in range(n):
        for turn in range(4):
            at_s = session * 100.0 + turn * 20.0
            made = asked(session, random)
            trace = story.turn(f"s{session}", at_s, ("llm.first_token", 0.3 * made))
            for i in range(made):
                story.call(trace, at_s + 0.3 * i, 200)


def test_two_kinds_of_sessions_are_told(story: Any) -> None:
    """Seven of thirty sessions do research: a mean of the two is neither."""
    sessions(story, 30, lambda session, random: random.randint(8, 12) if session % 4 == 3 else 1)
    assert checks(story.report(), "mixed_workload") == [
        (
            "warn",
            (
                "two kinds of sessions: 7 of 30 have 9.82 model calls a turn against 1, with hardly any in "
                "between; means and ceilings in sessions hold for this mix alone: run or analyse the kinds "
                "apart"
            ),
        )
    ]


KINDS_OF_TURNS = {
    "rounds of tools": lambda session, random: random.choices([1, 2, 3], [3, 5, 2])[0],
    "in every session alike": lambda session, random: 10 if random.random() < 0.25 else 1,
    "an even spread": lambda session, random: 1 + session % 12,
    "one alone": lambda session, random: 12 if session == 7 else 1,
}


@pytest.mark.parametrize("asked", KINDS_OF_TURNS.values(), ids=KINDS_OF_TURNS)
def test_turns_of_several_kinds_are_no_kinds_of_sessions(story: Any, asked: Any) -> None:
    """What every session has a share of is in its mean."""
    sessions(story, 30, asked)
    story.told()
    asker = Asker(story.engine)
    asker.prepare("llm/_model_spans", "llm/_twins", "llm/_inferences", "turns/_sessions")
    assert kinds_of(asker) is None
