"""Where figures stand on a picture, and what an axis names."""

import pytest

from agentscope_analyzer.reporters.html.scales import Linear, Log, elapsed, headroom, moments
from agentscope_analyzer.reporters.html.svg import between, fitted, steps, width_of


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (0.0, 0.07, [0, 0.02, 0.04, 0.06]),
        (95.0, 105.0, [96, 98, 100, 102, 104]),
        (0.0, 0.0, [0]),
    ],
)
def test_a_linear_axis_names_round_values(low: float, high: float, ticks: list[float]) -> None:
    """1, 2 or 5 times a power of ten apart, and none beyond the ends."""
    assert Linear(low, high, 0, 100).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1.0, 10.0, [1, 2, 3, 5, 7, 10]),
        (1.0, 100.0, [1, 2, 5, 10, 20, 50, 100]),
        (1.0, 20_000.0, [1, 10, 100, 1_000, 10_000]),
        (0.001, 1e12, [1e-3, 0.1, 10, 1e3, 1e5, 1e7, 1e9, 1e11]),
    ],
)
def test_a_logarithmic_axis_names_what_there_is_room_for(
    low: float, high: float, ticks: list[float]
) -> None:
    """Powers of ten and their multiples; of very many of them every so manieth."""
    assert Log(low, high, 0, 100).ticks() == pytest.approx(ticks)


def test_values_stand_where_they_belong_and_never_outside() -> None:
    """Beyond the ends is at the end; a scale without length does not divide by it."""
    linear, log = Linear(0, 10, 100, 200), Log(1, 100, 0, 50)
    assert [linear.at(v) for v in (-5, 0, 5, 10, 50)] == [100, 100, 150, 200, 200]
    assert [log.at(v) for v in (0, 1, 10, 100, 1e9)] == pytest.approx([0, 0, 25, 50, 50])
    assert (Linear(3, 3, 7, 9).at(3), Log(3, 3, 7, 9).at(3)) == (7, 7)
    assert (headroom(100.0), headroom(0.0)) == (105.0, 1.0)


@pytest.mark.parametrize(
    ("length_s", "named"),
    [
        (0.5, ["0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s"]),
        (50.0, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (2_000.0, ["0 min", "10 min", "20 min", "30 min"]),
        (30_000.0, ["0 h", "2 h", "4 h", "6 h", "8 h"]),
        (40 * 86_400.0, ["0 d", "10 d", "20 d", "30 d", "40 d"]),
    ],
)
def test_moments_are_named_in_the_unit_of_the_run(length_s: float, named: list[str]) -> None:
    """From a run of half a second to one whose clock was wrong by weeks."""
    assert [elapsed(at_s, length_s) for at_s in moments(length_s, 6)] == named


def test_staircases_and_the_area_between_two_of_them() -> None:
    """SVG's own words for it, worked out by hand."""
    assert steps([0, 10, 20], [5, 7]) == "M0 5H10V7H20"
    assert between([0, 10, 20], [5, 7], [9, 9]) == "M0 5H10V7H20V9H10V9H0Z"


def test_words_are_cut_to_their_room() -> None:
    """Whole, with an ellipsis, or not at all; wide letters need more room."""
    assert fitted("short", 200) == "short"
    assert fitted("a long name of a span", 60) == "a long…"
    assert fitted("name", 3) == ""
    assert fitted("\u202eabc", 500) == "\\u202eabc"
    assert width_of("模型") > width_of("ab")
