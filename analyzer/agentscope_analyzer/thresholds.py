"""What ``--fail-on`` says: a figure of the report, an operator, a number."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agentscope.conventions import CAUSE_GROUPS, CAUSES
from agentscope_analyzer.document import Report

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_THRESHOLD = re.compile(
    r"\s*(?P<name>[^\s<>=!]+)\s*(?P<sign><=|>=|==|!=|<|>)\s*"
    r"(?P<bound>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)\s*"
)
_SECTIONS = (
    "run", "turns", "verdict", "llm", "memory", "margin", "scalability", "tail", "growth",
)  # fmt: skip
_RESOURCES = (
    "llm.requests",
    "llm.tokens",
    "llm.input_tokens",
    "llm.output_tokens",
    "llm.connections",
    "threadpool",
    "cpu",
    "memory",
    "file_descriptors",
)


@dataclass(frozen=True)
class Threshold:
    """One condition under which a run fails."""

    text: str
    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read ``p95_s > 8`` or ``turns.error_rate > 1%``; raises ValueError with an example."""
        match = _THRESHOLD.fullmatch(text)
        if match is None:
            msg = f'cannot read {text!r}: write a figure, an operator, a number: "p95_s > 8"'
            raise ValueError(msg)
        bound = float(match["bound"]) / (100 if match["percent"] else 1)
        return cls(text.strip(), match["name"], match["sign"], bound)

    def judge(self, figures: dict[str, float | None]) -> Judgement:
        """Compare with the run's figure; raises ValueError for a name that no report has."""
        name = _full_name(self.name, figures)
        value = figures[name]
        # A figure that the run does not have cannot be shown to be fine.
        held = value is None or _OPERATORS[self.sign](value, self.bound)
        return Judgement(self, value, held)


@dataclass(frozen=True)
class Judgement:
    """Whether a threshold held, that is, whether the run fails by it."""

    threshold: Threshold
    value: float | None
    held: bool

    def __str__(self) -> str:
        value = "no value in this run" if self.value is None else f"{self.value:.6g}"
        return f"{'FAILED' if self.held else 'passed'}: {self.threshold.text} ({value})"


def figures_of(report: Report) -> dict[str, float | None]:
    """Every number of the report by its path; ``ceilings`` by resource, the lowest one first."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    figures: dict[str, float | None] = {}
    for section in _SECTIONS:
        _flatten(section, plain[section], figures)
    figures["attribution.seconds"] = report.attribution.seconds
    # A cause or group that took no time has the share 0: every instant was given to another one.
    for group in CAUSE_GROUPS:
        for field in ("seconds", "share"):
            figures[f"attribution.groups.{group}.{field}"] = 0.0 if report.run.turns else None
    for cause in CAUSES:
        for field in ("seconds", "share", "p95_share"):
            figures[f"attribution.causes.{cause}.{field}"] = 0.0 if report.run.turns else None
    _flatten("attribution", plain["attribution"], figures)
    for resource in _RESOURCES:
        for field in ("sessions", "low", "high", "limit", "demand_per_session"):
            figures[f"ceilings.{resource}.{field}"] = None
    for ceiling in reversed(plain["ceilings"]):
        _flatten(f"ceilings.{ceiling['resource']}", ceiling, figures)
    return figures


def _flatten(path: str, value: Any, figures: dict[str, float | None]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(f"{path}.{name}", inner, figures)
    elif isinstance(value, bool):
        figures[path] = float(value)
    elif value is None or isinstance(value, int | float):
        figures[path] = value


def _full_name(name: str, figures: dict[str, float | None]) -> str:
    if name in figures:
        return name
    ends = [full for full in figures if full.endswith(f".{name}")]
    turns = [full for full in ends if full.startswith("turns.")]
    if len(turns or ends) == 1:
        return (turns or ends)[0]
    near = ends[:3] or difflib.get_close_matches(name, figures, n=3, cutoff=0.7)
    if not near:
        lasts = {full.rpartition(".")[2]: full for full in reversed(figures)}
        close = difflib.get_close_matches(name.rpartition(".")[2], lasts, n=3, cutoff=0.6)
        near = [lasts[last] for last in close]
    hint = f"did you mean {' or '.join(near)}?" if near else "see the JSON report for the names"
    msg = f"no figure is called {name!r}: {hint}"
    raise ValueError(msg)
