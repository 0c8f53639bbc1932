"""Files of series in prometheus_client's format, written without its memory map.

A page of a map that finds no room on a full file system kills the process (SIGBUS), the service
with it: a write only fails. A file that grows has the new series behind the others, so what is
there already is brought up to date in place, and needs no room.

The format, in the machine's byte order: how much is used (int32), four bytes that prometheus_client
passes over, and for each series the length of its key (int32), the key padded with blanks to a
multiple of eight, value and time (double). In the four bytes a version stands, odd while a write is
going on: a reader that is ours takes no half of it. Behind what is used may stand a note.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from agentscope.export.prometheus.pace import Pace

MODE = 0o644
"""prometheus_client's: the directory says who may read."""

READINGS = 5
"""How often a file is read that is written meanwhile; the last time it is taken as it is."""

_HEADER, _LENGTH, _VALUE = struct.Struct("=ii"), struct.Struct("=i"), struct.Struct("=dd")
_MAX_VERSION = (1 << 31) - 2


class ValuesFile:
    """The series of one kind of one worker. Not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = bytearray(_HEADER.size)
        self._places: dict[str, int] = {}
        self._version = 0
        self._written = 0
        self._descriptor: int | None = None

    def write(self, values: Mapping[str, float], pace: Pace) -> None:
        """Have the file say these values and no others; raises OSError.

        Where there is no room for new series, those that it has are brought up to date all the same.
        """
        for key, value in pace.over(values.items()):
            place = self._places.get(key)
            _VALUE.pack_into(self._data, self._add(key) if place is None else place, value, 0.0)
        if len(self._places) > len(values):  # one is gone, and the format knows no way to say so
            self._data = bytearray(_HEADER.size)
            self._places = {}
            self.close()
            self.write(values, pace)
        elif self._descriptor is None or not os.fstat(self._descriptor).st_nlink:
            self._begin()
        else:
            self._renew(self._descriptor)

    def close(self) -> None:
        """Give the file back; it stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _add(self, key: str) -> int:
        self._data += _entry(key, 0.0)
        place = self._places[key] = len(self._data) - _VALUE.size
        return place

    def _begin(self) -> None:
        """Make the file, whole or not at all: also where it was swept away."""
        self.close()
        _HEADER.pack_into(self._data, 0, len(self._data), 0)
        draft = self.path.with_suffix(".draft")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            _write_all(descriptor, bytes(self._data), 0)
            draft.replace(self.path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        self._descriptor, self._written, self._version = descriptor, len(self._data), 0

    def _renew(self, descriptor: int) -> None:
        _write_all(descriptor, _HEADER.pack(self._written, self._version + 1), 0)
        try:
            if len(self._data) > self._written:
                _write_all(descriptor, bytes(self._data[self._written :]), self._written)
                self._written = len(self._data)
        finally:
            self._version = (self._version + 2) % _MAX_VERSION
            kept = bytes(self._data[_HEADER.size : self._written])
            _write_all(descriptor, kept, _HEADER.size)
            _write_all(descriptor, _HEADER.pack(self._written, self._version), 0)


def read(path: Path) -> tuple[Iterator[tuple[str, float]], bytes]:
    """The series of a file, one after the other, and the note behind them.

    Raises OSError, and ValueError or struct.error for what is no such file, the latter also in the
    middle.
    """
    for last in range(READINGS - 1, -1, -1):
        with path.open("rb", buffering=0) as file:
            data = file.read()
            header = os.pread(file.fileno(), _HEADER.size, 0)
        used, version = _HEADER.unpack_from(data)
        if header == data[: _HEADER.size] and version % 2 == 0:
            break
        if last:
            time.sleep(0.001)
    if not _HEADER.size <= used <= len(data):
        raise ValueError(f"{used} bytes used of {len(data)}")
    return _series(data, used), data[used:]


def replace(path: Path, values: Mapping[str, float], note: Collection[str], pace: Pace) -> None:
    """Write a file with a note, all at once or not at all; raises OSError."""
    entries = b"".join(_entry(key, value) for key, value in pace.over(values.items()))
    header = _HEADER.pack(_HEADER.size + len(entries), 0)
    draft = path.with_suffix(".draft")
    try:
        draft.write_bytes(header + entries + json.dumps(list(note)).encode())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def noted(note: bytes) -> list[str]:
    """What ``replace`` was given as a note; nothing where another release wrote none."""
    try:
        names = json.loads(note)
    except ValueError:
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _series(data: bytes, used: int) -> Iterator[tuple[str, float]]:
    at = _HEADER.size
    while at < used:
        (length,) = _LENGTH.unpack_from(data, at)
        start = at + _LENGTH.size
        end = start + length
        at = start + _padded(length)
        if length < 0 or at + _VALUE.size > used:
            raise ValueError("cut off")
        value, _ = _VALUE.unpack_from(data, at)
        yield data[start:end].decode(), value
        at += _VALUE.size


def _entry(key: str, value: float) -> bytes:
    name = key.encode()
    padded = name.ljust(_padded(len(name)))
    return _LENGTH.pack(len(name)) + padded + _VALUE.pack(value, 0.0)


def _padded(length: int) -> int:
    # At least one blank, and the value at a multiple of eight.
    return length + 8 - (length + _LENGTH.size) % 8


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    written = os.pwrite(descriptor, data, at)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], at + written)
