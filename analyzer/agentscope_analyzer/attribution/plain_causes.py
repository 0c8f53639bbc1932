"""The causes of plain turns' spans: the rules of ``causes`` where no call failed or was repeated.

Level by level from the turns down, each span has its context from its parent. Turns in which a
call consists of several attempts, or one failed, are left to the walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow.compute as pc

from agentscope_analyzer.attribution.causes import (
    CONTEXT,
    FIRST_TOKEN,
    GENERATION,
    NOTHING,
    OWN_CODE,
    QUERY,
    TOOL,
    UPSTREAM,
    wait_codes,
)
from agentscope_analyzer.attribution.plain_tree import Flags, Ints, PlainTree, Sections

__all__ = ["PlainCauses"]

_NEVER: Final = np.iinfo(np.int64).max
_CALLS: Final = ("inference", "llm_call")
_FIXED: Final = {"database": QUERY, "tool": TOOL, "context_load": CONTEXT}
_MAY_FAIL: Final = ("inference", "llm_call", "http")


@dataclass(slots=True)
class _Contexts:
    """What each span hands down, as ``causes._Context`` says; the last row is above the turns."""

    inherited: Ints
    call: Ints
    attempts_of: Ints
    within: Ints

    @classmethod
    def above(cls, n: int) -> _Contexts:
        """No context but that of the turns' own parents."""
        inherited = np.full(n + 1, NOTHING, dtype=np.int64)
        return cls(inherited, *(np.full(n + 1, -1, dtype=np.int64) for _ in range(3)))

    def hand_down(self, rows: Ints, parents: Ints) -> None:
        """Give the spans the contexts of their parents."""
        for column in (self.inherited, self.call, self.attempts_of, self.within):
            column[rows] = column[parents]

    def begin(self, rows: Ints, code: Ints | int) -> None:
        """Begin anew at these spans: nothing of what is above concerns those below."""
        self.inherited[rows] = code
        self.call[rows] = self.attempts_of[rows] = self.within[rows] = -1


