"""SQL statements, read just far enough to say what they do to which table; never their values."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

MAX_READ = 4096
"""Characters of a statement that are looked at."""

_TOKEN = re.compile(
    r"""
      (?P<skip> \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<value> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*'
               | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | \$\d+ | \d[\w.]* )
    | (?P<name> (?:"[^"]{1,63}"|`[^`]{1,63}`|[^\W\d][\w$]{0,62})
                (?:\.(?:"[^"]{1,63}"|`[^`]{1,63}`|[^\W\d][\w$]{0,62})){0,2} )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_VERBS = frozenset({
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "WITH", "COPY", "CALL",
    "DO", "EXECUTE", "PREPARE", "DEALLOCATE", "BEGIN", "START", "COMMIT", "END", "ROLLBACK",
    "ABORT", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW", "LOCK", "LISTEN", "UNLISTEN",
    "NOTIFY", "CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE", "ANALYZE",
    "VACUUM", "EXPLAIN", "REINDEX", "CLUSTER", "REFRESH", "DECLARE", "FETCH", "MOVE", "CLOSE",
    "DISCARD", "CHECKPOINT", "REPLACE", "PRAGMA", "ATTACH", "DETACH",
})  # fmt: skip
_MAIN_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})
_BEFORE_TABLE = {
    "SELECT": "FROM", "DELETE": "FROM", "INSERT": "INTO", "MERGE": "INTO", "REPLACE": "INTO",
}  # fmt: skip
_BEFORE_STATEMENT = frozenset({"WITH", "DECLARE"})
_TABLE_FOLLOWS = frozenset({"UPDATE", "TRUNCATE", "COPY", "TABLE"})
_OF_TABLES = frozenset({"CREATE", "ALTER", "DROP"})
_NOISE = frozenset({"ONLY", "TABLE", "IF", "NOT", "EXISTS", "LATERAL"})


class Summary(NamedTuple):
    """What a statement does: ``SELECT``, ``messages``. Empty where it is not plain."""

    operation: str
    collection: str
    batch: int = 0
    """Statements or rows of parameters that are sent at once; 0 for one alone."""

    @property
    def text(self) -> str:
        """Operation and table, in one line of low cardinality."""
        return f"{self.operation} {self.collection}".rstrip()


NOTHING = Summary("", "")


def summarize(statement: object) -> Summary:
    """Operation and main table of ``statement``; of several statements, those of the first."""
    return _summarize(statement[:MAX_READ]) if isinstance(statement, str) else NOTHING


@functools.lru_cache(maxsize=512)
def _summarize(statement: str) -> Summary:
    words = _words(statement)
    operation = words[0].upper() if words else ""
    if operation not in _VERBS:
        return NOTHING
    if operation in _BEFORE_STATEMENT:  # behind common table expressions, a cursor's name
        start = next((i for i, word in enumerate(words) if word.upper() in _MAIN_VERBS), None)
        if start is None:
            return Summary(operation, "")
        words = words[start:]
        operation = words[0].upper()
    return Summary(operation, _table(operation, words[1:]))


def _words(statement: str) -> list[str]:
    """Names and marks outside of brackets, up to the first semicolon; ``(`` stands for a bracket."""
    words: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(statement):
        text = token.group()
        if text == "(":
            if depth == 0:
                words.append(text)
            depth += 1
        elif text == ")":
            depth = max(0, depth - 1)
        elif depth == 0:
            if text == ";":
                break
            if token.lastgroup in ("name", "mark"):
                words.append(text)
    return words


def _table(operation: str, words: list[str]) -> str:
    """The first table behind the word that announces it, if a name stands there."""
    announced = _BEFORE_TABLE.get(operation)
    if announced is not None:
        upper = [word.upper() for word in words]
        if announced not in upper:
            return ""
        words = words[upper.index(announced) + 1 :]
    elif operation in _OF_TABLES:
        if not words or words[0].upper() != "TABLE":
            return ""
    elif operation not in _TABLE_FOLLOWS:
        return ""
    named = [word for word in words if word.upper() not in _NOISE][:2]
    if announced == "FROM" and named[1:] == ["("]:  # a function
        return ""
    return _plain(named[0]) if named else ""


def _plain(word: str) -> str:
    if not (word[0] in '"`_' or word[0].isalpha()):
        return ""
    return word.replace('"', "").replace("`", "")
