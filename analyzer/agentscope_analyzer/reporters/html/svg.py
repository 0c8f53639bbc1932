"""Static SVG: shapes and words on a canvas that tells in words what it shows."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

from agentscope.conventions import CAUSES
from agentscope_analyzer.reporters.html.markup import Child, Html, number, tag
from agentscope_analyzer.reporters.html.palette import class_of, colour, ink, pattern_of, texture
from agentscope_analyzer.reporters.text import clean

FONT: Final = 12.0
"""Size of letters on a picture, as the stylesheet has it."""

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


class Canvas:
    """A picture that grows by what is drawn on it, from the back to the front."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._shapes: list[Html] = []

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        class_: str,
        *,
        title: str | None = None,
        radius: float | None = None,
    ) -> None:
        """A rectangle; those without area are left out."""
        if width > 0 and height > 0:
            hint = tag("title", title) if title else None
            shape = tag(
                "rect", hint, class_=class_, x=x, y=y, width=width, height=height, rx=radius
            )
            self._shapes.append(shape)

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """A straight line."""
        self._shapes.append(tag("line", class_=class_, x1=x1, y1=y1, x2=x2, y2=y2))

    def path(self, d: str, class_: str, *, title: str | None = None) -> None:
        """A path, in SVG's own words."""
        self._shapes.append(tag("path", tag("title", title) if title else None, class_=class_, d=d))

    def circle(
        self, x: float, y: float, radius: float, class_: str, *, title: str | None = None
    ) -> None:
        """A circle."""
        hint = tag("title", title) if title else None
        self._shapes.append(tag("circle", hint, class_=class_, cx=x, cy=y, r=radius))

    def text(
        self, x: float, y: float, words: Child, class_: str = "t", anchor: Anchor = "start"
    ) -> None:
        """Words on one line, their baseline at ``y``."""
        where = None if anchor == "start" else anchor
        self._shapes.append(tag("text", words, class_=class_, x=x, y=y, text_anchor=where))

    def drawn(self, key: str, title: str, description: str, class_: str) -> Html:
        """The picture; ``key`` makes the ids by which it is described."""
        box = f"0 0 {number(self.width)} {number(self.height)}"
        return tag(
            "svg",
            tag("title", title, id=f"{key}-title"),
            tag("desc", description, id=f"{key}-desc"),
            *self._shapes,
            class_=class_,
            viewBox=box,
            role="img",
            aria_labelledby=f"{key}-title {key}-desc",
        )


def steps(edges: Sequence[float], heights: Sequence[float]) -> str:
    """The path of a staircase: ``heights[i]`` from ``edges[i]`` to ``edges[i + 1]``."""
    parts = [f"M{number(edges[0])} {number(heights[0])}"]
    for i, height in enumerate(heights):
        if i:
            parts.append(f"V{number(height)}")
        parts.append(f"H{number(edges[i + 1])}")
    return "".join(parts)


def between(edges: Sequence[float], upper: Sequence[float], lower: Sequence[float]) -> str:
    """The path of the area between two staircases."""
    back = (f"V{number(lower[i])}H{number(edges[i])}" for i in reversed(range(len(lower))))
    return f"{steps(edges, upper)}{''.join(back)}Z"


def polyline(points: Sequence[Point]) -> str:
    """The path of straight lines from point to point."""
    return "".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))


def width_of(words: str, *, bold: bool = True) -> float:
    """About how wide words are in a sans-serif face; generous, as the face is the reader's own."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in words)
    return FONT * ((0.64 if bold else 0.58) * len(words) + 0.4 * wide)


def fitted(words: str, width: float, *, bold: bool = True) -> str:
    """The words, or as many of them as fit into the width."""
    shown = clean(words[:500])
    if width_of(shown, bold=bold) <= width:
        return shown
    while shown and width_of(shown + "…", bold=bold) > width:
        shown = shown[:-1]
    return shown + "…" if shown else ""


_STRIPES: Final = {
    "rising": "M-1 7L7 -1M-1 1L1 -1M5 7L7 5",
    "falling": "M-1 -1L7 7M5 -1L7 1M-1 5L1 7",
    "upright": "M3 0V6",
    "dotted": "M1 2H3M4 5H6",
}


def patterns() -> Html:
    """The stripes of all causes, for every picture of the page."""
    found = [
        tag(
            "pattern",
            tag("rect", width=6, height=6, fill=colour(cause)),
            tag("path", d=_STRIPES[stripes], stroke=ink(cause)),
            id=pattern_of(cause),
            class_="stripes",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for cause in CAUSES
        if (stripes := texture(cause))
    ]
    return tag("svg", tag("defs", *found), class_="defs", aria_hidden="true", focusable="false")


def swatch(class_: str) -> Html:
    """A small square of a shape's colour, for a legend."""
    return tag(
        "svg",
        tag("rect", class_=class_, width=12, height=12, rx=2),
        class_="swatch",
        viewBox="0 0 12 12",
        aria_hidden="true",
    )


def cause_swatch(cause: str) -> Html:
    """The swatch of a cause."""
    return swatch(class_of(cause))
