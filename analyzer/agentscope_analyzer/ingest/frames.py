"""Messages behind their length, as the Collector's file exporter writes what it compresses itself.

Each message is preceded by its size in bytes, four of them, the most significant first; with
``compression: zstd`` it is a Zstandard frame of its own. The messages are JSON, or protobuf with
``format: proto``.
https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/fileexporter
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from agentscope_analyzer.ingest.blocks import (
    BLOCK_BYTES,
    MAX_DECODED_BYTES,
    MAX_LINE_BYTES,
    MAX_RATIO,
    decoded_chunks,
)
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit

__all__ = ["frame_start", "is_protobuf", "read_frames"]

_SIZE_BYTES: Final = 4
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES: Final = 1 << 20
_RATIO_APPLIES_FROM_BYTES: Final = 16 << 20
_RESOURCES: Final = b"\x0a"
_FIELDS_OF_RESOURCES: Final = (b"\x0a", b"\x12")
"""Protobuf's tags: of the only field of a message of any signal, and of a resource and its scopes."""


def read_frames(path: Path, tally: Tally) -> Iterator[bytes]:
    """Yield the messages as blocks of lines, as ``read_blocks`` does for a file of lines.

    A message that cannot be decompressed is counted and left out: the one behind it is whole. A
    size beyond ``MAX_LINE_BYTES``, or beyond the end of the file, ends the file.
    """
    block = bytearray()
    decoded_bytes = 0
    for message in _messages(path, tally):
        try:
            line = _decompressed(message)
        except (OSError, pa.ArrowException):
            tally.read[Unit.LINES.value] += 1
            tally.refuse(Reason.BAD_MESSAGE)
            continue
        except OverflowError:
            tally.refuse(Reason.DECOMPRESSION_LIMIT)
            break
        decoded_bytes += len(line)
        if decoded_bytes > MAX_DECODED_BYTES:
            tally.refuse(Reason.DECOMPRESSION_LIMIT)
            break
        # A newline between two parts of JSON says no more than a blank does.
        block += line.replace(b"\n", b" ") + b"\n"
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def frame_start(start: bytes) -> bytes:
    """How the first message of such a file begins; empty where the file is none of that kind."""
    size = int.from_bytes(start[:_SIZE_BYTES])
    message = start[_SIZE_BYTES : _SIZE_BYTES + size]
    if not 0 < size <= MAX_LINE_BYTES or not message:
        return b""
    if message.startswith(_ZSTD):
        try:
            message = bytes(_zstd(message).read(1 << 16))
        except (OSError, pa.ArrowException):
            return b""
    return message


def is_protobuf(message: bytes) -> bool:
    """Whether a message begins like the protobuf form of traces, metrics or logs."""
    if message[:1] != _RESOURCES:
        return False
    for at, byte in enumerate(message[1:6], start=1):  # the length of the first resource's part
        if byte < 0x80:
            return message[at + 1 : at + 2] in _FIELDS_OF_RESOURCES
    return False


def _messages(path: Path, tally: Tally) -> Iterator[bytes]:
    waiting = bytearray()
    for chunk in decoded_chunks(path, tally):
        waiting += chunk
        at = 0
        while (end := at + _SIZE_BYTES) <= len(waiting):
            size = int.from_bytes(waiting[at:end])
            if size > MAX_LINE_BYTES:
                tally.read[Unit.LINES.value] += 1
                tally.refuse(Reason.TOO_LARGE)
                return
            if end + size > len(waiting):
                break
            yield bytes(waiting[end : end + size])
            at = end + size
        del waiting[:at]
    if waiting:
        tally.read[Unit.LINES.value] += 1
        tally.refuse(Reason.TORN_LINE)


def _decompressed(message: bytes) -> bytes:
    """Raises OverflowError for a message that grows out of all proportion."""
    if not message.startswith(_ZSTD):
        return message
    stream = _zstd(message)
    most = max(_RATIO_APPLIES_FROM_BYTES, MAX_RATIO * len(message))
    pieces = bytearray()
    while piece := stream.read(_PIECE_BYTES):
        pieces += piece
        if len(pieces) > min(most, MAX_LINE_BYTES):
            raise OverflowError
    return bytes(pieces)


def _zstd(message: bytes) -> pa.CompressedInputStream:
    return pa.CompressedInputStream(pa.BufferReader(message), "zstd")
