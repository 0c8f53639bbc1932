"""What a scraper wants to read, from its headers: one of three formats, and whether compressed.

prometheus_client negotiates too, but answers a version that is no number with an exception, one
that does not exist with its number, and pays no heed to weights.
"""

from __future__ import annotations

from collections.abc import Iterator

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
TEXT, NEW_TEXT = "text/plain;version=0.0.4", "text/plain;version=1.0.0"
"""The formats, as prometheus_client's ``choose_encoder`` knows them; ``TEXT`` for everybody."""

ANY_NAMES = ";escaping=allow-utf-8"
"""Behind the formats but ``TEXT``: names may hold any character. Ours never do, the service's may."""

_FORMATS = {
    ("application/openmetrics-text", ""): OPENMETRICS,
    ("application/openmetrics-text", "1.0.0"): OPENMETRICS,
    ("text/plain", "1.0.0"): NEW_TEXT,
    ("text/plain", "0.0.4"): TEXT,
    ("text/plain", ""): TEXT,
    ("text/*", ""): TEXT,
    ("*/*", ""): TEXT,
}


def format_for(accept: str) -> str:
    """The format that is wanted most, of those that there are; the first of equals."""
    best, best_weight = TEXT, 0.0
    for kind, parameters in _ranges(accept):
        found = _FORMATS.get((kind, parameters.get("version", "")))
        weight = _weight(parameters)
        if found is not None and weight > best_weight:
            any_names = found != TEXT and parameters.get("escaping") == "allow-utf-8"
            best, best_weight = found + ANY_NAMES * any_names, weight
    return best


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be compressed."""
    weights = {kind: _weight(parameters) for kind, parameters in _ranges(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for part in header.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = (piece.partition("=") for piece in parameters)
        yield kind, {name.strip(): value.strip(' "') for name, _, value in pairs}


def _weight(parameters: dict[str, str]) -> float:
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
