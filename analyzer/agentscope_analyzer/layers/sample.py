"""One run as a layer: its turns, whose they are, and where their time went, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.document import Report
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest import open_run
from agentscope_analyzer.report import Targets, report_of
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.stretches import Stretch, steady_of
from agentscope_analyzer.validity import NOT_MEASURED

__all__ = ["Floats", "Ints", "Layer", "Sample", "read_layer", "sample_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NS: Final = 1e9
MAX_NAMELESS_SHARE: Final = 0.1
"""If more turns than this name no session, nobody knows which of them belong together."""


@dataclass(frozen=True)
class Sample:
    """The turns that are compared, one element or row each, and what the others say of the load."""

    session: Ints
    """Number of the turn's session; a turn that names none has one of its own."""
    sessions: int
    known: bool
    """Sessions are known, but for a few turns."""
    route: list[str]
    calls: Ints
    input_tokens: Floats
    """NaN where the turn does not say."""
    output_tokens: Floats
    duration_s: Floats
    seconds: Floats
    """One row a turn, one column a cause, in the vocabulary's order."""
    left_out: int
    turns_per_s: float | None
    think_s: float | None

    @property
    def turns(self) -> int:
        """How many turns are compared."""
        return len(self.duration_s)


@dataclass(frozen=True)
class Layer:
    """A named run, its sample and its own report."""

    name: str
    run: str
    sample: Sample
    report: Report
    users: float | None

    def recorded(self, cause: str) -> bool:
        """Whether the run could have shown the cause."""
        return not any(
            check.check == NOT_MEASURED and check.value == cause for check in self.report.validity
        )


def read_layer(name: str, path: str | Path, *, targets: Targets | None = None) -> Layer:
    """Open, attribute and judge a run, and take its sample. Raises IngestError."""
    with open_run(path) as run:
        summary = attribute(run.engine)
        report = report_of(
            run.engine,
            manifest=run.manifest,
            manifests=run.manifests,
            rejected=run.rejected,
            damaged=run.damaged,
            read=run.read,
            summary=summary,
            targets=targets,
        )
        sample = sample_of(run.engine, run.manifest)
        return Layer(name, str(path), sample, report, _users(run.manifest))


def sample_of(engine: Engine, manifest: Any) -> Sample:
    """The whole turns of the run's steady part, from an engine that attribution has filled."""
    asker = Asker(engine)
    turns = asker.ask("layers/turns")
    steady = _steady(turns, manifest)
    begun = [row for row in turns if steady.start_s <= row["start_ns"] / NS <= steady.end_s]
    compared = [row for row in begun if row["whole"]]
    named = {row["session"] for row in compared if row["session"] is not None}
    number_of = {session: i for i, session in enumerate(sorted(named))}
    nameless = [row for row in compared if row["session"] is None]
    number_of_turn = {row["turn_id"]: len(named) + i for i, row in enumerate(nameless)}
    session = [
        number_of_turn[row["turn_id"]] if row["session"] is None else number_of[row["session"]]
        for row in compared
    ]
    return Sample(
        session=np.array(session, dtype=np.int64),
        sessions=len(named) + len(nameless),
        known=len(nameless) <= MAX_NAMELESS_SHARE * len(compared),
        route=[row["route"] for row in compared],
        calls=np.array([row["calls"] for row in compared], dtype=np.int64),
        input_tokens=_floats(compared, "input_tokens"),
        output_tokens=_floats(compared, "output_tokens"),
        duration_s=_floats(compared, "duration_s"),
        seconds=_seconds(asker, compared),
        left_out=len(turns) - len(compared),
        turns_per_s=len(begun) / steady.duration_s if steady.duration_s > 0 else None,
        think_s=_think_s(turns),
    )


def _steady(turns: list[dict[str, Any]], manifest: Any) -> Stretch:
    if not turns:
        return Stretch(0.0, 0.0)
    last_end_ns = max(row["end_ns"] for row in turns)
    whole = Stretch(turns[0]["start_ns"] / NS, last_end_ns / NS)
    return steady_of(whole, manifest, clock_ahead_s=0.0)


def _seconds(asker: Asker, compared: list[dict[str, Any]]) -> Floats:
    place = {row["turn_id"]: i for i, row in enumerate(compared)}
    column = {cause: i for i, cause in enumerate(CAUSES)}
    seconds = np.zeros((len(compared), len(CAUSES)))
    for row in asker.ask("layers/causes"):
        if row["turn_id"] in place:
            seconds[place[row["turn_id"]], column[row["cause"]]] = row["wall_s"]
    return seconds


def _think_s(turns: list[dict[str, Any]]) -> float | None:
    """The median pause of a session between the end of a turn and the start of the next."""
    ended_ns: dict[str, int] = {}
    pauses = []
    for row in turns:
        session = row["session"]
        if session is None:
            continue
        if session in ended_ns:
            pauses.append((row["start_ns"] - ended_ns[session]) / NS)
        ended_ns[session] = max(row["end_ns"], ended_ns.get(session, 0))
    return float(np.median(pauses)) if pauses else None


def _users(manifest: Any) -> float | None:
    users = (manifest.get("load") or {}).get("users")
    return float(users) if isinstance(users, int | float) and not isinstance(users, bool) else None


def _floats(rows: list[dict[str, Any]], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)
