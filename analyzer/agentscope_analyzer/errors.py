"""What can go wrong in an analysis without being the analysis's fault."""

from __future__ import annotations

__all__ = ["AnalysisError"]


class AnalysisError(Exception):
    """The analysis cannot go on; the message is one line that says what to type next."""
