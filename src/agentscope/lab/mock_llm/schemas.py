"""Values that a JSON schema accepts, taken from the conversation where they fit.

Understood: type (lists of types too), enum, const, properties, required, items, minimum, maximum
and their exclusive forms, multipleOf, the length limits, anyOf, oneOf, allOf, $ref into the
schema's own definitions, and the formats date, date-time, email and uuid. ``pattern`` is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from agentscope.lab.mock_llm.draws import Draws

Schema = dict[str, Any]

_MAX_NESTING = 12
_MAX_VALUES = 10_000
_MAX_CHARS = 100_000
"""Schemas that demand more than this are refused: the answer would be of no use."""
_MAX_TEXT_CHARS = 4_000
_MAX_TEXTS = 8
_IDENTIFYING = frozenset({"id", "ids", "no", "nr", "num", "number", "code", "ref", "key", "sku"})

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_CODE = re.compile(r"\b[A-Za-z]{0,8}[-_]?\d\w*(?:-\w+)*")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")


class Facts:
    """What a conversation mentions that could be an argument, the newest text first."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text[:_MAX_TEXT_CHARS] for text in texts[:_MAX_TEXTS] if text]

    @property
    def question(self) -> str:
        """The newest text on one line."""
        return " ".join(self._texts[0].split()) if self._texts else ""

    def find(self, pattern: re.Pattern[str], name: str = "") -> list[str]:
        """What matches, in the newest text that has a match; near the words of ``name`` first."""
        words = [w for w in _words(name) if len(w) > 1 and w not in _IDENTIFYING]
        for text in self._texts:
            found = [(match.start(), match.group()) for match in pattern.finditer(text)]
            if found:
                near = [text.lower().find(word) for word in words]
                starts = [start for start in near if start >= 0]
                # A stable sort: matches that follow the word, then the others, as they stand.
                found.sort(key=lambda hit: not any(0 <= hit[0] - s <= 40 for s in starts))
                return list(dict.fromkeys(value for _, value in found))
        return []


def value_for(schema: Schema, facts: Facts, draws: Draws, name: str = "", nth: int = 0) -> Any:
    """A value that ``schema`` accepts; ``nth`` asks for another one where several would fit.

    What is no schema raises whatever reading it raises; one that demands too much, ValueError.
    """
    return _Filling(schema, facts, draws, nth).value(schema, name, 0)


