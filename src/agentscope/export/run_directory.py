"""The run directory: OTLP-JSON lines that survive a ``kill -9``.

Each process writes files of its own, new on every boot, so nobody ever appends to a torn line.
A line is written whole, by one ``os.write`` without a buffer of Python's: what a write returned
for is in the kernel's hands, and only a power cut can take it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentscope.recording import encoding
from agentscope.recording.sink import SinkUnavailable
from agentscope.recording.span import AttributeValue

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class RunDirectory:
    """The sink ``run_directory``. Files are opened when the first record comes."""

    name = "run_directory"

    def __init__(
        self, path: Path, instance: str, resource: Mapping[str, AttributeValue], version: str
    ) -> None:
        self.path = path
        self._instance = instance
        self._spans = _LineFile(path / f"traces-{instance}.jsonl")
        self._metrics = _LineFile(path / f"metrics-{instance}.jsonl")
        self._spans_header = encoding.spans_header(resource, version)
        self._metrics_header = encoding.metrics_header(resource, version)
        self._manifest: bytes = b""

    def write_spans(self, fragments: Sequence[bytes]) -> None:
        """Write one line that holds ``fragments``; raises SinkUnavailable."""
        self._spans.write(self._spans_header + b",".join(fragments) + encoding.SPANS_FOOTER)

    def write_metrics(self, fragments: Sequence[bytes]) -> None:
        """Write one line that holds ``fragments``; raises SinkUnavailable."""
        if fragments:
            line = self._metrics_header + b",".join(fragments) + encoding.METRICS_FOOTER
            self._metrics.write(line)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace this process's manifest in one step; raises SinkUnavailable."""
        text = json.dumps(manifest, indent=1).encode() + b"\n"
        final = self.path / f"manifest-{self._instance}.json"
        draft = self.path / f".manifest-{self._instance}.json"
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            descriptor = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE
            )
            try:
                _write_all(descriptor, text)
            finally:
                os.close(descriptor)
            draft.replace(final)
        except OSError as error:
            raise SinkUnavailable(_reason(error)) from error

    def close(self) -> None:
        """Close the files."""
        self._spans.close()
        self._metrics.close()


class _LineFile:
    """A file that holds whole lines only, as far as we were alive to see to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size_bytes = 0

    def write(self, line: bytes) -> None:
        try:
            if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
                self.close()  # deleted under us: what is written there now would be lost
            if self._descriptor < 0:
                self._open()
            _write_all(self._descriptor, line)
            self._size_bytes += len(line)
        except OSError as error:
            self._cut_back()
            raise SinkUnavailable(_reason(error)) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, FILE_MODE)
        self._size_bytes = 0

    def _cut_back(self) -> None:
        # A disk that ran full in mid-line holds half of it: take that back, or the next line
        # would be glued to it and both be lost.
        if self._descriptor >= 0:
            try:
                os.ftruncate(self._descriptor, self._size_bytes)
            except OSError:
                self.close()
                self._path = self._path.with_stem(self._path.stem + "+")


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a signal, or a disk that is about to be full
        written += os.write(descriptor, data[written:])


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown error").lower()


def check_writable(path: Path) -> None:
    """Make ``path`` and prove that files can be made in it; raises OSError."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    probe = path / f".probe-{secrets.token_hex(8)}"  # in containers every pid is the same
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    os.close(descriptor)
    probe.unlink()
