"""Figures as people read them."""

import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.wording import LABELS, amount, interval, number, percent, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.34, "340 ms"),
        (0.9999, "1 s"),
        (1.944, "1.94 s"),
        (4521, "4 521 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    """Three digits; milliseconds below a second."""
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0001, "< 0.1 %"),
        (0.012, "1.2 %"),
        (0.63, "63 %"),
        (0.998, "> 99 %"),
        (1.0, "100 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    """What is there is never 0, what is not all is never 100."""
    assert percent(share) == text


def test_amounts_and_intervals() -> None:
    """Nouns follow their number; an unknown interval is nothing."""
    assert [amount(1, "turn"), amount(1500, "turn"), amount(2, "query")] == [
        "1 turn",
        "1 500 turns",
        "2 queries",
    ]
    assert (interval(61, 90), interval(None, 90), number(0.00001)) == ("[61, 90]", "", "0.00001")


def test_every_cause_has_its_words() -> None:
    """A cause added to the vocabulary is not left without a label."""
    assert LABELS.keys() == CAUSES.keys()
