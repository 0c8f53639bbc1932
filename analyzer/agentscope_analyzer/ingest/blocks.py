"""A file as blocks of whole lines: plain, gzip or Zstandard, never more than a block in memory."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

import pyarrow as pa

from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit

__all__ = [
    "BLOCK_BYTES",
    "MAX_DECODED_BYTES",
    "MAX_LINE_BYTES",
    "MAX_RATIO",
    "decoded_chunks",
    "head",
    "read_blocks",
]

BLOCK_BYTES: Final = 16 << 20
MAX_LINE_BYTES: Final = 64 << 20
MAX_DECODED_BYTES: Final = 4 << 30
MAX_RATIO: Final = 200
"""Decoded to compressed size; telemetry comes to 10 to 60."""

_RATIO_APPLIES_FROM_BYTES: Final = 16 << 20
_PIECE_BYTES: Final = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_blocks(path: Path, tally: Tally) -> Iterator[bytes]:
    """Yield the file's content in blocks that end with a newline; only the last may lack it.

    A line beyond ``MAX_LINE_BYTES`` is left out and counted. So is what follows when the file
    cannot be decompressed further, or grows beyond ``MAX_DECODED_BYTES`` or ``MAX_RATIO``.
    Raises OSError when the file cannot be opened or is not a regular file.
    """
    begun, skipping = bytearray(), False  # the line that the last chunk left unfinished
    for decoded in decoded_chunks(path, tally):
        chunk = decoded
        if skipping:
            _, newline, chunk = decoded.partition(b"\n")
            if not newline:
                continue
            skipping = False
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join((begun, memoryview(chunk)[:end]))
            begun = bytearray(chunk[end:])
        else:
            begun += chunk
        if len(begun) > MAX_LINE_BYTES:
            tally.read[Unit.LINES.value] += 1
            tally.refuse(Reason.TOO_LARGE)
            begun, skipping = bytearray(), True
    if begun:
        yield bytes(begun)


def head(path: Path, size: int) -> bytes:
    """The first bytes of a file, decompressed; raises OSError as ``read_blocks`` does."""
    with _open(path) as file:
        try:
            return _decoder(file).read(size).removeprefix(_BOM)
        except (EOFError, OSError, zlib.error):
            return b""


def decoded_chunks(path: Path, tally: Tally) -> Iterator[bytes]:
    """The file's content, decompressed, in parts of about a block; limits as ``read_blocks``."""
    with _open(path) as file:
        stream = _decoder(file)
        if stream is file:
            pieces = iter(lambda: file.read(BLOCK_BYTES), b"")
        else:
            pieces = _gathered(_decoded(stream, os.fstat(file.fileno()).st_size, tally))
        for position, piece in enumerate(pieces):
            yield piece if position else piece.removeprefix(_BOM)


def _decoded(stream: _Readable, compressed_bytes: int, tally: Tally) -> Iterator[bytes]:
    """Small pieces: what a decoder had ready when it fails is lost, and so at most one of them."""
    decoded_bytes = 0
    while True:
        try:
            piece = stream.read(_PIECE_BYTES)
        except (EOFError, OSError, zlib.error):
            tally.refuse(Reason.BAD_COMPRESSION)
            return
        decoded_bytes += len(piece)
        if not piece:
            return
        if _bomb(decoded_bytes, compressed_bytes):
            tally.refuse(Reason.DECOMPRESSION_LIMIT)
            return
        yield piece


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _bomb(decoded_bytes: int, compressed_bytes: int) -> bool:
    if decoded_bytes > MAX_DECODED_BYTES:
        return True
    return decoded_bytes > max(_RATIO_APPLIES_FROM_BYTES, MAX_RATIO * compressed_bytes)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    # O_NONBLOCK: opening a pipe that nobody writes to must not hang before fstat tells what it is.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            msg = f"{path} is not a regular file"
            raise OSError(msg)
        yield file


def _decoder(file: IO[bytes]) -> _Readable:
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        return _Gzip(file)
    if magic == _ZSTD:
        return _Zstd(file)
    return file


class _Gzip:
    """Members one after the other; what was decoded before an error is handed out first."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=file, mode="rb")

    def read(self, size: int, /) -> bytes:
        return self._file.read1(size)


class _Zstd:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")

    def read(self, size: int, /) -> bytes:
        return bytes(self._file.read(size))
