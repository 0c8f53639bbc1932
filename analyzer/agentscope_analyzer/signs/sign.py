"""The shape of a sign, and what every sign is written with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from agentscope_analyzer.document import Evidence, Value
from agentscope_analyzer.facts import Facts, Row

__all__ = ["MAX_NAMED", "Sign", "elsewhere", "line_of", "place_of", "sign"]

MIN_TOLD_SHARE = 0.03
"""Calls that took less of turn time than this need no word on whose it was."""
MAX_NAMED = 3
"""Of pools, codes and the like so many are named, the first ones; the JSON report has the rest."""


@dataclass(frozen=True)
class Sign:
    """One figure, whether it confirms that the cause binds, and how a sentence says it."""

    evidence: Evidence
    agrees: bool
    says: str


def elsewhere(cause: str, taken_s: float, facts: Facts) -> str:
    """Said of calls that took much time of which the cause has little: a tool may stop the loop."""
    if taken_s < MIN_TOLD_SHARE * facts.wall_s or facts.seconds(cause) >= 0.5 * taken_s:
        return ""
    return ", most of it other causes' time or beside the critical path"


def sign(
    name: str,
    value: Value,
    unit: str,
    question: str,
    *,
    agrees: bool,
    says: str,
    limit: Value = None,
) -> Sign:
    """A sign with its evidence."""
    evidence = Evidence(name=name, value=value, unit=unit, limit=limit, question=question)
    return Sign(evidence, agrees, says)


def place_of(row: Row) -> str:
    """``app.py:88``, from the columns of a question; empty where the file is not known."""
    file = PurePath(row["code_file"]).name
    return f"{file}:{row['code_line']}" if file and row["code_line"] is not None else file


def line_of(row: Row) -> str:
    """``render_pdf (app.py:88)``."""
    where = place_of(row)
    return f"{row['code_function']} ({where})" if where else str(row["code_function"])
