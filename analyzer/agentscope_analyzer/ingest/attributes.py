"""OTLP attributes in Arrow: as text, as a map, and as the typed columns. No loop over spans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentscope_analyzer.ingest.dialects import Source

__all__ = ["Attributes", "Irregular", "any_value_type", "attributes_type"]

_CONTROL_OR_QUOTE = r'[\x00-\x1f"\\]'
_INTEGER = r"^-?[0-9]{1,18}$"
_NUMBER = r"^-?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"
_MANY_ATTRIBUTES: Final = 64
_INT32_MAX: Final = 2**31 - 1


class Irregular(Exception):
    """The block is beyond what the fast path knows; the careful path decides about it."""


def any_value_type(integers: pa.DataType) -> pa.StructType:
    """AnyValue as far as the fast path reads it; ``integers`` says how intValue is spelled."""
    plain = [
        ("stringValue", pa.string()),
        ("intValue", integers),
        ("doubleValue", pa.float64()),
        ("boolValue", pa.bool_()),
    ]
    array = pa.struct([("values", pa.list_(pa.struct(plain)))])
    return pa.struct([*plain, ("arrayValue", array)])


def attributes_type(integers: pa.DataType) -> pa.ListType:
    """A list of KeyValue."""
    return pa.list_(pa.struct([("key", pa.string()), ("value", any_value_type(integers))]))


class Attributes:
    """The attributes of many owners (spans or resources), flattened once.

    Raises Irregular for a missing key, a value that is absent or of a kind that is not read here,
    and pyarrow.ArrowInvalid for an intValue that is no 64-bit integer.
    """

    def __init__(self, lists: pa.ListArray) -> None:
        self.owners = len(lists)
        self._lengths = pc.fill_null(pc.list_value_length(lists), 0)
        self._owner = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        pairs = pc.list_flatten(lists)
        self._keys = pc.struct_field(pairs, "key")
        self._texts = _texts(pc.struct_field(pairs, "value"))
        if self._keys.null_count or self._texts.null_count:
            msg = "an attribute without key or with a value of another kind"
            raise Irregular(msg)
        encoded = pc.dictionary_encode(self._keys)
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)
        self._code_of = {key: code for code, key in enumerate(encoded.dictionary.to_pylist())}
        if _repeats(self._owner, self._codes):
            msg = "an owner that has the same attribute twice"
            raise Irregular(msg)

    def as_map(self) -> pa.MapArray:
        """All attributes of each owner, as MAP(VARCHAR, VARCHAR)."""
        offsets = np.zeros(self.owners + 1, dtype=np.int32)
        np.cumsum(self._lengths.to_numpy(zero_copy_only=False), out=offsets[1:])
        return pa.MapArray.from_arrays(pa.array(offsets), self._keys, self._texts)

    def column(self, sources: tuple[Source, ...], kind: pa.DataType) -> pa.Array | None:
        """A typed column, read from the first source that an owner has; None if nobody has any.

        A value that is not of the column's type is NULL; it stays in the map as it is.
        """
        result = None
        for source in sources:
            values = self._of(source)
            if values is not None:
                result = values if result is None else pc.coalesce(result, values)
        return None if result is None else _typed(result, kind)

    def _of(self, source: Source) -> pa.Array | None:
        code = self._code_of.get(source.attribute)
        if code is None:
            return None
        places = np.flatnonzero(self._codes == code)
        position = np.full(self.owners, -1, dtype=np.int64)
        position[self._owner[places]] = places
        values = self._texts.take(pa.array(position, mask=position < 0))
        if source.values is not None:
            values = _translated(values, source.values)
        if source.bare_path:
            values = pc.replace_substring_regex(values, r"(?s)[?#].*", "")
        return values


def _repeats(owner: np.ndarray, code: np.ndarray) -> bool:
    """Whether an owner (they are in order) has the same code twice."""
    for distance in range(1, len(owner)):
        same_owner = owner[:-distance] == owner[distance:]
        if not same_owner.any():
            return False
        if (same_owner & (code[:-distance] == code[distance:])).any():
            return True
        if distance == _MANY_ATTRIBUTES:
            pairs = owner.astype(np.int64) << 32 | code
            return len(np.unique(pairs)) < len(pairs)
    return False


def _texts(value: pa.StructArray) -> pa.Array:
    def field(name: str) -> pa.Array:
        return pc.struct_field(value, name)

    if not pc.all(pc.is_finite(field("doubleValue")), min_count=0).as_py():
        msg = "a bare NaN or Infinity: no JSON, although the parser takes it"
        raise Irregular(msg)
    choices = [field("stringValue"), _integer_texts(field("intValue"))]
    # Most batches have few of the others: a column of NULLs is not worth turning into text.
    rarer = (field(name) for name in ("boolValue", "doubleValue"))
    choices += [values.cast(pa.string()) for values in rarer if values.null_count < len(value)]
    if field("arrayValue").null_count < len(value):
        choices.append(_array_texts(field("arrayValue")))
    return pc.coalesce(*choices)


def _integer_texts(values: pa.Array) -> pa.Array:
    if values.null_count == len(values):
        return pa.nulls(len(values), pa.string())
    return values.cast(pa.int64()).cast(pa.string())  # strings too: "007" is 7, "x" is an error


def _array_texts(arrays: pa.StructArray) -> pa.Array:
    """Each list as JSON text, NULL where there is no list."""
    there = pc.is_valid(arrays)
    found = _json_lists(arrays.filter(there))  # few attributes are lists
    return pc.replace_with_mask(pa.nulls(len(arrays), pa.string()), there, found)


def _json_lists(arrays: pa.StructArray) -> pa.Array:
    lists = pc.struct_field(arrays, "values")
    elements = pc.list_flatten(lists)
    parts = pc.coalesce(
        _quoted(pc.struct_field(elements, "stringValue")),
        _integer_texts(pc.struct_field(elements, "intValue")),
        pc.struct_field(elements, "boolValue").cast(pa.string()),
        pc.struct_field(elements, "doubleValue").cast(pa.string()),
    )
    if parts.null_count:
        msg = "a list within a list, or a list with an empty value"
        raise Irregular(msg)
    offsets = np.zeros(len(lists) + 1, dtype=np.int32)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    np.cumsum(lengths.to_numpy(zero_copy_only=False), out=offsets[1:])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), parts), ",")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _quoted(texts: pa.Array) -> pa.Array:
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    special = pc.fill_null(pc.match_substring_regex(texts, _CONTROL_OR_QUOTE), fill_value=False)
    if not pc.any(special).as_py():
        return quoted
    escaped = [json.dumps(text, ensure_ascii=False) for text in texts.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special, pa.array(escaped, pa.string()))


def _translated(values: pa.Array, translation: Mapping[str, str]) -> pa.Array:
    known = pc.index_in(values, pa.array(list(translation)))
    return pa.array(list(translation.values())).take(known)


def _typed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return texts
    told = texts.dictionary_encode()  # values repeat, and patterns take long
    return _typed_values(told.dictionary, kind).take(told.indices)


def _typed_values(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == pa.bool_():
        lower = pc.utf8_lower(texts)
        known = pc.index_in(lower, pa.array(["false", "true"]))
        return pa.array([False, True]).take(known)
    if kind == pa.float64():
        numbers = _cast(texts, _NUMBER, kind)
        return pc.if_else(pc.is_finite(numbers), numbers, None)
    numbers = _cast(pc.replace_substring_regex(texts, r"\.0*$", ""), _INTEGER, pa.int64())
    if kind == pa.int32():
        small = pc.less_equal(pc.abs(numbers), _INT32_MAX)
        numbers = pc.if_else(small, numbers, None)
    return numbers.cast(kind)


def _cast(texts: pa.Array, pattern: str, kind: pa.DataType) -> pa.Array:
    valid = pc.match_substring_regex(texts, pattern)
    return pc.if_else(valid, texts, pa.scalar(None, pa.string())).cast(kind)


def columns(
    attributes: Attributes, sources: Mapping[str, tuple[Source, ...]], schema: pa.Schema
) -> dict[str, Any]:
    """Every typed column that at least one owner has a value for."""
    found = {
        name: attributes.column(choices, schema.field(name).type)
        for name, choices in sources.items()
    }
    return {name: values for name, values in found.items() if values is not None}
