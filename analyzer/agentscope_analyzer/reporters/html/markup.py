"""HTML and SVG as values: whatever is not markup already is escaped, so data cannot become any."""

from __future__ import annotations

import html
from typing import Final

from agentscope_analyzer.reporters.text import clean, clipped

MAX_TEXT: Final = 2_000
"""Characters of one piece of text; a sentence is never that long, a hostile name is."""
MAX_NAME: Final = 96
"""Characters of a name that came from the run."""

_VOID: Final = frozenset({"br", "col", "hr", "meta"})


class Html(str):
    """Markup that is safe to put into the page as it stands."""

    __slots__ = ()


Child = str | int | float | None
"""What a tag may hold: markup, text that will be escaped, a number, or nothing."""


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element. ``class_`` and ``stroke_width`` lose and change their underscores.

    Attributes that are None or False are left out.

    >>> tag("p", "a < b", class_="x")
    '<p class="x">a &lt; b</p>'
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Several pieces as one."""
    return Html("".join(_piece(child) for child in children))


def name(text: str, most: int = MAX_NAME) -> Html:
    """A name that came from the run: set apart from the direction of the text around it."""
    return tag("bdi", clipped(text, most) if text else "–")


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel.

    >>> number(12.0), number(0.26)
    ('12', '0.3')
    """
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = key.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{_piece(value)}"'


def _piece(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return html.escape(clean(clipped(child, MAX_TEXT)))
    return number(child)
