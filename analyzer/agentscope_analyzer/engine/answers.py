"""Answers of an earlier analysis of the same run: the same question has the same answer.

An answer is known by the text of its question, its parameters, and the statements that prepared
temporary tables before it. Those statements are put off until a question comes up that was not
asked before. The file lies in a folder that stands for one state of the run's tables.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

__all__ = ["Answers"]

Rows = list[dict[str, Any]]
Run = Callable[[str, dict[str, Any]], Rows]

_NAME: Final = "answers.msgpack"
_LAYOUT: Final = "agentscope.answers/1"
_DIGEST_BYTES: Final = 32
_PREPARES: Final = re.compile(r"\s*CREATE OR REPLACE TEMP TABLE ", re.IGNORECASE)
_MOST_VALUES: Final = 2_000_000
"""Of one answer; a larger one is asked for again."""
_MOST_BYTES: Final = 256 << 20
_PLAIN: Final = (type(None), bool, int, float, str)
_MAX_INT: Final = 2**63 - 1


class _Answer(msgspec.Struct, array_like=True):
    columns: list[str]
    rows: list[list[Any]]


class Answers:
    """What is known of one state of a run's tables, and what was found out since."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._known = _load(self._path)
        self._used: dict[str, _Answer] = {}
        self._waiting: list[str] = []
        self._state = hashlib.sha256(f"{_LAYOUT} DuckDB {duckdb.__version__}".encode()).digest()

    def of(self, sql: str, params: dict[str, Any], run: Run) -> Rows:
        """The rows of a query, known or found by ``run``."""
        if _PREPARES.match(sql) and not params:
            self._waiting.append(sql)
            self._state = hashlib.sha256(self._state + sql.encode()).digest()
            return []
        key = self._key(sql, params)
        answer = self._used.get(key) or self._known.get(key)
        if answer is not None:
            self._used[key] = answer
            return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        self.prepare(run)
        rows = run(sql, params)
        if rows and len(rows) * len(rows[0]) <= _MOST_VALUES and _is_plain(rows):
            self._used[key] = _Answer([*rows[0]], [[*row.values()] for row in rows])
        elif not rows:
            self._used[key] = _Answer([], [])
        return rows

    def prepare(self, run: Run) -> None:
        """Run the statements that were put off."""
        waiting, self._waiting = self._waiting, []
        for sql in waiting:
            run(sql, {})

    def save(self) -> None:
        """Keep what was asked this time, if there is anything new; where that cannot be, nothing."""
        if not self._used.keys() - self._known.keys():
            return
        data = msgspec.msgpack.encode({**self._known, **self._used})
        if len(data) > _MOST_BYTES:
            data = msgspec.msgpack.encode(self._used)
        if len(data) > _MOST_BYTES:
            return
        with suppress(OSError):
            descriptor, name = tempfile.mkstemp(prefix="draft-", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(data).digest())
                    file.write(data)
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise

    def _key(self, sql: str, params: dict[str, Any]) -> str:
        text = repr((sql, sorted(params.items())))
        return hashlib.sha256(self._state + text.encode()).hexdigest()


def _load(path: Path) -> dict[str, _Answer]:
    try:
        data = path.read_bytes()
        digest, packed = data[:_DIGEST_BYTES], memoryview(data)[_DIGEST_BYTES:]
        if hashlib.sha256(packed).digest() != digest:
            return {}
        return msgspec.msgpack.decode(packed, type=dict[str, _Answer])
    except (OSError, msgspec.MsgspecError):
        return {}


def _is_plain(value: Any) -> bool:
    """Whether a value comes back from its file as it went in."""
    if type(value) is int:
        return -_MAX_INT <= value <= _MAX_INT
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return type(value) in _PLAIN
