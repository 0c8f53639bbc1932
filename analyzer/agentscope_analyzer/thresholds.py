"""What ``--fail-on`` says: a figure of the report, an operator, a number."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

from agentscope.conventions import CAUSE_GROUPS, CAUSES
from agentscope_analyzer.ceilings.laws import PARAMETERS
from agentscope_analyzer.document import Ceiling, Report
from agentscope_analyzer.ingest.refusals import Reason

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
    "turns", "run", "verdict", "llm", "memory", "margin", "scalability", "tail", "growth",
    "attribution",
)  # fmt: skip
_KEYS: Final[Mapping[str, Iterable[str]]] = {
    "run.rejected": [reason.value for reason in Reason],
    "llm.tokens": (
        "input", "output", "cache_read", "cache_write", "reasoning", "calls_without_usage",
    ),
    "scalability.aicc": PARAMETERS,
    "attribution.groups": CAUSE_GROUPS,
    "attribution.causes": CAUSES,
}  # fmt: skip
"""The keys of the document's dictionaries; the document's types say the rest."""
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
_POOL = re.compile(r"ceilings\.db\.pool:.+\.(?P<field>\w+)")
"""The ceiling of a database pool has the pool's name, which only the run knows."""
SUCH_AS: Final = (
    "turns.p95_s", "turns.error_rate", "llm.rate_limited", "llm.cost_usd",
    "attribution.causes.llm.rate_limit.share", "ceilings.llm.requests.sessions",
)  # fmt: skip
"""Figures that show how the names are made."""


@dataclass(frozen=True)
class Threshold:
    """One condition under which a run fails."""

    text: str
    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read ``p95_s > 8`` or ``turns.error_rate > 1%``; raises ValueError with what to write.

        A name that no report has is found here, before a run is analysed for it.
        """
        match = _THRESHOLD.fullmatch(text)
        if match is None:
            msg = f'cannot read {text!r}: write a figure, an operator, a number: "p95_s > 8"'
            raise ValueError(msg)
        bound = float(match["bound"]) / (100 if match["percent"] else 1)
        return cls(text.strip(), _full_name(match["name"]), match["sign"], bound)

    def judge(self, figures: Mapping[str, float | None]) -> Judgement:
        """Compare with the run's figure."""
        value = figures.get(self.name)
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


@cache
def names() -> tuple[str, ...]:
    """The name of every figure that a report can have, but those of single database pools."""
    report = {field.encode_name: field.type for field in _fields(Report)}
    found = [name for section in _SECTIONS for name in _names_of(section, report[section])]
    ceiling = msgspec.inspect.type_info(Ceiling)
    found += [name for one in _RESOURCES for name in _names_of(f"ceilings.{one}", ceiling)]
    return tuple(found)


def _fields(struct: type[msgspec.Struct]) -> tuple[msgspec.inspect.Field, ...]:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    return info.fields


def _names_of(path: str, info: msgspec.inspect.Type) -> Iterator[str]:
    """The numbers below a type of the document, by path; lists have none that could be named."""
    match info:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                yield from _names_of(f"{path}.{field.encode_name}", field.type)
        case msgspec.inspect.DictType(value_type=inner):
            for key in _KEYS[path]:
                yield from _names_of(f"{path}.{key}", inner)
        case msgspec.inspect.UnionType(types=types):
            for inner in types:
                yield from _names_of(path, inner)
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType() | msgspec.inspect.BoolType():
            yield path


def figures_of(report: Report) -> dict[str, float | None]:
    """Every number of the report by its path; ``ceilings`` by resource, the lowest one first."""
    figures: dict[str, float | None] = dict.fromkeys(names())
    # A cause or group that took no time has the share 0: every instant was given to another one.
    if report.run.turns:
        for cause in CAUSES:
            for field in ("seconds", "share", "p95_share"):
                figures[f"attribution.causes.{cause}.{field}"] = 0.0
        for group in CAUSE_GROUPS:
            for field in ("seconds", "share"):
                figures[f"attribution.groups.{group}.{field}"] = 0.0
    for reason in Reason:
        figures[f"run.rejected.{reason.value}"] = 0.0
    plain: dict[str, Any] = msgspec.to_builtins(report)
    for section in _SECTIONS:
        _flatten(section, plain[section], figures)
    for ceiling in reversed(plain["ceilings"]):
        _flatten(f"ceilings.{ceiling['resource']}", ceiling, figures)
    return figures


def _flatten(path: str, value: Any, figures: dict[str, float | None]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(f"{path}.{name}", inner, figures)
    elif isinstance(value, bool):
        figures[path] = float(value)
    elif isinstance(value, int | float):
        figures[path] = value
    elif value is None and path in figures:
        figures[path] = None


def _full_name(name: str) -> str:
    """The figure that is meant; raises ValueError with its likes where there is none."""
    known = names()
    pool = _POOL.fullmatch(name)
    if name in known or (pool and f"ceilings.cpu.{pool['field']}" in known):
        return name
    ends = [full for full in known if full.endswith(f".{name}")]
    turns = [full for full in ends if full.startswith("turns.")]
    if len(turns or ends) == 1:
        return (turns or ends)[0]
    near = ends[:3] or difflib.get_close_matches(name, known, n=3, cutoff=0.7)
    if not near:
        lasts = {full.rpartition(".")[2]: full for full in reversed(known)}
        close = difflib.get_close_matches(name.rpartition(".")[2], lasts, n=3, cutoff=0.6)
        near = [lasts[last] for last in close]
    hint = f"did you mean {' or '.join(near)}?" if near else f"names are like {', '.join(SUCH_AS)}"
    msg = f"no figure is called {name!r}: {hint}; agentscope analyze -h lists all of them"
    raise ValueError(msg)
