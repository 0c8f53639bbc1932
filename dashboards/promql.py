"""Reading PromQL back: Grafana's variables expanded, parsed, walked with its parents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import promql_parser

RANGES: Final = {
    "__rate_interval": "3h17m43s",
    "__interval": "2h11m3s",
    "__range": "5h1m7s",
}
"""Odd durations that nobody would write, so that each is known again in the tree."""

RATE_INTERVAL: Final = timedelta(hours=3, minutes=17, seconds=43)

# A $ with a number is a group of label_replace.
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")

Node = tuple[Any, tuple[Any, ...]]
"""A node and its parents, the nearest last."""


class NotPromQL(ValueError):
    """An expression that Prometheus would refuse; the message says why."""


def parse(expr: str, variables: frozenset[str]) -> Any:
    """The tree of ``expr``, each of the board's variables standing for its own name."""
    try:
        tree = promql_parser.parse(expand(expr, variables))
    except ValueError as error:
        raise NotPromQL(str(error)) from None
    if isinstance(tree, promql_parser.MatrixSelector | promql_parser.StringLiteral):
        raise NotPromQL("a range or a text cannot be drawn")
    return tree


def expand(expr: str, variables: frozenset[str]) -> str:
    """``expr`` with Grafana's ranges as odd durations and ``$job`` as ``any-job``."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in RANGES:
            return RANGES[name]
        if name in variables:
            return f"any-{name}"
        raise NotPromQL(f"${name} is no variable of the board")

    return _VARIABLE.sub(value, expr)


def walk(tree: Any, parents: tuple[Any, ...] = ()) -> Iterator[Node]:
    """Every node below and including ``tree``, from the outside in."""
    yield tree, parents
    children = [getattr(tree, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    for child in (*children, *getattr(tree, "args", ())):
        if child is not None:
            yield from walk(child, (*parents, tree))


def selectors(tree: Any) -> Iterator[Node]:
    """Every selector, the ones inside ranges too."""
    return (
        (node, parents)
        for node, parents in walk(tree)
        if isinstance(node, promql_parser.VectorSelector)
    )


def function_around(parents: tuple[Any, ...]) -> str:
    """The name of the function that a selector is the direct argument of, or ''."""
    outer = [node for node in parents if not isinstance(node, promql_parser.MatrixSelector)]
    nearest = outer[-1] if outer else None
    return nearest.func.name if isinstance(nearest, promql_parser.Call) else ""
