"""``agentscope.cost``: what genai-prices says of the same tokens, and nothing where it says nothing."""

from __future__ import annotations

from typing import Any

import genai_prices
import pytest

from agentscope import conventions as c
from agentscope.recording import prices
from agentscope.recording.span import CLIENT, Role
from agentscope.testing import Recorded, recording

MINI = ("openai", "gpt-4o-mini")


@pytest.fixture
def priced() -> Any:
    """A recorder in memory, with the prices loaded."""
    assert prices.load()
    with recording() as recorded:
        yield recorded


def ask(recorded: Recorded, provider: str, model: str, **said: Any) -> None:
    """A call that ended; ``said`` are attributes by the names of their constants."""
    attributes = {getattr(c, name): value for name, value in said.items()}
    attributes |= {c.OPERATION_NAME: "chat", c.PROVIDER_NAME: provider, c.REQUEST_MODEL: model}
    span = recorded.recorder.start(f"chat {model}", Role.INFERENCE, attributes, CLIENT)
    if c.ERROR_TYPE in attributes:
        span.fail(str(attributes[c.ERROR_TYPE]))
    recorded.recorder.end(span)


def unpriced(recorded: Recorded) -> dict[tuple[str, ...], float]:
    points = dict(recorded.instruments.snapshot()).get(c.COST_UNPRICED, [])
    return {point.labels: point.value for point in points}


def theirs(provider: str, model: str, **usage: int) -> float:
    """The package's own figure."""
    priced = genai_prices.calc_price(genai_prices.Usage(**usage), model, provider_id=provider)
    assert priced.total_price > 0
    return float(priced.total_price)


def test_the_packages_own_figure(priced: Recorded) -> None:
    """Cached input and reasoning are parts of their totals: priced once, cached input as such."""
    ask(
        priced, *MINI, RESPONSE_MODEL="gpt-4o-mini-2024-07-18",
        INPUT_TOKENS=2000, CACHE_READ_TOKENS=1500, OUTPUT_TOKENS=700, REASONING_TOKENS=600,
    )  # fmt: skip
    usage = {"input_tokens": 2000, "cache_read_tokens": 1500, "output_tokens": 700}
    assert priced.value(c.COST, *MINI) == pytest.approx(theirs(*MINI, **usage), rel=1e-12)
    # By hand: 500 at $0.15, 1500 at $0.075 and 700 at $0.60 a million, prices of 2026.
    assert priced.value(c.COST, *MINI) == pytest.approx(0.0006075, rel=1e-9)
    assert unpriced(priced) == {}


def test_what_the_cache_keeps_for_an_hour_costs_more(priced: Recorded) -> None:
    """Anthropic's two kinds of cache writes, apart; where there is one price, it is that one."""
    model = ("anthropic", "claude-sonnet-4-5")
    usage = {"input_tokens": 2000, "cache_write_tokens": 1000, "cache_write_1h_tokens": 400}
    said = {"INPUT_TOKENS": 2000, "CACHE_WRITE_TOKENS": 1000, "CACHE_WRITE_1H_TOKENS": 400}
    ask(priced, *model, **said)
    ask(priced, *MINI, **said)
    # By hand: 1000 at $3, 600 at $3.75 and 400 at $6 a million, prices of 2026.
    assert priced.value(c.COST, *model) == pytest.approx(0.00765, rel=1e-9)
    assert theirs(*model, **usage) == pytest.approx(0.00765, rel=1e-9)
    assert priced.value(c.COST, *MINI) == pytest.approx(theirs(*MINI, **usage), rel=1e-12)


def test_many_calls_are_the_sum_of_each(priced: Recorded) -> None:
    """Added up before they are priced, within a tier and across looks; tiers are not mixed."""
    model = ("anthropic", "claude-sonnet-4-5")
    inputs = [10, 199_999, 200_000, 200_001, 350_000]
    expected = 0.0
    for look in range(2):
        for tokens in inputs:
            ask(priced, *model, INPUT_TOKENS=tokens, OUTPUT_TOKENS=look + 1)
            expected += theirs(*model, input_tokens=tokens, output_tokens=look + 1)
        assert priced.value(c.COST, *model) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("provider", "model", "said", "reason"),
    [
        ("openai", "my-own", {"INPUT_TOKENS": 5, "OUTPUT_TOKENS": 5}, "unknown_model"),
        ("my-gateway", "gpt-4o-mini", {"INPUT_TOKENS": 5}, "unknown_model"),
        ("openai", "gpt-4o-mini", {}, "no_usage"),
        ("openai", "gpt-4o-mini", {"OUTCOME": "abandoned"}, "no_usage"),
        ("openai", "gpt-4o-mini", {"INPUT_TOKENS": 5, "CACHE_READ_TOKENS": 6},
         "contradictory_usage"),
        ("openai", "gpt-4o-mini", {"INPUT_TOKENS": 5, "OUTPUT_TOKENS": -6}, "contradictory_usage"),
        ("anthropic", "claude-sonnet-4-5",
         {"INPUT_TOKENS": 5, "CACHE_WRITE_TOKENS": 2, "CACHE_WRITE_1H_TOKENS": 3},
         "contradictory_usage"),
    ],
)  # fmt: skip
def test_no_price(
    priced: Recorded, provider: str, model: str, said: dict[str, Any], reason: str
) -> None:
    """Counted by reason, never as money."""
    ask(priced, provider, model, **said)
    assert priced.value(c.COST, provider, model) is None
    assert unpriced(priced) == {(provider, model, reason): 1}


def test_a_refused_call_costs_nothing(priced: Recorded) -> None:
    """It used no tokens, so none are missing."""
    ask(priced, *MINI, ERROR_TYPE="429")
    assert (priced.value(c.COST, *MINI), unpriced(priced)) == (None, {})


def test_a_deployments_name_is_priced_by_its_model(priced: Recorded) -> None:
    """Azure's users name deployments as they like; the answer says which model it was."""
    said = {"INPUT_TOKENS": 1000, "OUTPUT_TOKENS": 10}
    ask(priced, "azure.ai.openai", "my-deployment", RESPONSE_MODEL="gpt-4o-mini", **said)
    ask(priced, "x_ai", "grok-3", **said)
    expected = theirs(*MINI, input_tokens=1000, output_tokens=10)
    assert priced.value(c.COST, "azure.ai.openai", "my-deployment") == pytest.approx(expected)
    expected = theirs("x-ai", "grok-3", input_tokens=1000, output_tokens=10)
    assert priced.value(c.COST, "x_ai", "grok-3") == pytest.approx(expected)


def test_without_the_package(priced: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of money."""
    monkeypatch.setattr(prices, "_package", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not prices.load()
    ask(priced, *MINI, INPUT_TOKENS=1000)
    ask(priced, *MINI)
    assert (priced.value(c.COST, *MINI), unpriced(priced)) == (None, {})
