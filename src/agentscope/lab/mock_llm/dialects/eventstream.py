"""Amazon's binary event streams, ``application/vnd.amazon.eventstream``.

A message is big-endian throughout: its length, the length of its headers, a CRC-32 of those two,
the headers, the payload, and a CRC-32 of everything before. A header is the length of its name,
the name, the type of its value (7: a string), the length of the value, the value. Published at
https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html, among other places.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from zlib import crc32

from agentscope.lab.mock_llm.events import Framing

_STRING = 7
_OVERHEAD_BYTES = 16  # two lengths and two checksums


def event_message(event: str, payload: bytes) -> bytes:
    """The message of one event whose payload is JSON."""
    headers = _headers(event)
    lengths = struct.pack(">II", _OVERHEAD_BYTES + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return message + struct.pack(">I", crc32(message))


@lru_cache(maxsize=64)
def _headers(event: str) -> bytes:
    values = ((":event-type", event), (":content-type", "application/json"))
    headers = b""
    for name, value in (*values, (":message-type", "event")):
        headers += struct.pack(">B", len(name)) + name.encode()
        headers += struct.pack(">BH", _STRING, len(value)) + value.encode()
    return headers


def _count(body: bytes) -> int:
    """The messages in ``body``, each of which says how long it is."""
    count = at = 0
    while at < len(body):
        at += int.from_bytes(body[at : at + 4], "big")
        count += 1
    return count


AMAZON_EVENTS = Framing(b"application/vnd.amazon.eventstream", _count)
