"""What every test stands on: our own faults fail it."""

from __future__ import annotations

import gc
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


@pytest.fixture(autouse=True)
def no_pauses_of_other_tests() -> Iterator[None]:
    """A collector pause is a span in the run; with the heap of a whole test session it is a long
    one. So the collector waits until a test is over, unless the test itself calls it."""
    gc.disable()
    yield
    gc.enable()
