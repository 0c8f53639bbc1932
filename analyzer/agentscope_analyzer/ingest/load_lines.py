"""What the load generator saw: one JSON object a request, rows of the table ``load``."""

from __future__ import annotations

from typing import Any, Final

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.ingest.otlp import integer, number, trace_id
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally, Unit

__all__ = ["LoadRows", "is_load_line"]

_FULL: Final = 100_000
_INT32_MAX: Final = 2**31 - 1


def is_load_line(document: dict[str, Any]) -> bool:
    """Whether the object looks like a request of the load generator, good or not."""
    return "t_start" in document or "t_intended" in document


class LoadRows:
    """Gathers requests and appends them to the engine, many at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names = [column.name for column in TABLES["load"].columns]
        self._rows: list[tuple[Any, ...]] = []

    def take(self, line: dict[str, Any], file: str, tally: Tally) -> None:
        """Gather a request, or count it as refused."""
        tally.read[Unit.LOAD_LINES.value] += 1
        try:
            self._rows.append(_row(line, file))
        except (Refused, UnicodeEncodeError):
            tally.refuse(Reason.BAD_REQUEST)
        if len(self._rows) >= _FULL:
            self.flush()

    def flush(self) -> None:
        """Append what was gathered to the table."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            self._engine.insert("load", dict(zip(self._names, columns, strict=True)))
            self._rows.clear()


def _row(line: dict[str, Any], file: str) -> tuple[Any, ...]:
    t_start, duration_s = number(line.get("t_start")), number(line.get("duration_s"))
    if t_start is None or duration_s is None or duration_s < 0:
        raise Refused(Reason.BAD_REQUEST)
    trace = line.get("trace_id")
    return (
        number(line.get("t_intended")),
        t_start,
        duration_s,
        number(line.get("ttfb_s")),
        _text(line.get("name")),
        _text(line.get("session")),
        _small(line.get("turn")),
        _small(line.get("status")),
        _text(line.get("error")) or None,
        integer(line.get("bytes")),
        trace_id(trace) if trace else None,
        _text(line.get("user")),
        _text(line.get("stage")),
        file,
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise Refused(Reason.BAD_REQUEST)
    text = str(value)
    text.encode()  # a lone surrogate is no text
    return text


def _small(value: Any) -> int | None:
    found = integer(value)
    return found if found is not None and abs(found) <= _INT32_MAX else None
