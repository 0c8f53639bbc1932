"""``--fail-on``: names, operators and numbers."""

import re
from typing import Any

import pytest

from agentscope_analyzer.commands.analyze import FIGURES
from agentscope_analyzer.thresholds import Threshold, figures_of, names


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("p95_s > 8", ("turns.p95_s", ">", 8.0)),
        ("turns.error_rate>=1%", ("turns.error_rate", ">=", 0.01)),
        ("ceilings.llm.requests.sessions < 1e2", ("ceilings.llm.requests.sessions", "<", 100.0)),
        ("run.complete == 0", ("run.complete", "==", 0.0)),
    ],
)
def test_a_threshold_is_a_name_an_operator_a_number(text: str, parsed: tuple[object, ...]) -> None:
    """Spaces do not matter; a percentage is a share."""
    threshold = Threshold.parse(text)
    assert (threshold.name, threshold.sign, threshold.bound) == parsed


@pytest.mark.parametrize("text", ["p95_s", "p95_s > fast", "> 8", "p95_s => 8", "__import__('os')"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """Nothing is evaluated."""
    with pytest.raises(ValueError, match='write a figure, an operator, a number: "p95_s > 8"'):
        Threshold.parse(text)


def judged(story: Any, text: str) -> str:
    return str(Threshold.parse(text).judge(figures_of(story.report())))


def test_a_figure_of_turns_needs_no_path(story: Any) -> None:
    """``p95_s`` is the turns' own; the last part of any other path does where it is unique."""
    story.turn("a", 0, ("llm.generation", 9.0))
    figures = figures_of(story.report())
    told = [
        str(Threshold.parse(text).judge(figures))
        for text in (
            "p95_s > 8",
            "turns.p95_s > 10",
            "attribution.groups.llm.share > 90%",
            "attribution.causes.db.pool.share > 0.1",
            "calls_per_turn > 5",
        )
    ]
    assert told == [
        "FAILED: p95_s > 8 (9)",
        "passed: turns.p95_s > 10 (9)",
        "FAILED: attribution.groups.llm.share > 90% (1)",
        "passed: attribution.causes.db.pool.share > 0.1 (0)",
        "passed: calls_per_turn > 5 (0)",
    ]


@pytest.mark.parametrize(
    "text", ["margin.times < 2", "scalability.peak_sessions < 50", "tail.difference_s > 5",
             "growth.change_s > 1", "memory.live_high > 1e6"],
)  # fmt: skip
def test_every_block_of_the_report_can_be_a_gate(story: Any, text: str) -> None:
    """Two turns tell none of them, so the gate stays shut; the name is known."""
    story.turn("a", 0, ("llm.generation", 9.0))
    assert judged(story, text) == f"FAILED: {text} (no value in this run)"


def test_a_figure_that_the_run_does_not_have_fails(story: Any) -> None:
    """A gate must not open because nobody measured."""
    story.turn("a", 0, ("llm.generation", 9.0))
    assert judged(story, "ceilings.llm.requests.sessions < 50") == (
        "FAILED: ceilings.llm.requests.sessions < 50 (no value in this run)"
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("p96_s > 8", "did you mean turns.p9"),
        ("seconds > 8", "did you mean attribution."),
        ("xyzzy > 1", "names are like turns.p95_s, turns.error_rate, llm.rate_limited"),
    ],
)
def test_an_unknown_name_lists_its_neighbours(text: str, hint: str) -> None:
    """A typing mistake is one line that says what to type next, before any run is read."""
    with pytest.raises(
        ValueError, match=f"no figure is called .*: {hint}.*; agentscope analyze -h"
    ):
        Threshold.parse(text)


def test_a_report_has_no_figure_that_has_no_name(story: Any) -> None:
    """What can be read off the document can be asked for; a pool's ceiling by the pool's name."""
    for i in range(12):
        story.turn(f"s{i}", 3 * i, ("llm.rate_limit", 1.0), ("llm.generation", 9.0))
    assert figures_of(story.report()).keys() == set(names())
    pool = "ceilings.db.pool:postgres@localhost.sessions"
    assert Threshold.parse(f"{pool} < 50").name == pool
    with pytest.raises(ValueError, match="no figure is called"):
        Threshold.parse("ceilings.db.pool:postgres@localhost.session < 50")


def test_the_help_lists_every_figure() -> None:
    """``agentscope analyze -h``, without what it would have to import: so it is held here."""
    listed = {f"{section}.{key}" for section, keys in FIGURES.items() for key in keys.split()}
    assert {re.sub(_FILLED_IN, _by_word, name) for name in names()} == listed


_WORDS = {
    "run.rejected": "REASON",
    "llm.tokens": "KIND",
    "scalability.aicc": "MODEL",
    "attribution.groups": "GROUP",
    "attribution.causes": "CAUSE",
    "ceilings": "RESOURCE",
}
_FILLED_IN = rf"^({'|'.join(_WORDS)})\.(.+?)(\.\w+)?$"


def _by_word(match: re.Match[str]) -> str:
    before, _, key = match.groups()
    ends = "" if before in ("run.rejected", "llm.tokens", "scalability.aicc") else key
    return f"{before}.{_WORDS[before]}{ends}"
