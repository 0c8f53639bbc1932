"""Own code computes if its process uses a processor whenever it alone is open."""

from __future__ import annotations

import numpy as np
import pytest

from agentscope_analyzer.attribution.computing import Computing, Own, computing

S = 1_000_000_000


def told(cpu_of, calls, seconds=60):
    """What is told of ``calls``, (name, start, end) in seconds, and of CPU time read once a second.

    ``cpu_of`` gives the CPU used at a moment from the names of the calls that are open then.
    """
    step = 100
    at = np.arange(seconds * step) / step
    used = [cpu_of(sorted(n for n, a, b in calls if a <= t < b)) / step for t in at]
    read = np.concatenate([[0.0], np.cumsum(used)])[::step]
    own = [Own(name, round(a * S), round(b * S)) for name, a, b in calls]
    ends = np.array([one.end_ns for one in own])
    return computing(own, ends, np.arange(seconds + 1) * S, read)


def calls(name, offset, count=25, length=0.7):
    """One every two seconds or so, none of them like the last."""
    return [
        (name, offset + 2.17 * i, offset + 2.17 * i + length * (1 + i % 3) / 2)
        for i in range(count)
    ]


def test_what_uses_a_processor_while_it_is_open_computes() -> None:
    """The report computes and the lookup waits, though they overlap at times."""
    found = told(
        lambda names: 0.05 + 0.95 * ("report" in names),
        [*calls("report", 0.3), *calls("lookup", 1.1)],
    )
    assert list(found) == ["report"]
    assert found["report"].sure == pytest.approx(0.95, abs=0.05)


def test_two_that_compete_use_no_more_than_one_alone() -> None:
    """Only what is open alone is looked at: that several at once share a processor says nothing."""
    found = told(
        lambda names: min(1.0, len(names)),
        [*calls("report", 0.0), *calls("report", 0.4, length=1.2)],
    )
    assert found == {"report": Computing(pytest.approx(1.0, abs=0.02), 1.0)}


@pytest.mark.parametrize(
    ("share", "count"),
    [
        (0.3, 25),  # it mostly waits
        (1.0, 2),  # too little of it was seen
    ],
)
def test_nothing_is_told_of_what_waits_or_was_hardly_seen(share: float, count: int) -> None:
    """Half of the time must be certain."""
    assert told(lambda names: share * bool(names), calls("report", 0.3, count, 0.4)) == {}


def test_nothing_is_told_of_a_short_run() -> None:
    """With 15 readings there is nothing to be certain of."""
    assert told(lambda names: 1.0 * bool(names), calls("report", 0.3, 6), seconds=15) == {}
