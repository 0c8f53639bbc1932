"""The parts of OTLP's JSON encoding, checked one by one.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding, and protobuf's own rules for
JSON where writers follow those instead: ids in base64, enums by name, integers as text or number.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from agentscope_analyzer.ingest.refusals import Reason, Refused

__all__ = ["attributes", "integer", "number", "parts", "span_id", "text_attributes", "trace_id"]

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_MAX_DEPTH: Final = 32
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parts(
    document: dict[str, Any], outer: str, inner: tuple[str, ...], records: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    """Every (resource, scope, records) of a line; raises Refused where its shape is not OTLP's."""
    for group in _list(document.get(outer)):
        resource = _dict(_dict(group).get("resource"))
        spelled = next((name for name in inner if name in group), inner[0])
        for scoped in _list(group.get(spelled)):
            scope = _dict(scoped).get("scope", scoped.get("instrumentationLibrary"))
            yield resource, _dict(scope), _list(scoped.get(records))


def trace_id(value: Any) -> str:
    """32 lower-case hex digits; raises Refused."""
    return _id(value, 16)


def span_id(value: Any, *, root: bool = False) -> str:
    """16 lower-case hex digits; with ``root`` also '' for no parent. Raises Refused."""
    if root and (value is None or value == "" or value == "0" * 16):
        return ""
    return _id(value, 8)


def integer(value: Any) -> int | None:
    """A 64-bit integer written as number or text; None if it is not one."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not _MIN_INT <= value <= _MAX_INT:
        return None
    return value


def number(value: Any) -> float | None:
    """A finite number; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def attributes(pairs: Any) -> list[dict[str, Any]]:
    """KeyValues in the recorder's own spelling: each key once, the last value of it.

    Empty values are left out; maps, bytes and lists of lists become text. Raises Refused.
    """
    cleaned: dict[str, dict[str, Any]] = {}
    for pair in _list(pairs):
        key = pair.get("key") if isinstance(pair, dict) else None
        if not isinstance(key, str):
            raise Refused(Reason.BAD_VALUE)
        value = _any_value(pair.get("value"))
        if value is None:
            cleaned.pop(key, None)
        else:
            cleaned[key] = value
    return [{"key": key, "value": value} for key, value in cleaned.items()]


def text_attributes(pairs: Any) -> dict[str, str]:
    """Attributes as text, by key; raises Refused."""
    return {pair["key"]: _text(pair["value"]) for pair in attributes(pairs)}


def _id(value: Any, size_bytes: int) -> str:
    if isinstance(value, str):
        try:
            if len(value) == 2 * size_bytes:
                found = binascii.unhexlify(value)
            else:
                found = base64.b64decode(value, validate=True)
        except ValueError:
            found = b""
        if len(found) == size_bytes and any(found):
            return found.hex()
    raise Refused(Reason.BAD_ID)


def _any_value(value: Any) -> dict[str, Any] | None:
    kind, content = _content(value)
    if kind is None:
        return None
    if kind == "arrayValue":
        elements = [_content(element) for element in _list(_dict(content).get("values"))]
        if all(kind in _PLAIN for kind, _ in elements):
            return {"arrayValue": {"values": [{kind: element} for kind, element in elements]}}
        return {"stringValue": _json(_plain(value, 0))}
    if kind == "kvlistValue":
        return {"stringValue": _json(_plain(value, 0))}
    if kind == "bytesValue":
        return {"stringValue": content}
    if kind == "doubleValue" and not math.isfinite(content):
        return {"stringValue": str(content)}
    return {kind: content}


_PLAIN: Final = ("stringValue", "intValue", "boolValue", "doubleValue")


def _content(value: Any) -> tuple[str | None, Any]:
    """Which of AnyValue's fields is set, and its checked content. Raises Refused."""
    fields = _dict(value) if value is None or isinstance(value, dict) else None
    if fields is None:
        raise Refused(Reason.BAD_VALUE)
    for kind in (*_PLAIN, "arrayValue", "kvlistValue", "bytesValue"):
        content = fields.get(kind)
        if content is not None:
            return kind, _checked(kind, content)
    return None, None


def _checked(kind: str, content: Any) -> Any:
    if kind in ("stringValue", "bytesValue") and isinstance(content, str):
        return content
    if kind == "boolValue" and isinstance(content, bool):
        return content
    if kind == "intValue" and (found := integer(content)) is not None:
        return str(found)
    if kind == "doubleValue":
        double = _NOT_FINITE.get(content) if isinstance(content, str) else number(content)
        if double is not None:
            return double
    if kind in ("arrayValue", "kvlistValue") and isinstance(content, dict):
        return content
    raise Refused(Reason.BAD_VALUE)


def _plain(value: Any, depth: int) -> Any:
    """An AnyValue as the Python value it stands for."""
    if depth > _MAX_DEPTH:
        raise Refused(Reason.BAD_VALUE)
    kind, content = _content(value)
    if kind == "arrayValue":
        return [_plain(element, depth + 1) for element in _list(content.get("values"))]
    if kind == "kvlistValue":
        pairs = [_dict(pair) for pair in _list(content.get("values"))]
        return {str(pair.get("key")): _plain(pair.get("value"), depth + 1) for pair in pairs}
    if kind == "intValue":
        return int(content)
    if kind == "doubleValue" and not math.isfinite(content):
        return str(content)
    return content


def _text(value: dict[str, Any]) -> str:
    ((kind, content),) = value.items()
    if kind == "boolValue":
        return "true" if content else "false"
    if kind == "arrayValue":
        return _json(_plain(value, 0))
    return str(content)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(Reason.NOT_OTLP)
    return value


def _dict(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(Reason.NOT_OTLP)
    return value
