"""What every test stands on: our own faults fail it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentscope.recording import guard


@pytest.fixture(autouse=True)
def no_internal_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fault that the recorder caught and counted fails the test that caused it."""
    guard.forget_internal_errors()
    monkeypatch.setenv(guard.RAISE_VARIABLE, "1")
    yield
    assert guard.internal_errors() == {}
    guard.forget_internal_errors()
