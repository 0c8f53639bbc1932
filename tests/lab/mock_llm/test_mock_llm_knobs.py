"""Knobs: what a model's name and the command line may say, and how mistakes are answered."""

from __future__ import annotations

import pytest

from agentscope.errors import ConfigError
from agentscope.lab.mock_llm import MockLlmSettings
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.faults import draw_fault, parse_faults
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs, split_model
from agentscope.lab.mock_llm.latency import PROFILES, Lognormal


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", ("gpt-4o", "")),
        ("mock@depth=1;itl=5", ("mock", "depth=1;itl=5")),
        ("claude-3-5-sonnet@20240620", ("claude-3-5-sonnet@20240620", "")),
    ],
)
def test_a_models_name_is_parted_from_its_knobs(model: str, expected: tuple[str, str]) -> None:
    """Names that have an @ of their own stay whole."""
    assert split_model(model) == expected


def test_every_knob_is_read() -> None:
    """All knobs at once, the profile applied first wherever it stands."""
    text = (
        "ttft=640/0.35;itl=16ms;profile=large;out=20/0.1;reasoning=9;depth=0:0.3,2:0.7;calls=2;"
        "tools=a:b:2,c:1;fault=500:0.5,hang:0.1;status=429,hang,200;retry-after=61;should-retry=false"
    )

    behaviour = apply_knobs(text, Behaviour())

    assert behaviour.latency.doc == PROFILES["large"].doc
    assert behaviour.latency.first_token_s == Lognormal(0.64, 0.35)
    assert behaviour.latency.token_s == Lognormal(0.016)
    assert behaviour.latency.output_tokens == Lognormal(20, 0.1)
    assert behaviour.reasoning_tokens == 9
    assert behaviour.depth == ((0, 0.3), (2, 0.7))
    assert behaviour.calls == ((2, 1.0),)
    assert behaviour.tools == (("a:b", 2.0), ("c", 1.0))
    assert behaviour.faults == (("500", 0.5), ("hang", 0.1))
    assert behaviour.script == ("429", "hang", "200")
    assert (behaviour.retry_after, behaviour.should_retry) == ("61", "false")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("speed=3", "unknown knob 'speed=3': write one of profile=, ttft="),
        ("depth", "unknown knob 'depth'"),
        ("profile=huge", "write one of small-fast, frontier"),
        ("ttft=fast", "'fast' is not a number"),
        ("itl=-1", "'-1' is not a number from 0 on"),
        ("out=nan", "'nan' is not a number from 0 on"),
        ("depth=1:0", "the weights add up to nothing"),
        ("depth=99", "'99' is not a whole number from 0 to 64"),
        ("calls=0", "0 is less than 1"),
        ("tools=3", "write NAME:WEIGHT"),
        ("fault=200:0.1", "unknown fault '200'"),
        ("fault=500", "write 500:0.01"),
        ("fault=500:0.8,529:0.8", "add up to more than 1"),
        ("fault=²³¹:0.1", "unknown fault"),
        ("status=429,201", "unknown status '201': write 200, 400 to 599, hang or truncate"),
        ("status=", "unknown status ''"),
        ("status=" + "429," * 100 + "200", "101 attempts are too many: write 100 at most"),
        ("retry-after=soon", "'soon' is not a number from 0 on"),
        ("should-retry=maybe", "write true or false"),
    ],
)
def test_a_wrong_knob_says_what_to_write(text: str, part: str) -> None:
    """From settings as from a model's name; nothing is ignored in silence."""
    with pytest.raises(ConfigError) as caught:
        MockLlmSettings(knobs=text)

    assert part in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"rpm": 0}, {"tpm": -1}, {"itpm": 0}, {"otpm": 0}, {"port": 70_000}, {"max_rounds": -1}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    """The message names the setting and its limit."""
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))} is .*: it must be"):
        MockLlmSettings(**wrong)  # type: ignore[arg-type]  # one integer setting at a time


def test_faults_come_at_their_rates() -> None:
    """10 000 attempts at 500:0.1,hang:0.02: each within a fifth of its rate."""
    faults = parse_faults("500:0.1,hang:0.02")
    drawn = [draw_fault(faults, Draws(number)) for number in range(10_000)]

    assert drawn.count("500") == pytest.approx(1_000, rel=0.2)
    assert drawn.count("hang") == pytest.approx(200, rel=0.2)
    assert drawn.count(None) == 10_000 - drawn.count("500") - drawn.count("hang")
