"""One turn out of a run: which one, and its attribution without that of all the others.

To look at a single turn of a large run nobody should wait for the attribution of a million spans.
A turn's causes depend on its own trace and on what its processes recorded meanwhile: these few rows
are attributed alone, with the same result. Only where threads competed for the interpreter do turns
depend on each other; then, and where only the trees tell which spans are turns, all are attributed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentscope.conventions import CAUSES, RuntimeEvent
from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.attribution.interpreter import pressed_stretches
from agentscope_analyzer.attribution.stops import load_stops
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.traced import Trace, trace_of

__all__ = ["Candidate", "Place", "Turns"]

Place = Literal["slowest", "p95", "median"]

_PLACES: Final[dict[Place, float]] = {"slowest": 1.0, "p95": 0.95, "median": 0.5}
_SLOW: Final = 4
_FAILED: Final = 2
_NAMED: Final = 5
"""Ids that a message names."""
_AROUND_NS: Final = 1_000_000_000
"""Stops farther from a trace than this cannot have delayed anything in it."""


@dataclass(frozen=True)
class Candidate:
    """A turn that can be looked at, and why one might."""

    why: str
    trace_id: str
    turn_id: str
    name: str
    session: str | None
    start_ns: int
    end_ns: int
    error: bool

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e9


class Turns:
    """The turns of an opened run, to choose one and look at it.

    >>> with open_run("runs/today") as run:  # doctest: +SKIP
    ...     turns = Turns(run.engine)
    ...     turns.trace(turns.at("slowest").trace_id)
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asker = Asker(engine)
        self._asker.prepare("turns/_recorded")
        self._attributed = False
        ((self._marked, crowded),) = engine.rows(
            "SELECT count(*) > 0, count(*) > count(DISTINCT trace_id) FROM turns_recorded"
        )
        if not self._marked or crowded:
            self._attribute()

    def trace(self, trace_id: str, turn_id: str | None = None) -> Trace:
        """A turn, looked at closely; raises LookupError as ``trace_of`` does."""
        if not self._attributed and self._depends_on_others(trace_id):
            self._attribute()
        if self._attributed:
            return trace_of(self._engine, trace_id, turn_id=turn_id)
        with Engine.in_memory(threads=1) as excerpt:
            self._copy(trace_id, excerpt)
            attribute(excerpt)
            return trace_of(excerpt, trace_id, turn_id=turn_id)

    def at(self, place: Place) -> Candidate:
        """The turn at a place by duration; raises LookupError where there are no turns."""
        found = self._list(
            place,
            "TRUE QUALIFY row_number() OVER (ORDER BY end_ns - start_ns, turn_id) - 1 "
            "= CAST(round($place * (count(*) OVER () - 1)) AS BIGINT)",
            place=_PLACES[place],
        )
        if not found:
            msg = "this run holds no turns; agentscope analyze RUN says what was read"
            raise LookupError(msg)
        return found[0]

    def by_cause(self, cause: str) -> Candidate:
        """The turn in which a cause took most time; raises LookupError where it took none."""
        if cause not in CAUSES:
            msg = f"there is no cause {cause!r}; give one of {', '.join(CAUSES)}"
            raise LookupError(msg)
        self._attribute()
        shown = self._asker.ask("turns/exemplars", top=1)
        for row in shown:
            if row["cause"] == cause:
                return self._list(f"most {cause}", "trace_id = $id", id=row["trace_id"])[0]
        known = ", ".join(name for name in CAUSES if any(row["cause"] == name for row in shown))
        msg = (
            f"no turn spent time on {cause}; give one of {known or 'no cause: there are no turns'}"
        )
        raise LookupError(msg)

    def candidates(self) -> list[Candidate]:
        """Turns worth a look: by duration, the slowest ones, and the slowest that failed."""
        found = [self.at(place) for place in _PLACES]
        found += self._list("slow", "TRUE", most=_SLOW)
        found += self._list("failed", "error", most=_FAILED)
        first: dict[tuple[str, str], Candidate] = {}
        for one in found:
            first.setdefault((one.trace_id, one.turn_id), one)
        return list(first.values())

    def whole_id(self, beginning: str) -> str:
        """The one trace id that begins so; raises LookupError if there is none, or several."""
        wanted = beginning.strip().lower()
        if not re.fullmatch("[0-9a-f]{1,32}", wanted):
            msg = f"{beginning!r} is no trace id: give 32 hex digits, or the first of them"
            raise LookupError(msg)
        found = self._engine.rows(
            "SELECT DISTINCT trace_id FROM spans "
            "WHERE starts_with(trace_id, $wanted) AND runtime_event IS NULL ORDER BY trace_id",
            wanted=wanted,
        )
        if not found:
            msg = f"no trace begins with {wanted}; agentscope trace RUN lists some"
            raise LookupError(msg)
        if len(found) > 1:
            some = ", ".join(trace_id for (trace_id,) in found[:_NAMED])
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            msg = f"{len(found)} traces begin with {wanted}; give more digits: {some}{more}"
            raise LookupError(msg)
        return str(found[0][0])

    def _list(self, why: str, where: str, *, most: int = 1, **params: Any) -> list[Candidate]:
        rows = self._engine.query(
            "SELECT trace_id, turn_id, name, session, start_ns, end_ns, error FROM turns_recorded "
            f"WHERE {where} ORDER BY end_ns - start_ns DESC, turn_id LIMIT {most}",
            **params,
        )
        return [Candidate(why=why, **row) for row in rows]

    def _attribute(self) -> None:
        """All turns of the run, with the list of them as attribution found it."""
        if not self._attributed:
            attribute(self._engine)
            self._engine.execute(
                "CREATE OR REPLACE TEMP TABLE turns_recorded AS "
                "SELECT trace_id, turn_id, COALESCE(names.name, route) AS name, session, "
                "start_ns, end_ns, error FROM turns LEFT JOIN ("
                "SELECT trace_id AS t, span_id AS s, MIN(name) AS name FROM spans GROUP BY 1, 2"
                ") AS names ON names.t = trace_id AND names.s = turn_id"
            )
            self._attributed = True

    def _depends_on_others(self, trace_id: str) -> bool:
        stretches = pressed_stretches(self._engine, load_stops(self._engine))
        return bool(stretches) and any(
            stretch.start_ns < end_ns and stretch.end_ns > start_ns
            for instance, start_ns, end_ns in self._engine.rows(_PROCESSES, trace_id=trace_id)
            for stretch in stretches.get(instance, ())
        )

    def _copy(self, trace_id: str, excerpt: Engine) -> None:
        rows = self._engine.arrow(
            _EXCERPT,
            trace_id=trace_id,
            around_ns=_AROUND_NS,
            held=RuntimeEvent.CONNECTION_HELD.value,
        )
        excerpt.load("spans", rows)
        ((turns,),) = excerpt.rows("SELECT count(*) FROM spans WHERE is_turn")
        if rows.num_rows and not turns:
            msg = f"trace {trace_id} holds no turn; give one that agentscope trace RUN lists"
            raise LookupError(msg)


_PROCESSES: Final = """
SELECT instance, min(start_ns), max(end_ns) FROM spans
WHERE trace_id = $trace_id AND runtime_event IS NULL GROUP BY instance
"""

_EXCERPT: Final = f"""
SELECT s.* REPLACE (
  CASE WHEN s.span_id IN (SELECT turn_id FROM turns_recorded WHERE trace_id = $trace_id)
    THEN TRUE ELSE s.is_turn END AS is_turn
) FROM spans AS s
WHERE s.trace_id = $trace_id
UNION ALL
SELECT e.* FROM spans AS e
JOIN ({_PROCESSES}) AS p(instance, from_ns, until_ns) ON p.instance = e.instance
WHERE e.runtime_event <> $held AND e.trace_id <> $trace_id
  AND e.start_ns < p.until_ns + $around_ns AND e.end_ns > p.from_ns - $around_ns
"""
