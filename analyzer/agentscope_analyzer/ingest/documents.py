"""One line of JSON, parsed: quickly, or so strictly that nothing in it is ambiguous."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

from agentscope_analyzer.ingest.refusals import Reason, Refused

__all__ = ["parse", "parse_strictly"]


def parse(line: bytes) -> Any:
    """The value of a JSON text; of two equal keys the last one counts. Raises Refused."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parse_strictly(line)  # which says what exactly is wrong


def parse_strictly(line: bytes) -> Any:
    """The value of a JSON text without NaN, infinities and repeated keys. Raises Refused."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.NOT_UTF8) from None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_json)
    except RecursionError:
        raise Refused(Reason.TOO_DEEP) from None
    except ValueError:
        raise Refused(Reason.NOT_JSON) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(Reason.DUPLICATE_KEY)
    return found


def _no_json(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)
