"""Tables of figures: what every picture shows, to read and to copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentscope_analyzer.reporters.html.markup import Child, Html, tag

TEXT, FIGURE = "text", "figure"

Columns = Sequence[tuple[str, str]]
"""Headings, each with what stands below it: text or figures."""


def table(caption: str, columns: Columns, rows: Iterable[Sequence[Child]]) -> Html:
    """A table that scrolls within itself where it is too wide; the first column names the row."""
    head = tag("tr", *(tag("th", name, scope="col", class_=_kind(kind)) for name, kind in columns))
    body = [
        tag(
            "tr",
            *(
                tag(
                    "td" if i else "th",
                    cell,
                    class_=_kind(columns[i][1]),
                    scope=None if i else "row",
                )
                for i, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    return tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _kind(kind: str) -> str | None:
    return "figure" if kind == FIGURE else None
