"""One cause, judged: the shape of the answer and the parts that every answer is made of."""

from __future__ import annotations

from dataclasses import dataclass

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Ceiling, Evidence, Finding, Kind
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.wording import label, limited, live_sessions, percent

BIND_SHARE = 0.10
BIND_P95_SHARE = 0.20
LONG_WINDOWS = frozenset({"hour", "day", "month"})


@dataclass(frozen=True)
class Judged:
    """A finding, with what the verdict needs to choose between several."""

    finding: Finding
    share: float
    agreeing: int
    """Signs, beside the share, that agree."""
    large: bool = False
    """Contention with enough time to bind, whether or not a sign agrees."""
    before: float = 0.0
    """Share of users' waiting that it took before their turns began."""

    @property
    def weight(self) -> float:
        """What it is compared with others by: the larger one of its shares."""
        return max(self.share, self.before)


def finding_of(
    kind: Kind, cause: str, statement: str, evidence: list[Evidence], facts: Facts
) -> Finding:
    """The finding, with turns to look at where there is something to see."""
    traces = facts.exemplars.get(cause, []) if kind != "ruled_out" else []
    return Finding(kind=kind, cause=cause, statement=statement, evidence=evidence, traces=traces)


def label_of(cause: str, facts: Facts) -> str:
    """The cause in words, as this run's calls were made."""
    streamed = facts.llm["streamed"] or 0
    if cause == "llm.first_token" and 0 < streamed < facts.llm["calls"]:
        return f"{label(cause)}, unstreamed answers whole"
    return label(cause, streamed=bool(streamed))


def took(cause: str, facts: Facts) -> str:
    """``33 % of turn time``."""
    return f"{percent(facts.share(cause))} of turn time"


def share_evidence(cause: str, facts: Facts, limit: float) -> list[Evidence]:
    """The cause's shares of all turns and of the slowest."""
    return [
        Evidence(
            name="share of the wall time of all turns",
            value=facts.share(cause),
            unit="share",
            limit=limit,
            question="turns/causes",
        ),
        Evidence(
            name="share of the time of the slowest turns",
            value=facts.p95_share(cause),
            unit="share",
            limit=BIND_P95_SHARE if not CAUSES[cause].inherent else None,
            question="turns/causes",
        ),
    ]


def sessions_of(ceiling: Ceiling) -> str:
    """``62 live sessions [55, 70]``, and ``or fewer`` where refusals hid some of the demand."""
    sessions = ceiling.sessions or 0.0
    return live_sessions(sessions, ceiling.low, ceiling.high, censored=ceiling.censored)


def is_long(ceiling: Ceiling) -> bool:
    """The limit is counted over more than a minute, so short peaks do not reach it."""
    return ceiling.dimension in LONG_WINDOWS


def ceiling_says(ceiling: Ceiling) -> str:
    """``60 requests/min are used up at 25 live sessions [24, 28] or fewer``."""
    throughout = f" all {ceiling.dimension} long" if is_long(ceiling) else ""
    limit = limited(ceiling.limit, ceiling.unit)
    are = "is" if ceiling.limit == 1 or ceiling.unit == "bytes" else "are"
    return f"{limit} {are} used up at {sessions_of(ceiling)}{throughout}"
