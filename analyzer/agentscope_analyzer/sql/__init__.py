"""The analyzer's questions: one SQL file each, documented by its header, checked by machine.

``sql/<topic>/<question>.sql`` is the question ``<topic>/<question>``. Its header says in comments
what it answers, which tables it reads (``@reads``), what it takes (``@param``) and what comes out
(``@column``). A file whose name starts with an underscore is a helper: other questions read it as
the table ``<topic>_<name>``, and it is put before them as a common table expression, so a question
needs no right but to select.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Protocol

__all__ = [
    "Asker",
    "Column",
    "HeaderError",
    "Param",
    "Question",
    "ask",
    "expanded",
    "questions",
    "tables_of",
]


class Queryable(Protocol):
    """An engine that answers SQL with named parameters."""

    def query(self, sql: str, /, **params: Any) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        ...


class HeaderError(ValueError):
    """A question's header cannot be read, or says what is not so."""


@dataclass(frozen=True)
class Param:
    """A named parameter with its default as SQL text; None: it must be given."""

    name: str
    type: str
    default: str | None
    doc: str


@dataclass(frozen=True)
class Column:
    """A column of the answer."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True)
class Question:
    """One question: its sentence, its remarks, what it reads and takes, and its SQL."""

    id: str
    title: str
    doc: str
    reads: tuple[str, ...]
    params: tuple[Param, ...]
    columns: tuple[Column, ...]
    body: str

    @property
    def is_helper(self) -> bool:
        """Only other questions read it."""
        return self.id.partition("/")[2].startswith("_")

    @property
    def table(self) -> str:
        """The name by which other questions read a helper."""
        return self.id.replace("/_", "_")


class Asker:
    """Asks questions of one engine; helpers that several of them read can be computed once."""

    def __init__(self, engine: Queryable) -> None:
        self.engine = engine
        self._prepared: set[str] = set()

    def ask(self, question_id: str, /, **params: Any) -> list[dict[str, Any]]:
        """Answer one question: ``asker.ask("turns/exemplars", top=1)``.

        Raises KeyError for a question that does not exist, TypeError for a parameter that does not.
        """
        question = questions()[question_id]
        sql = expanded(question, frozenset(self._prepared))
        return self.engine.query(sql, **_bound(question, params))

    def prepare(self, *helper_ids: str) -> None:
        """Keep helpers' rows as tables, in the order given; for engines that may write."""
        for helper_id in helper_ids:
            helper = questions()[helper_id]
            sql = expanded(helper, frozenset(self._prepared))
            self.engine.query(f"CREATE OR REPLACE TEMP TABLE {helper.table} AS {sql}")
            self._prepared.add(helper.table)


def ask(engine: Queryable, question_id: str, /, **params: Any) -> list[dict[str, Any]]:
    """Answer one question: ``ask(engine, "turns/causes")``."""
    return Asker(engine).ask(question_id, **params)


@cache
def questions() -> Mapping[str, Question]:
    """Every question by its id, helpers included."""
    found = {}
    for topic in sorted(_sql_root().iterdir(), key=lambda entry: entry.name):
        if not topic.is_dir():
            continue
        for file in sorted(topic.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".sql"):
                question_id = f"{topic.name}/{file.name.removesuffix('.sql')}"
                found[question_id] = parse(question_id, file.read_text(encoding="utf-8"))
    return found


def tables_of(question: Question) -> frozenset[str]:
    """The tables that a question reads, itself or through helpers."""
    helpers = {q.table: q for q in questions().values() if q.is_helper}
    found: set[str] = set()
    for name in question.reads:
        found |= tables_of(helpers[name]) if name in helpers else {name}
    return frozenset(found)


def expanded(question: Question, prepared: frozenset[str] = frozenset()) -> str:
    """The question's SQL with the helpers that it reads in front of it, but the prepared ones."""
    helpers = {q.table: q for q in questions().values() if q.is_helper}
    ordered: dict[str, Question] = {}

    def collect(reader: Question) -> None:
        for table in reader.reads:
            helper = helpers.get(table)
            if helper is not None and table not in ordered and table not in prepared:
                collect(helper)
                ordered[table] = helper

    collect(question)
    if not ordered:
        return question.body
    helped = ",\n".join(f"{name} AS (\n{helper.body}\n)" for name, helper in ordered.items())
    if question.body.upper().startswith("WITH "):
        return f"WITH {helped},\n{question.body[5:]}"
    return f"WITH {helped}\n{question.body}"


_TYPE = r"(?P<type>MAP\([A-Z, ]+\)|[A-Z]+(?:\[\])?)"
_PARAM = re.compile(rf"(?P<name>\w+)\s+{_TYPE}(?:\s*=\s*(?P<default>\S+))?\s+(?P<doc>.+)")
_COLUMN = re.compile(rf"(?P<name>\w+)\s+{_TYPE}\s+(?P<doc>.+)")


def parse(question_id: str, text: str) -> Question:
    """Read a question's header; raises HeaderError where it is not complete."""
    lines = text.splitlines()
    size = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = [line[2:].strip() for line in lines[:size]]
    prose = [line for line in header if not line.startswith("@")]
    title = prose[0] if prose else ""
    if not title.endswith(("?", ".")):
        msg = f"{question_id}: the first line of the header must be a sentence"
        raise HeaderError(msg)
    tags: dict[str, list[str]] = {"reads": [], "param": [], "column": []}
    for line in header:
        if line.startswith("@"):
            tag, _, rest = line[1:].partition(" ")
            if tag not in tags:
                msg = f"{question_id}: @{tag} is none of @reads, @param, @column"
                raise HeaderError(msg)
            tags[tag].append(rest.strip())
    if not tags["reads"] or not tags["column"]:
        msg = f"{question_id}: the header needs @reads and one @column for each column"
        raise HeaderError(msg)
    return Question(
        id=question_id,
        title=title,
        doc="\n".join(prose[1:]).strip(),
        reads=tuple(name.strip() for line in tags["reads"] for name in line.split(",")),
        params=tuple(Param(**_parts(_PARAM, line, question_id)) for line in tags["param"]),
        columns=tuple(Column(**_parts(_COLUMN, line, question_id)) for line in tags["column"]),
        body="\n".join(lines[size:]).strip().rstrip(";"),
    )


def _parts(pattern: re.Pattern[str], line: str, question_id: str) -> dict[str, Any]:
    match = pattern.fullmatch(line)
    if match is None:
        msg = f"{question_id}: cannot read {line!r}: name, TYPE, what it is"
        raise HeaderError(msg)
    return match.groupdict()


def _bound(question: Question, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = given.keys() - {param.name for param in question.params}
    missing = [p.name for p in question.params if p.name not in given and p.default is None]
    if unknown or missing:
        msg = f"{question.id}: unknown parameters {sorted(unknown)}, missing {missing}"
        raise TypeError(msg)
    return {param.name: given.get(param.name, _literal(param)) for param in question.params}


def _literal(param: Param) -> Any:
    if param.default is None or param.type == "VARCHAR":
        return param.default
    return float(param.default) if param.type == "DOUBLE" else int(param.default)


def _sql_root() -> Traversable:
    return files(__name__)
