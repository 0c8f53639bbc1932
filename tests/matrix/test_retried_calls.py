"""The call of ``hidden_retries.py``: its parts add up in ours, and are one span under OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hidden_retries import LIBRARIES, duration_ns, measure, packages_of

PythonWith = Callable[..., Path]


@pytest.mark.parametrize("library", LIBRARIES)
def test_ours_opens_the_call_up(library: str, python_with: PythonWith) -> None:
    """Three attempts, two sleeps, and a sum that is the call's to a nanosecond."""
    call = measure(python_with(*packages_of(library)), library, "agentscope")
    names = [(span["name"], span["status"]) for span in call.below]
    refused, sleep = ("POST", 429), ("wait rate_limit", None)
    assert names == [refused, sleep, refused, sleep, ("POST", 200)]
    parts_ns = call.parts_ns()
    assert abs(sum(parts_ns.values()) - duration_ns(call.span)) <= 1
    assert min(parts_ns["2. wait rate_limit"], parts_ns["4. wait rate_limit"]) >= 1e9
    assert parts_ns["before the first request"] < 50e6


@pytest.mark.parametrize("library", LIBRARIES)
def test_under_opentelemetry_it_is_one_span(library: str, python_with: PythonWith) -> None:
    """Two seconds of sleep inside, and nothing says so."""
    call = measure(python_with(*packages_of(library)), library, "opentelemetry")
    assert duration_ns(call.span) > 2e9
    assert call.below == []