class _Filling:
    """One walk through a schema."""

    def __init__(self, root: Schema, facts: Facts, draws: Draws, nth: int) -> None:
        self._root = root
        self._facts = facts
        self._draws = draws
        self._nth = nth
        self._count = 0

    def value(self, schema: Any, path: str, nesting: int) -> Any:
        self._count += 1
        if self._count > _MAX_VALUES:
            msg = f"it demands more than {_MAX_VALUES} values"
            raise ValueError(msg)
        if not isinstance(schema, dict) or nesting > _MAX_NESTING:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choose_enum(schema["enum"], path)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, path, nesting)
        if kind == "array":
            return self._array(schema, path, nesting)
        if kind in ("integer", "number"):
            return self._number(schema, path, whole=kind == "integer")
        if kind == "boolean":
            return self._draws.uniform(path) < 0.5
        return None if kind == "null" else self._string(schema, path)

    def _resolved(self, schema: Schema) -> Schema:
        """The schema with references followed and one alternative chosen."""
        for _ in range(_MAX_NESTING):
            reference = schema.get("$ref")
            options = schema.get("anyOf") or schema.get("oneOf")
            if isinstance(reference, str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged([self._target(reference), rest])
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([*(self._resolved(part) for part in schema["allOf"]), rest])
            elif options:
                rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
                chosen = next((o for o in options if o.get("type") != "null"), options[0])
                schema = _merged([rest, chosen])
            else:
                break
        return schema

    def _target(self, reference: str) -> Schema:
        target: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            if key and isinstance(target, dict):
                target = target.get(key.replace("~1", "/").replace("~0", "~"))
        return target if isinstance(target, dict) else {}

    def _choose_enum(self, values: list[Any], path: str) -> Any:
        question = self._facts.question.lower()
        for value in values:
            if isinstance(value, str) and value and value.lower() in question:
                return value
        return values[self._draws.below_count(f"{path} {self._nth}", len(values))]

    def _object(self, schema: Schema, path: str, nesting: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        result = {}
        for name, described in properties.items():
            inner = f"{path}.{name}" if path else name
            if name in required or (
                nesting < _MAX_NESTING // 2 and self._draws.uniform(f"{inner}?") < 0.5
            ):
                result[name] = self.value(described, inner, nesting + 1)
        for name in required:
            result.setdefault(name, self._string({}, name))
        return result

    def _array(self, schema: Schema, path: str, nesting: int) -> list[Any]:
        least = int(schema.get("minItems", 1))
        count = min(max(least, 1), int(schema.get("maxItems", max(least, 1))))
        items = schema.get("items", {"type": "string"})
        first = self._nth
        values = []
        for index in range(count):
            self._nth = first + index
            values.append(self.value(items, path, nesting + 1))
        self._nth = first
        return values

    def _number(self, schema: Schema, path: str, whole: bool) -> float | int:
        low, high = _range(schema, whole)
        step = schema.get("multipleOf") or (1 if whole else 0)
        for text in self._rotated(self._facts.find(_NUMBER, path)):
            number = float(text)
            if low <= number <= high and (not step or number % step == 0):
                return int(number) if whole else number
        if low == -math.inf:
            low = min(0.0, high)
        high = min(high, low + 100)
        drawn = low + self._draws.uniform(f"{path} {self._nth}") * (high - low)
        if step:
            drawn = min(math.ceil(drawn / step), math.floor(high / step)) * step
        return int(drawn) if whole else round(drawn, 2) if high - low >= 1 else drawn

    def _string(self, schema: Schema, path: str) -> str:
        text = self._free_text(schema.get("format"), path)
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 200))
        if least > _MAX_CHARS:
            msg = f"it demands a text of more than {_MAX_CHARS} characters"
            raise ValueError(msg)
        if len(text) < least:
            text = (text + " " + "x" * least)[:least]
        return text[:most]

    def _free_text(self, form: str | None, path: str) -> str:
        words = set(_words(path.rpartition(".")[2]))
        if form == "email" or "email" in words:
            return self._first(self._facts.find(_EMAIL), "customer@example.com")
        if form == "date" or (form is None and "date" in words):
            return self._first(self._facts.find(_DATE), "2026-01-15")
        if form == "date-time":
            return self._first(self._facts.find(_DATE), "2026-01-15") + "T12:00:00Z"
        if form == "uuid":
            digits = self._draws.hex(f"{path} {self._nth}", 32)
            return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
        if words & _IDENTIFYING:
            drawn = str(10_000 + self._draws.below_count(f"{path} {self._nth}", 90_000))
            return self._first(self._facts.find(_CODE, path), drawn)
        return self._facts.question or path.rpartition(".")[2] or "text"

    def _first(self, found: list[str], otherwise: str) -> str:
        return next(iter(self._rotated(found)), otherwise)

    def _rotated(self, found: list[str]) -> list[str]:
        start = self._nth % len(found) if found else 0
        return found[start:] + found[:start]


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _merged(parts: Sequence[Any]) -> Schema:
    """One schema that demands what all of them demand, as far as plain ones do."""
    merged: Schema = {}
    for part in parts:
        if not isinstance(part, dict):
            continue
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged


def _range(schema: Schema, whole: bool) -> tuple[float, float]:
    low = float(schema.get("minimum", -math.inf))
    high = float(schema.get("maximum", math.inf))
    nudge = 1.0 if whole else 1e-6
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    # The draft-4 spelling of the exclusive limits is a flag beside the limit.
    if isinstance(above, bool):
        low += nudge if above else 0
    elif above is not None:
        low = max(low, float(above) + nudge)
    if isinstance(below, bool):
        high -= nudge if below else 0
    elif below is not None:
        high = min(high, float(below) - nudge)
    return low, high


def _words(name: str) -> list[str]:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace(".", "_").split("_")
