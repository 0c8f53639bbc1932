"""What a run says: the rows that checks, signs and the verdict judge. ``gathering`` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentscope import conventions as c
from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution import AttributionSummary
from agentscope_analyzer.audit import Audit
from agentscope_analyzer.before import BeforeTurns
from agentscope_analyzer.ceilings import Ceilings
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.costs import Costs
from agentscope_analyzer.document import Growth, Rows
from agentscope_analyzer.growth import growth_of
from agentscope_analyzer.hidden import Hidden
from agentscope_analyzer.intervals import Clusters
from agentscope_analyzer.stretches import NS, Stretch

Row = dict[str, Any]

# Own code is a cause of its own only where threads compete for the interpreter: no turn that is
# alone would wait for it.
_ALONE = [name for name, cause in CAUSES.items() if cause.inherent and name != "runtime.cpu"]
INHERENT = f",{','.join(_ALONE)},"
"""The causes of a turn that is alone, as ``turns/without_contention`` takes them."""
MIN_HUNG_S = 10.0
MIN_HUNG_SHARE = 0.1
"""Of turn time: turns that never ended and have less of it may be those that a shutdown cut short."""


@dataclass(frozen=True)
class Targets:
    """How long users are willing to wait for a turn, in seconds."""

    p50_s: float = 3.0
    p95_s: float = 8.0


@dataclass(frozen=True)
class Facts:
    """A run's figures, by the question that gave them."""

    turns: Row
    causes: dict[str, Row]
    exemplars: dict[str, list[str]]
    sums: Row
    by_load: dict[str, list[Row]]
    without_contention: Row
    clusters: Clusters
    shapes: Row
    llm: Row
    by_model: Rows
    costs: Costs
    hidden: Hidden
    billing: Rows
    failures: Rows
    """Rows of ``llm/attempts_by_status`` with failures other than refusals, most of them first."""
    caps: dict[str, Rows]
    """Rows of ``runtime/caps`` by the gauge of what is in use."""
    waits: Rows
    pools: Rows
    queries: Rows
    held: Rows
    work: Rows
    blocks: Rows
    synchronous: Rows
    collections: Rows
    pressure: Rows
    own_code: Rows
    inflation: Rows
    never_ended: Row
    processes: Rows
    """Rows of ``run/processes``: those that did the work, and what each watched of itself."""
    spans: Row
    metrics: dict[str, Row]
    load: Row
    before: BeforeTurns
    other_generators: Rows
    other_failures: Rows
    turns_active: dict[str, int]
    quotas: list[Quota]
    ceilings: Ceilings
    live: LiveSessions
    whole: Stretch
    steady: Stretch
    """The part with most users, without its warm-up: what ceilings and trends are taken from."""
    audit: Audit
    idle: Rows = field(default_factory=list)
    """The longest time without a turn in flight."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    manifests: Sequence[Mapping[str, Any]] = ()
    rejected: dict[str, int] = field(default_factory=dict)
    damaged: bool = False
    read: dict[str, int] = field(default_factory=dict)
    summary: AttributionSummary | None = None
    questions: dict[str, Rows] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)

    def share(self, cause: str) -> float:
        """The cause's share of the wall time of all turns."""
        return float(self.causes.get(cause, {}).get("share") or 0.0)

    def p95_share(self, cause: str) -> float:
        """The cause's share of the time of the slowest turns."""
        return float(self.causes.get(cause, {}).get("p95_share") or 0.0)

    def seconds(self, cause: str) -> float:
        """Seconds of the cause in all turns."""
        return float(self.causes.get(cause, {}).get("wall_s") or 0.0)

    @property
    def failed_share(self) -> float:
        """Failed turns, or failed requests where the load generator saw more of them."""
        turns, requests = self.turns["turns"], self.load["requests"]
        return max(
            self.turns["errors"] / turns if turns else 0.0,
            self.load["failed"] / requests if requests else 0.0,
        )

    @property
    def failed_of(self) -> str:
        """``turns``, or what the load generator sent, where ``failed_share`` is its share."""
        turns = self.turns["turns"]
        seen = self.turns["errors"] / turns if turns else 0.0
        return "turns" if seen >= self.failed_share else "requests at the load generator"

    @property
    def cut_off(self) -> list[tuple[str, int | None]]:
        """Processes that never said goodbye, each with the turns it last had in hand."""
        found = []
        for entry in self.manifests:
            if entry.get("instance") and entry.get("ended_ns") is None:
                instance, told = str(entry["instance"]), entry.get("open_turns")
                counts = [self.turns_active.get(instance), told if type(told) is int else None]
                known = [n for n in counts if n is not None and n >= 0]
                found.append((instance, max(known, default=None)))
        return found

    @property
    def unfinished(self) -> int:
        """Turns whose end was never seen: open at shutdown, or lost with their process."""
        return int(self.spans["open_turns"]) + sum(n or 0 for _, n in self.cut_off)

    @property
    def hung(self) -> Row | None:
        """``never_ended``, where they take a part of turn time that matters; else None."""
        row = self.never_ended
        found = row["turns"] and row["longest_s"] >= MIN_HUNG_S
        return row if found and row["wall_s"] >= MIN_HUNG_SHARE * self.wall_s else None

    @property
    def wall_s(self) -> float:
        """Durations of all turns added up."""
        return float(self.turns["wall_s"] or 0.0)

    @property
    def lived_s(self) -> float:
        """How long the processes were at work while there were turns, added up."""
        return sum(self.lived_of(process) for process in self.processes)

    def lived_of(self, process: Row) -> float:
        """For how long one of ``processes`` was at work: from its first span to its last one's end.

        Workers that follow one another lived for a part of the run each.
        """
        lived = Stretch(process["first_ns"] / NS, process["last_ns"] / NS)
        start_s, end_s = max(lived.start_s, self.whole.start_s), min(lived.end_s, self.whole.end_s)
        return max(0.0, end_s - start_s)

    @cached_property
    def growth(self) -> Growth:
        """What grows with load, each with its interval."""
        return growth_of(self.clusters, streamed="llm.generation" in self.causes)

    def stopped_s(self, event: str) -> float:
        """Seconds of all runtime events of one kind."""
        return float(sum(row["wall_s"] for row in self.blocks if row["event"] == event))

    @property
    def crowding(self) -> float:
        """The part of the loop's standing still in which the machine had no processor for it."""
        blocked_s = self.stopped_s(c.RuntimeEvent.LOOP_BLOCKED)
        waited_s = sum(float(row["processor_s"]) for row in self.blocks)
        # A process whose quota is used up is kept from running, too: that is not the machine's.
        waited_s -= self.stopped_s(c.RuntimeEvent.CPU_THROTTLED)
        return max(0.0, waited_s) / blocked_s if blocked_s else 0.0

    def waits_of(self, *kinds: str) -> Rows:
        """Rows of ``waits/by_kind`` of these kinds."""
        return [row for row in self.waits if row["kind"] in kinds]

    def metric(self, name: str) -> Row | None:
        """The row of ``run/metrics`` for a metric; None where it was not recorded."""
        return self.metrics.get(name)
