"""One question put to the run itself, answered."""

from __future__ import annotations

from agentscope_analyzer.document import Check, Status, Value


def check(name: str, status: Status, detail: str, value: Value) -> Check:
    """The answer: what was asked, how it came out, in words, and the figure behind it."""
    return Check(check=name, status=status, detail=detail, value=value)
