"""Processes that do worse than their like at the same requests: one sick pod among healthy ones.

Means over all processes hide it: a quarter of the turns are slow, and nothing says that they are all
of one process. Processes of one service are compared by the same request; observations of how long
it takes are sessions, for turns of one session are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

__all__ = ["Apart", "apart_of"]

Row = Mapping[str, Any]

MIN_SESSIONS: Final = 5
MIN_RATIO: Final = 1.5
MIN_LONGER_S: Final = 0.05
MIN_REQUESTS: Final = 20
MIN_FAILED: Final = 0.1
"""Of its requests: so many more must fail in a process than in the others."""
MIN_Z: Final = 4.0
"""Every process is looked at: by chance alone one in some ten thousand lies so far from the others."""
MAX_APART: Final = 1 / 2
"""Of the processes: where more of them do badly, the good ones are what is unusual."""


@dataclass(frozen=True)
class Apart:
    """Processes whose requests take longer, or fail more often, than the same ones in the others."""

    service: str
    instances: tuple[str, ...]
    others: int
    fails: bool
    """They are compared by the share of requests whose turn failed, else by how long they take."""
    there: float
    """Median in seconds, or the share that failed; of several processes the mean."""
    elsewhere: float
    cause: str | None = None
    """What a turn has more of there, mostly; None where the causes do not tell."""
    cause_s: float = 0.0
    """Seconds of it in a turn."""
    others_cause_s: float = 0.0


def apart_of(asker: Asker) -> Apart | None:
    """The processes that lie apart in the request that was served most; None where all are alike."""
    by_request: dict[tuple[str, str], list[Row]] = {}
    for row in asker.ask("turns/by_process"):
        by_request.setdefault((row["service"], row["name"]), []).append(row)
    for (service, name), rows in by_request.items():
        told = _divided([row for row in rows if row["sessions"] >= MIN_SESSIONS], _takes_longer)
        if told is not None:
            causes = asker.ask("turns/causes_by_process", service=service, name=name)
            return _slow(service, *told, causes)
        told = _divided([row for row in rows if row["requests"] >= MIN_REQUESTS], _fails_more)
        if told is not None:
            bad, rest = told
            return Apart(
                service=service,
                instances=tuple(row["instance"] for row in bad),
                others=len(rest),
                fails=True,
                there=_failed_share(bad),
                elsewhere=_failed_share(rest),
            )
    return None


def _divided(
    rows: list[Row], is_worse: Callable[[Row, list[Row]], bool]
) -> tuple[list[Row], list[Row]] | None:
    """Those that lie apart, and the others; None where there are none, or too many."""
    bad = [row for row in rows if is_worse(row, [one for one in rows if one is not row])]
    if not bad or len(bad) > MAX_APART * len(rows):
        return None
    return bad, [row for row in rows if row not in bad]


def _takes_longer(row: Row, others: list[Row]) -> bool:
    """Whether it takes longer than the quicker half of the others, by more than chance."""
    quicker = sorted(others, key=lambda one: float(one["log_s"]))[: (len(others) + 1) // 2]
    if not quicker:
        return False
    error = max(one["spread"] ** 2 / one["sessions"] for one in quicker)
    error += row["spread"] ** 2 / row["sessions"]
    difference = row["log_s"] - _mean(quicker, "log_s")
    return bool(
        difference >= max(math.log(MIN_RATIO), MIN_Z * math.sqrt(error))
        and row["p50_s"] - _mean(quicker, "p50_s") >= MIN_LONGER_S
    )


def _fails_more(row: Row, others: list[Row]) -> bool:
    """Whether more of its requests fail than of the better half of the others."""
    better = sorted(others, key=lambda one: _failed_share([one]))[: (len(others) + 1) // 2]
    if not better:
        return False
    here, there = _failed_share([row]), _failed_share(better)
    error = here * (1 - here) / row["requests"]
    error += there * (1 - there) / sum(one["requests"] for one in better)
    return here - there >= max(MIN_FAILED, MIN_Z * math.sqrt(error))


def _slow(service: str, slow: list[Row], rest: list[Row], causes: Rows) -> Apart:
    there = _per_turn(causes, {row["instance"] for row in slow})
    elsewhere = _per_turn(causes, {row["instance"] for row in rest})
    longer = {cause: seconds - elsewhere.get(cause, 0.0) for cause, seconds in there.items()}
    cause = max(longer, key=lambda one: longer[one], default=None)
    if cause is not None and longer[cause] <= 0:
        cause = None
    return Apart(
        service=service,
        instances=tuple(row["instance"] for row in slow),
        others=len(rest),
        fails=False,
        there=_mean(slow, "p50_s"),
        elsewhere=_mean(rest, "p50_s"),
        cause=cause,
        cause_s=0.0 if cause is None else there[cause],
        others_cause_s=0.0 if cause is None else elsewhere.get(cause, 0.0),
    )


def _per_turn(causes: Rows, instances: set[str]) -> dict[str, float]:
    """Seconds of each cause in one turn of these processes, on average."""
    ours = [row for row in causes if row["instance"] in instances]
    turns = sum({row["instance"]: row["turns"] for row in ours}.values())
    taken: dict[str, float] = {}
    for row in ours:
        seconds = row["wall_s_per_turn"] * row["turns"] / turns
        taken[row["cause"]] = taken.get(row["cause"], 0.0) + seconds
    return taken


def _failed_share(rows: Sequence[Row]) -> float:
    return float(sum(row["failed"] for row in rows) / sum(row["requests"] for row in rows))


def _mean(rows: Sequence[Row], column: str) -> float:
    """Over processes, by how many requests they served."""
    weight = sum(row["requests"] for row in rows)
    return float(sum(row[column] * row["requests"] for row in rows) / weight)
