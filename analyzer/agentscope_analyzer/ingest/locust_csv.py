"""What Locust writes with ``--csv``: its table second by second, its totals, its failures.

Times are milliseconds there, and percentiles of about the last ten seconds; a figure that it does
not have is ``N/A``. https://docs.locust.io/en/stable/retrieving-stats.html
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from agentscope_analyzer.ingest.formats import Format
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally, Unit

__all__ = ["LOCUST_TABLES", "locust_rows"]

_GENERATOR: Final = "locust"
_ALL: Final = "Aggregated"
_MOST: Final = 2**53
_Cells = dict[str, str]


def locust_rows(
    kind: Format, lines: Iterable[str], file: str, tally: Tally
) -> list[dict[str, Any]]:
    """Rows for ``LOCUST_TABLES[kind]``; a bad row is counted and left out."""
    row_of = _ROWS[kind]
    rows: list[dict[str, Any]] = []
    reader = csv.DictReader(lines, restkey="", restval="")
    while True:
        try:
            cells = next(reader, None)
            if cells is None:
                return rows
            tally.read[Unit.GENERATOR_ROWS.value] += 1
            rows.append({**row_of(cells), "generator": _GENERATOR, "file": file})
        except (
            csv.Error
        ):  # a cell beyond the reader's limit, a NUL: that row is read, but not taken
            tally.read[Unit.GENERATOR_ROWS.value] += 1
            tally.refuse(Reason.BAD_ROW)
        except Refused as refused:
            tally.refuse(refused.reason)


def _second(cells: _Cells) -> dict[str, Any]:
    at_s = _number(cells, "Timestamp")
    if at_s is None or not 0 < at_s < 9e9:
        raise Refused(Reason.BAD_ROW)
    return {
        "at_s": at_s,
        "users": _count(cells, "User Count"),
        "name": _name(cells, "Type"),
        "per_second": _number(cells, "Requests/s"),
        "failed_per_second": _number(cells, "Failures/s"),
        "p50_s": _duration(cells, "50%"),
        "p95_s": _duration(cells, "95%"),
        "requests": _count(cells, "Total Request Count"),
        "failures": _count(cells, "Total Failure Count"),
    }


def _total(cells: _Cells) -> dict[str, Any]:
    requests, failures = _count(cells, "Request Count"), _count(cells, "Failure Count")
    if requests is None or failures is None or failures > requests:
        raise Refused(Reason.BAD_ROW)
    return {
        "name": _name(cells, "Type"),
        "requests": requests,
        "failures": failures,
        "p50_s": _duration(cells, "50%"),
        "p95_s": _duration(cells, "95%"),
        "per_second": _number(cells, "Requests/s"),
    }


def _failure(cells: _Cells) -> dict[str, Any]:
    failures, error = _count(cells, "Occurrences"), cells.get("Error", "")
    if failures is None or not error:
        raise Refused(Reason.BAD_ROW)
    return {"name": _name(cells, "Method"), "error": error, "failures": failures}


_ROWS: Final[dict[Format, Callable[[_Cells], dict[str, Any]]]] = {
    Format.LOCUST_HISTORY: _second,
    Format.LOCUST_TOTALS: _total,
    Format.LOCUST_FAILURES: _failure,
}
LOCUST_TABLES: Final = {
    Format.LOCUST_HISTORY: "load_history",
    Format.LOCUST_TOTALS: "load_totals",
    Format.LOCUST_FAILURES: "load_totals",
}
"""Which table the rows of each of its files are for."""


def _name(cells: _Cells, kind: str) -> str:
    """``POST /chat``; '' for the row over all requests."""
    name, kind = cells.get("Name", ""), cells.get(kind, "")
    if not name:
        raise Refused(Reason.BAD_ROW)
    return "" if name == _ALL and not kind else f"{kind} {name}".strip()


def _number(cells: _Cells, column: str) -> float | None:
    """A finite number from 0 on; None for ``N/A`` and an absent column. Raises Refused."""
    text = cells.get(column)
    if text is None or text == "N/A":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _MOST:
        raise Refused(Reason.BAD_ROW)
    return value


def _count(cells: _Cells, column: str) -> int | None:
    value = _number(cells, column)
    if value is not None and not value.is_integer():
        raise Refused(Reason.BAD_ROW)
    return None if value is None else int(value)


def _duration(cells: _Cells, column: str) -> float | None:
    milliseconds = _number(cells, column)
    return None if milliseconds is None else milliseconds / 1000
