"""The colours of causes: one hue a group, one shade a cause, stripes for what is used up.

The hues keep their distance for the three kinds of colour blindness as well (Machado et al. 2009,
differences in OKLab), and a cause that is not inherent, time spent waiting for something that is
used up, is striped besides: nothing is told by colour alone.
"""

from __future__ import annotations

from typing import Final, Literal

from agentscope.conventions import CAUSES

Texture = Literal["", "rising", "falling", "upright", "dotted"]

GROUPS: Final[dict[str, str]] = {
    "llm": "#2a7ee9",
    "database": "#78c9a4",
    "runtime": "#d2561b",
    "tools": "#ee9625",
    "upstream": "#7e0f7a",
    "context": "#3a7373",
    "client": "#d0e45e",
    "wait": "#d193f7",
    "unattributed": "#929396",
}
"""Every group of causes with its hue."""

_WHITE, _BLACK = "#ffffff", "#000000"

_SHADES: Final[dict[str, tuple[str, float]]] = {
    "llm.generation": (_WHITE, 0.48),
    "llm.rate_limit": (_BLACK, 0.36),
    "llm.retry": (_BLACK, 0.60),
    "llm.connection": (_WHITE, 0.24),
    "db.pool": (_BLACK, 0.36),
    "runtime.cpu": (_WHITE, 0.42),
    "runtime.threadpool": (_BLACK, 0.30),
    "runtime.gc": (_WHITE, 0.20),
    "runtime.throttled": (_BLACK, 0.52),
}
"""How much white or black a cause's shade has in it; the others are their group's hue."""

_TEXTURES: Final[dict[str, Texture]] = {
    "llm.retry": "falling",
    "llm.connection": "upright",
    "runtime.threadpool": "falling",
    "runtime.gc": "dotted",
    "runtime.throttled": "upright",
}
"""Stripes of causes that are not inherent, where they are not the usual ones."""


def colour(cause: str) -> str:
    """The cause's colour as ``#rrggbb``."""
    base = GROUPS[CAUSES[cause].group]
    towards, part = _SHADES.get(cause, (_WHITE, 0.0))
    return "#" + "".join(
        f"{round(a + (b - a) * part):02x}" for a, b in zip(_rgb(base), _rgb(towards), strict=True)
    )


def texture(cause: str) -> Texture:
    """Its stripes; none where the cause is inherent."""
    return "" if CAUSES[cause].inherent else _TEXTURES.get(cause, "rising")


MIN_CONTRAST: Final = 3.0
"""Of bold words on a colour; white is taken where it has as much: stripes look better in it."""


def ink(cause: str) -> str:
    """White or black: what can be read on the cause's colour."""
    channels = [_linear(value / 255) for value in _rgb(colour(cause))]
    light = sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), channels, strict=True))
    return _WHITE if 1.05 / (light + 0.05) >= MIN_CONTRAST else _BLACK


def class_of(cause: str) -> str:
    """The class that fills a shape with the cause's colour."""
    return "c-" + cause.replace(".", "-").replace("_", "-")


def pattern_of(cause: str) -> str:
    """The id of the pattern of the cause's stripes."""
    return "p-" + cause.replace(".", "-").replace("_", "-")


def stylesheet() -> str:
    """The rules by which shapes, swatches and labels take the causes' colours."""
    rules = []
    for cause in CAUSES:
        name, shade = class_of(cause), colour(cause)
        fill = f"url(#{pattern_of(cause)})" if texture(cause) else shade
        rules.append(f".{name}{{fill:{fill}}}")
        rules.append(f".b-{name}{{fill:{shade}}}")
        rules.append(f".l-{name}{{fill:{ink(cause)};stroke:{shade}}}")
    return "\n".join(rules)


def _rgb(shade: str) -> tuple[int, int, int]:
    return int(shade[1:3], 16), int(shade[3:5], 16), int(shade[5:7], 16)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
