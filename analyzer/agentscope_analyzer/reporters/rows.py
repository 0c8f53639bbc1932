"""The answer of one question: as a table, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from agentscope_analyzer.document import Rows
from agentscope_analyzer.reporters.text import clean

__all__ = ["as_csv", "as_json", "render"]


def render(names: Sequence[str], rows: Rows, console: Console) -> None:
    """Print the rows as a table, or field by field where a terminal is too narrow for it."""
    if not rows:
        console.print("no rows", highlight=False)
        return
    cells = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= console.width or not console.is_terminal:
        lines = _table(names, rows, cells, widths)
    else:
        lines = _fields(names, cells)
    for line in lines:
        console.print(Text(line.rstrip()), highlight=False, soft_wrap=True)


def _table(
    names: Sequence[str], rows: Rows, cells: list[list[str]], widths: list[int]
) -> Iterator[str]:
    at_right = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    for row in (names, *cells):
        yield "  ".join(
            " " * (width - cell_len(cell)) + cell if right else set_cell_size(cell, width)
            for cell, width, right in zip(row, widths, at_right, strict=True)
        )


def _fields(names: Sequence[str], cells: list[list[str]]) -> Iterator[str]:
    longest = max(map(len, names))
    for i, row in enumerate(cells):
        if i:
            yield ""
        yield from (f"{name:<{longest}}  {cell}" for name, cell in zip(names, row, strict=True))


def as_csv(names: Sequence[str], rows: Rows) -> str:
    """The rows as CSV with a line of names; NULL is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: Rows) -> str:
    """The rows as a JSON list of objects."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return clean(str(value))
