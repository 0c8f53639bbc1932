"""A picture on the page: what it says in a sentence, the drawing, its legend, its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Child, Html, tag
from agentscope_analyzer.reporters.html.svg import Canvas, cause_swatch

WIDE: Final = 920.0
NARROW: Final = 344.0
"""Each picture is drawn for a desk and for a telephone; the stylesheet shows one of them."""


@dataclass(frozen=True)
class Picture:
    """Everything about one picture but its place on the page.

    ``draw`` makes it for a width; ``description`` says to those who cannot see it what it shows.
    """

    key: str
    title: str
    says: str
    description: str
    draw: Callable[[float], Canvas]
    legend: Html | None
    tables: tuple[Html, ...]

    def shown(self) -> Html:
        """The picture as a figure with its table below."""
        drawings = [
            self.draw(width).drawn(f"{self.key}-{name}", self.title, self.description, name)
            for name, width in (("wide", WIDE), ("narrow", NARROW))
        ]
        return tag(
            "figure",
            heading(self.title),
            tag("figcaption", self.says) if self.says else None,
            *drawings,
            self.legend,
            figures(*self.tables),
            id=self.key,
        )


def absent(key: str, title: str, why: str) -> Html:
    """What stands where a picture would: the reason why there is none."""
    return tag("figure", heading(title), tag("p", why, class_="absent"), id=key)


def heading(title: str) -> Html:
    """The picture's title."""
    return tag("h3", title)


def figures(*tables: Html) -> Html:
    """Tables behind a line that opens them."""
    line = "The same figures as a table" if len(tables) == 1 else "The same figures as tables"
    return tag("details", tag("summary", line), *tables, class_="figures")


def legend(entries: Iterable[tuple[Html, Child]]) -> Html:
    """Swatches, each with what it stands for."""
    return tag(
        "ul",
        *(tag("li", mark, tag("span", words)) for mark, words in entries),
        class_="legend",
    )


def cause_legend(causes: Iterable[str]) -> Html:
    """The swatches of causes with their names."""
    return legend((cause_swatch(cause), cause) for cause in causes)


def sentence(statement: str) -> str:
    """A statement as a sentence."""
    return f"{statement[:1].upper()}{statement[1:]}." if statement else ""


def rows_of(report: Report, question: str) -> Rows:
    """The answer of a question that the report carries; none where it was not asked."""
    return report.questions.get(question, [])


def column(rows: Rows, name: str) -> list[Any]:
    """One column of an answer."""
    return [row[name] for row in rows]
