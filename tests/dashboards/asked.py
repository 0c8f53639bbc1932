"""What a board asks Prometheus, with Grafana's variables filled in as Grafana would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), *(?P<label>\w+)\)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")


class Asked(NamedTuple):
    """A query: where it stands, and what is sent."""

    board: str
    row: str
    """Titles of panels may come again in another row."""
    panel: str
    target: str
    expr: str


def queries(board: Mapping[str, Any], filled: Mapping[str, str]) -> list[Asked]:
    """Every query of every panel and annotation of ``board``.

    ``filled`` has a value for each variable, Grafana's own (``__rate_interval``, ``__range``)
    among them. Raises KeyError for one that it lacks.
    """
    found: list[Asked] = []
    row = ""
    for item in board["panels"]:
        row = item["title"] if item["type"] == "row" else row
        for panel in (item, *item.get("panels", ())):
            found += [
                Asked(board["uid"], row, panel["title"], target["refId"], target["expr"])
                for target in panel.get("targets", ())
            ]
    found += [
        Asked(board["uid"], "", one["name"], "", one["expr"])
        for one in board["annotations"]["list"]
    ]
    return [one._replace(expr=fill(one.expr, filled)) for one in found]


def choices(board: Mapping[str, Any], filled: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Every variable that is asked for: its name, the series, and the label whose values it has."""
    found = []
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = _LABEL_VALUES.fullmatch(variable["query"])
            assert match is not None, variable["query"]
            found.append((variable["name"], fill(match["series"], filled), match["label"]))
    return found


def fill(expr: str, filled: Mapping[str, str]) -> str:
    """``expr`` with its variables as ``filled`` has them; ``$1`` of label_replace stays."""
    return _VARIABLE.sub(lambda match: filled[match[1] or match[2]], expr)
