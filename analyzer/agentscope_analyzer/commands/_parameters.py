"""What a question takes of the run itself where nobody says: its times, its models, its quotas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agentscope_analyzer.engine import Engine
    from agentscope_analyzer.sql import Question

NS: Final = 1_000_000_000
WINDOWS: Final = 30
"""Parts that a run is cut into."""

SAID: Final[Mapping[str, str]] = {
    "from_ns": "the run's first moment",
    "to_ns": "the run's last moment",
    "window_ns": f"a {WINDOWS}th of the run in whole seconds",
    "from_s": "the first request",
    "window_s": f"a {WINDOWS}th of the load in whole seconds",
    "windows": "as many as it takes",
    "provider": "that of the model called most",
    "model": "the model called most",
    "cause": "the one that took most time",
    "service": "the one that served most turns",
    "name": "what most turns are called there",
    "inherent": "all that are there without load",
    "limit_header": "that of a quota in the run",
    "remaining_header": "that of a quota in the run",
    "reset_header": "that of a quota in the run",
    "window_header": "that of a quota in the run",
}
"""Where a parameter without a default gets its value from, by the parameter's name."""


def taken_from(engine: Engine, question: Question, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the parameters that the user left out and the question has no default for.

    ``engine`` holds the tables that the question reads.
    """
    own = _Own(engine, given)
    wanted = [p.name for p in question.params if p.default is None and p.name not in given]
    return {name: _VALUES[name](own) for name in wanted}


@dataclass
class _Own:
    """What is read of a run, once and only if it is needed."""

    engine: Engine
    given: Mapping[str, Any]

    @cached_property
    def times_ns(self) -> tuple[int, int]:
        ((first, last),) = self.engine.rows("SELECT MIN(start_ns), MAX(end_ns) FROM spans")
        return int(self.given.get("from_ns", first or 0)), int(self.given.get("to_ns", last or 0))

    @cached_property
    def load_s(self) -> tuple[float, float]:
        ((first, last),) = self.engine.rows("SELECT MIN(t_intended), MAX(t_intended) FROM load")
        return float(self.given.get("from_s", first or 0.0)), float(last or 0.0)

    @cached_property
    def model(self) -> Mapping[str, str]:
        """Provider and model that most calls went to."""
        from agentscope_analyzer.sql import ask

        rows = ask(self.engine, "llm/by_model")
        most = max(rows, key=lambda row: row["calls"] or 0, default={})
        return {name: most.get(name) or "" for name in ("provider", "model")}

    @cached_property
    def cause(self) -> str:
        found = self.engine.rows(
            "SELECT cause FROM sections GROUP BY cause "
            "ORDER BY SUM(end_ns - start_ns) DESC, cause LIMIT 1"
        )
        return str(found[0][0]) if found else ""

    @cached_property
    def served(self) -> Mapping[str, str]:
        """Service and name of most of the spans that serve turns."""
        found = self.engine.query(
            "SELECT s.service AS service, s.name AS name FROM spans AS s "
            "JOIN turns AS t ON t.trace_id = s.trace_id WHERE s.kind = 'SERVER' "
            "GROUP BY 1, 2 ORDER BY COUNT(*) DESC, 1, 2 LIMIT 1"
        )
        return found[0] if found else {"service": "", "name": ""}

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The attributes of a quota that response headers tell of, by what they say."""
        from agentscope_analyzer.ceilings.headers import families
        from agentscope_analyzer.sql import ask

        names = ask(self.engine, "llm/header_names")
        found = families(row["attribute"] for row in names)
        found.sort(key=lambda family: family.dimension != "requests")
        return found[0].headers if found else {}

    @property
    def window_s(self) -> float:
        first_s, last_s = self.load_s
        return float(_whole(last_s - first_s))

    @property
    def windows(self) -> int:
        first_s, last_s = self.load_s
        window_s = self.given.get("window_s", self.window_s)
        return 1 + int((last_s - first_s) / window_s) if window_s > 0 else 0

    @property
    def window_ns(self) -> int:
        first_ns, last_ns = self.times_ns
        return _whole((last_ns - first_ns) / NS) * NS


def _whole(length_s: float) -> int:
    """Whole seconds of a window."""
    return max(1, -int(-length_s // WINDOWS))


def _inherent(_: _Own) -> str:
    from agentscope_analyzer.facts import INHERENT

    return INHERENT


_VALUES: Final[Mapping[str, Callable[[_Own], Any]]] = {
    "from_ns": lambda own: own.times_ns[0],
    "to_ns": lambda own: own.times_ns[1],
    "window_ns": lambda own: own.window_ns,
    "from_s": lambda own: own.load_s[0],
    "window_s": lambda own: own.window_s,
    "windows": lambda own: own.windows,
    "provider": lambda own: own.model["provider"],
    "model": lambda own: own.model["model"],
    "cause": lambda own: own.cause,
    "service": lambda own: own.served["service"],
    "name": lambda own: own.served["name"],
    "inherent": _inherent,
    "limit_header": lambda own: own.headers.get("limit", ""),
    "remaining_header": lambda own: own.headers.get("remaining", ""),
    "reset_header": lambda own: own.headers.get("reset", ""),
    "window_header": lambda own: own.headers.get("window", ""),
}