@dataclass(slots=True)
class PlainCauses:
    """By row: the cause's code, and for calls of models the times at which it changes."""

    tree: PlainTree
    code: Ints = field(init=False)
    times: tuple[Ints, ...] = field(init=False)
    """Three columns: where the cause of a row changes, ``_NEVER`` where it does not."""
    codes: tuple[Ints, ...] = field(init=False)
    """Four columns: the cause up to the first of the times, to the second, to the third, after."""
    _roles: dict[str, Flags] = field(init=False)
    _names: list[str] = field(init=False)
    _nests: Flags = field(init=False)
    _part_of: Ints = field(init=False)
    _alike: Ints = field(init=False)

    def __post_init__(self) -> None:
        """Classify all spans at and below the turns."""
        tree, n = self.tree, len(self.tree.trace)
        encoded = tree.table["role"].combine_chunks().dictionary_encode()
        self._names = encoded.dictionary.to_pylist()
        role = encoded.indices.to_numpy()
        self._roles = {name: role == i for i, name in enumerate(self._names)}
        self.code = np.full(n, NOTHING, dtype=np.int64)
        self.times = tuple(np.full(n, _NEVER, dtype=np.int64) for _ in range(3))
        self._part_of = np.full(n, -1, dtype=np.int64)
        self._alike = np.full(n, -1, dtype=np.int64)
        self._leave_failures()
        self._find_nests()
        contexts = _Contexts.above(n)
        for level in tree.levels:
            contexts.hand_down(level, tree.parent[level])
            self._classify(level, contexts)
        self.codes = tuple(self.code.copy() for _ in range(4))
        self._settle()

    def bases(self) -> Ints:
        """One cause a span: where it changes, the first that is not the process's own code."""
        first, second = self.codes[0], self.codes[1]
        told = np.where((self.times[0] < _NEVER) & (first >= OWN_CODE), second, first)
        bases: Ints = told & ~OWN_CODE
        return bases

    def pieces(self, sections: Sections) -> tuple[Sections, Ints]:
        """Sections divided where the cause changes, and the cause of each part."""
        changes = self.times[0][sections.row] < _NEVER
        whole = ~changes
        parts = [Sections(sections.start[whole], sections.end[whole], sections.row[whole])]
        codes = [self.code[parts[0].row]]
        row = sections.row[changes]
        start, end = sections.start[changes], sections.end[changes]
        edges = [start, *(np.clip(times[row], start, end) for times in self.times), end]
        for code, a, b in zip(self.codes, edges[:-1], edges[1:], strict=True):
            kept = b > a
            parts.append(Sections(a[kept], b[kept], row[kept]))
            codes.append(code[row[kept]])
        return (
            Sections(
                np.concatenate([part.start for part in parts]),
                np.concatenate([part.end for part in parts]),
                np.concatenate([part.row for part in parts]),
            ),
            np.concatenate(codes),
        )

    def _role(self, name: str) -> Flags:
        found = self._roles.get(name)
        return np.zeros(len(self.code), dtype=np.bool_) if found is None else found

    def _leave_failures(self) -> None:
        failed = self.tree.table["failure"].is_valid().to_numpy()
        for name in _MAY_FAIL:
            self.tree.leave(failed & self._role(name))

    def _find_nests(self) -> None:
        n = len(self.code)
        self._nests = np.zeros(n + 1, dtype=np.bool_)
        inference = self._role("inference")
        for level in reversed(self.tree.levels):
            holding = level[inference[level] | self._nests[level]]
            self._nests[self.tree.parent[holding]] = True

    def _classify(self, level: Ints, contexts: _Contexts) -> None:
        code = self.code
        code[level] = contexts.inherited[level]
        for name, flags in self._roles.items():
            rows = level[flags[level]]
            if not len(rows):
                continue
            if name == "own":
                inside = rows[contexts.within[rows] >= 0]
                self._alike[inside] = contexts.within[inside]
            elif name == "http":
                self._classify_http(rows, contexts)
            elif name in _CALLS:
                self._part_of[rows] = contexts.call[rows]
                contexts.call[rows] = rows
                nests = self._nests[rows] if name == "llm_call" else np.zeros(len(rows), np.bool_)
                contexts.attempts_of[rows] = np.where(nests, -1, rows)
                contexts.within[rows] = -1
            elif name == "agent":
                contexts.begin(rows, contexts.inherited[rows])
            elif name in _FIXED:
                code[rows] = _FIXED[name]
                contexts.begin(rows, _FIXED[name])
            elif not name.startswith("wait."):
                self.tree.leave(rows)
            else:
                below_call, elsewhere = wait_codes(name)
                told = np.where(contexts.call[rows] >= 0, below_call, elsewhere)
                code[rows] = np.where(told < 0, contexts.inherited[rows], told)
                contexts.inherited[rows] = code[rows]
                contexts.within[rows] = -1

    def _classify_http(self, rows: Ints, contexts: _Contexts) -> None:
        code = self.code
        same = contexts.within[rows] >= 0
        self._alike[rows[same]] = contexts.within[rows[same]]
        rows = rows[~same]
        is_attempt = contexts.attempts_of[rows] >= 0
        attempts, others = rows[is_attempt], rows[~is_attempt]
        self._part_of[attempts] = contexts.attempts_of[attempts]
        code[attempts] = contexts.inherited[attempts] = FIRST_TOKEN
        contexts.within[attempts] = attempts
        elsewhere = others[contexts.inherited[others] != QUERY]
        code[elsewhere] = UPSTREAM
        contexts.begin(elsewhere, UPSTREAM)

    def _settle(self) -> None:
        """Find the causes of calls from their parts, and of parts from their calls."""
        n = len(self.code)
        parts = np.flatnonzero(self._part_of >= 0)
        calls = self._part_of[parts]
        several = np.bincount(calls, minlength=n) > 1
        self.tree.leave(several)
        part = np.full(n, -1, dtype=np.int64)
        part[calls] = parts
        inference, phase = self._role("inference"), self._role("llm_call")
        used = np.zeros(n, dtype=np.bool_)
        for level in self.tree.levels:
            used[level] = True
        chunk = self._chunks()
        alone = used & (part < 0)
        self._set(np.flatnonzero(alone & (inference | (phase & ~self._nests[:n]))), FIRST_TOKEN)
        self._answer(np.flatnonzero(alone & inference), chunk)
        http = self._role("http")
        attempts = parts[http[parts] & inference[calls]]
        self._answer(attempts, chunk[self._part_of])
        streams = self.tree.table["streams"].to_numpy()
        streamed = np.flatnonzero(used & inference & streams & (part >= 0))
        self._stream(streamed, part[streamed], chunk[streamed])
        alike = np.flatnonzero(self._alike >= 0)
        other = self._alike[alike]
        for column in (self.code, *self.times, *self.codes):
            column[alike] = column[other]

    def _chunks(self) -> Ints:
        filled = pc.fill_null(self.tree.table["first_chunk_ns"], _NEVER)
        chunks: Ints = filled.to_numpy()
        return chunks

    def _set(self, rows: Ints, code: int) -> None:
        for column in (self.code, *self.codes):
            column[rows] = code

    def _answer(self, rows: Ints, chunk: Ints) -> None:
        """A good attempt: the first token, then the others."""
        self._set(rows, FIRST_TOKEN)
        rows = rows[chunk[rows] < _NEVER]
        self.times[0][rows] = chunk[rows]
        for column in self.codes[1:]:
            column[rows] = GENERATION

    def _stream(self, rows: Ints, part: Ints, chunk: Ints) -> None:
        """The own time of a streamed call: before its attempt its own, then the answer's."""
        start, end = self.tree.start[part], self.tree.end[part]
        told = chunk < _NEVER
        early, late = told & (chunk <= start), told & (chunk > end)
        between = told & ~early & (chunk < end)
        self.times[0][rows] = start
        self.times[1][rows] = np.where(between, chunk, end)
        self.times[2][rows] = np.where(between, end, np.where(late, chunk, _NEVER))
        self.codes[1][rows] = np.where(early, GENERATION, FIRST_TOKEN)
        self.codes[2][rows] = np.where(told & ~late, GENERATION, FIRST_TOKEN)
        self.codes[3][rows] = np.where(told, GENERATION, FIRST_TOKEN)
