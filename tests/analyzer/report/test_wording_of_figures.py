"""Figures as people read them."""

import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.wording import (
    LABELS,
    amount,
    count,
    interval,
    limited,
    live_sessions,
    number,
    percent,
    seconds,
)


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
        (-0.002, "-0.2 %"),
        (-0.0002, "> -0.1 %"),
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
    assert interval(61, None) == "[≥ 61]"  # no upper end: that is not nothing


@pytest.mark.parametrize(
    ("n", "text"),
    [(7, "7"), (9680, "9 680"), (47_505, "47.5 k"), (999_700, "1 M"), (3_410_055, "3.41 M")],
)
def test_an_estimate_has_no_more_than_three_digits_where_it_is_large(n: float, text: str) -> None:
    """An order of magnitude with seven digits would be believed."""
    assert count(n) == text


def test_sessions_and_limits_are_told_as_they_are() -> None:
    """What refusals hid makes them fewer; one of something is singular; bytes have their unit."""
    assert [
        live_sessions(7.9, 6, 17, censored=True),
        live_sessions(1, None, None),
        live_sessions(0.4, 0.1, 0.9),
        live_sessions(2_200_702, 1e6, 3e6),
    ] == [
        "7 live sessions [6, 17] or fewer",
        "1 live session",
        "less than 1 live session",
        "2.2 M live sessions [1 M, 3 M]",
    ]
    assert [limited(1, "cores"), limited(0.1, "cores"), limited(1, "requests/min")] == [
        "1 core",
        "0.1 cores",
        "1 request/min",
    ]
    assert limited(23.5 * 2**30, "bytes") == "23.5 GiB"


def test_every_cause_has_its_words() -> None:
    """A cause added to the vocabulary is not left without a label."""
    assert LABELS.keys() == CAUSES.keys()
