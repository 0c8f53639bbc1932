"""One alert: what is watched, from which level on, what is said and where to read on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from thresholds import Levels

RUNBOOK: Final = "RUNBOOK.md"
"""Where the runbook stands: beside the rules. A team that publishes it puts its address here."""

GROUP: Final = "agentscope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A figure with a yellow and a red level, one alert each: severity warning and critical."""

    name: str
    expr: str
    """The figure, by job and whatever else tells its subject."""
    levels: Levels
    lasting: str
    """How long it must hold: Prometheus's ``for``."""
    summary: str
    """One line with the labels; ``{{ $value }}`` is the figure."""
    description: str
    """What it means for users, and what to do first."""
    only_where: str = ""
    """Asked for besides, with the same job: a share of next to nothing is no figure."""

    @property
    def anchor(self) -> str:
        """The runbook's headline of this alert."""
        return self.name.lower()

    def rules(self) -> list[dict[str, Any]]:
        """The alert as Prometheus reads it, the severe one first."""
        return [
            self._rule("critical", self.levels.critical),
            self._rule("warning", self.levels.warning),
        ]

    def _rule(self, severity: str, level: float) -> dict[str, Any]:
        sign = "<" if self.levels.warning > self.levels.critical else ">"
        if level == 1 and sign == ">" and self.levels.critical == 1:
            sign = ">="  # a pool cannot be more than full
        return {
            "alert": self.name,
            "expr": f"{self.expr} {sign} {level:g}" + self._besides(),
            "for": self.lasting,
            "labels": {"severity": severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOK}#{self.anchor}",
            },
        }

    def _besides(self) -> str:
        return f" and on (job) ({self.only_where})" if self.only_where else ""
