"""A page of a terminal: lines, headings, numbered steps, and tables that never cut a figure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentscope_analyzer.reporters.text import clean

MAX_WIDTH = 100
WRAPPED = 12
"""Columns that fold are never narrower."""


class Page:
    """The console, never wider than MAX_WIDTH, with the few shapes that the report is made of."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.width = min(console.width, MAX_WIDTH)

    def line(self, *parts: str | Text) -> None:
        """One paragraph."""
        text = Text.assemble(*(Text(clean(p)) if isinstance(p, str) else p for p in parts))
        self._console.print(text, width=self.width, highlight=False)

    def heading(self, title: str, style: str = "bold") -> None:
        """A title, after an empty line."""
        self._console.print()
        self._console.print(Text(title, style=style), highlight=False)

    def table(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        wraps: str | None = None,
        dispensable: Sequence[str] = (),
    ) -> None:
        """A plain table: the first column reads from the left, figures stand at the right.

        No figure is ever cut: where the page is too narrow the first column folds, and the one that
        ``wraps``; then whole columns are left out, in the order of ``dispensable``.
        """
        natural = [max(map(cell_len, column)) for column in zip(names, *rows, strict=True)]
        shown = list(range(len(names)))
        for gone in (None, *dispensable):
            shown = [i for i in shown if i == 0 or names[i] != gone]
            least = [
                min(natural[i], WRAPPED) if _folds(i, names, wraps) else natural[i] for i in shown
            ]
            spare = self.width - 2 - 2 * (len(shown) - 1) - sum(least)
            if spare >= 0:
                break
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        for i, width in zip(shown, least, strict=True):
            more = min(max(0, spare), natural[i] - width)
            spare -= more
            left = i == 0 or not names[i] or names[i] in {"low – high", "reached"}
            table.add_column(
                names[i],
                justify="left" if left else "right",
                overflow="fold",
                width=width + more,
                no_wrap=not _folds(i, names, wraps),
            )
        for row in rows:
            table.add_row(*(row[i] for i in shown))
        self.block(table)

    def numbered(self, lines: Sequence[str]) -> None:
        """Steps, each with its number."""
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        for i, line in enumerate(lines, 1):
            grid.add_row(f"{i}.", Text(clean(line)))
        self.block(grid)

    def block(self, content: RenderableType, indent: int = 2) -> None:
        """Anything, indented."""
        self._console.print(Padding(content, (0, 0, 0, indent)), width=self.width, highlight=False)


def _folds(column: int, names: Sequence[str], wraps: str | None) -> bool:
    return column == 0 or names[column] == wraps
