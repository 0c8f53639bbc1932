"""Protocol Buffers' wire format, as much of it as OTLP needs.

Written by hand because a service should not have to agree with us on a release of ``protobuf``,
and because an encoded span waits as bytes and is sent as it is: messages of one repeated field are
simply joined. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_pack_fixed64 = struct.Struct("<Q").pack
_pack_double = struct.Struct("<d").pack

_SMALL = [bytes([n]) for n in range(128)]
_MASK_64 = (1 << 64) - 1


class MalformedError(ValueError):
    """Bytes that are no message."""


def varint(value: int) -> bytes:
    """A number in as many bytes as it needs; a negative one as its 64-bit complement."""
    if 0 <= value < 128:
        return _SMALL[value]
    value &= _MASK_64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire_type: int) -> bytes:
    """What stands before a field's value."""
    return varint(number << 3 | wire_type)


def number_field(number: int, value: int) -> bytes:
    """An ``int64``, ``uint32``, ``bool`` or enumeration."""
    return tag(number, _VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A ``bytes``, ``string`` (in UTF-8) or message."""
    return tag(number, _LENGTH) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """A ``string``; half of a surrogate pair, as broken clients send them, becomes ``?``."""
    return bytes_field(number, value.encode("utf-8", "replace"))


def fixed64_field(number: int, value: int) -> bytes:
    """A ``fixed64``: a date in nanoseconds, a count."""
    return tag(number, _FIXED64) + _pack_fixed64(value & _MASK_64)


def double_field(number: int, value: float) -> bytes:
    """A ``double``."""
    return tag(number, _FIXED64) + _pack_double(value)


def packed_fixed64(number: int, values: Sequence[int]) -> bytes:
    """A repeated ``fixed64``."""
    return bytes_field(number, struct.pack(f"<{len(values)}Q", *values))


def packed_doubles(number: int, values: Sequence[float]) -> bytes:
    """A repeated ``double``."""
    return bytes_field(number, struct.pack(f"<{len(values)}d", *values))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number and value; raises MalformedError.

    Numbers are unsigned and fixed ones come as bytes: receivers' answers hold few of either.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if wire_type == _LENGTH:
            length, at = _read_varint(message, at)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise MalformedError(f"wire type {wire_type}")
        if at + length > len(message):
            raise MalformedError("cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK_64, at
        shift += 7
    raise MalformedError("cut off")
