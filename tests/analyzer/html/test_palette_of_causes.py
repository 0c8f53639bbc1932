"""The colours of causes: told apart by those who see few colours, and by none alone."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from agentscope.conventions import CAUSE_GROUPS, CAUSES
from agentscope_analyzer.reporters.html import palette
from agentscope_analyzer.reporters.html.svg import patterns

Vector = npt.NDArray[np.float64]

SEEN_BY = {
    "all": np.eye(3),
    # Machado, Oliveira, Fernandes 2009, severity 1
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def linear(shade: str) -> Vector:
    channels = np.array([int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(shade: str) -> float:
    return float(linear(shade) @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_groups_are_told_apart_by_every_eye(eyes: str) -> None:
    """No two hues come nearer than a tenth of OKLab's lightness; 0.02 is just to be seen."""
    seen = {
        group: TO_OKLAB @ np.cbrt(TO_LMS @ np.clip(SEEN_BY[eyes] @ linear(shade), 0, 1))
        for group, shade in palette.GROUPS.items()
    }
    distances = {
        pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(seen, 2)
    }
    assert {pair: d for pair, d in distances.items() if d < 0.1} == {}


def test_every_cause_has_its_colour_and_no_other_has_it() -> None:
    """Causes and groups that are added to the vocabulary need a colour."""
    assert tuple(palette.GROUPS) == CAUSE_GROUPS
    assert len({palette.colour(cause) for cause in CAUSES}) == len(CAUSES)


def test_stripes_mean_waiting_for_what_is_used_up() -> None:
    """Work is plain, contention striped, two striped causes of a group differ in their stripes."""
    assert {c for c in CAUSES if palette.texture(c)} == {
        name for name, cause in CAUSES.items() if not cause.inherent
    }
    stripes = [(CAUSES[c].group, palette.texture(c)) for c in CAUSES if palette.texture(c)]
    assert len(set(stripes)) == len(stripes)
    assert all(f'id="{palette.pattern_of(c)}"' in patterns() for c in CAUSES if palette.texture(c))


@pytest.mark.parametrize("cause", CAUSES)
def test_words_can_be_read_on_every_colour(cause: str) -> None:
    """Bold words need a contrast of 3 to 1."""
    assert contrast(palette.colour(cause), palette.ink(cause)) >= 3


@pytest.mark.parametrize("paper", ["#ffffff", "#14171c"])
def test_hues_are_seen_on_both_papers(paper: str) -> None:
    """Areas have an outline and a name besides; still no hue may melt into its paper."""
    assert {g: s for g, s in palette.GROUPS.items() if contrast(s, paper) < 1.35} == {}
