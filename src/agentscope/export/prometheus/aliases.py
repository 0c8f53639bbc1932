"""The plain names that many teams' dashboards begin with, made of our metrics at each scrape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric as Family

from agentscope import conventions as c
from agentscope.export.prometheus.pace import Pace


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for one of our metrics, with fewer labels or others."""

    name: str
    of: c.Metric
    doc: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its labels, each with ours that it is made of; the others are summed over."""
    sums_only: bool = False
    """A counter made of the sums of a histogram."""


_MODEL = c.prometheus_label(c.REQUEST_MODEL)

ALIASES = (
    Alias("agent_turn_latency_seconds", c.TURN_DURATION, "time to complete one turn"),
    Alias(
        "llm_call_latency_seconds",
        c.OPERATION_DURATION,
        "time of each call of a model",
        {"model": _MODEL, "endpoint": c.prometheus_label(c.OPERATION_NAME)},
    ),
    Alias("active_agent_sessions", c.SESSIONS_ACTIVE, "sessions that are active now"),
    Alias(
        "agent_tool_calls_total",
        c.TOOL_CALLS,
        "calls of tools",
        {"tool_name": "tool", "status": "status"},
    ),
    Alias(
        "agent_errors_total",
        c.ERRORS,
        "turns that failed, by type",
        {"error_type": c.prometheus_label(c.ERROR_TYPE)},
    ),
    Alias(
        "llm_tokens_consumed_total",
        c.TOKEN_USAGE,
        "tokens consumed",
        {"model": _MODEL, "direction": "gen_ai_token_type"},
        sums_only=True,
    ),
)


class AliasFamily(Family):
    """An alias with its series. Where a service has a metric of that name, its own is right."""


def aliases_of(families: Iterable[Family], pace: Pace) -> list[Family]:
    """The aliases of those of our metrics that have a series."""
    by_name = {family.name: family for family in families}
    return [
        _renamed(alias, by_name[name], pace)
        for alias in ALIASES
        if (name := alias.of.prometheus_name.removesuffix("_total")) in by_name
    ]


def _renamed(alias: Alias, family: Family, pace: Pace) -> AliasFamily:
    kind = "counter" if alias.sums_only else family.type
    renamed = AliasFamily(alias.name.removesuffix("_total"), alias.doc, kind)
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
    for sample in pace.over(family.samples):
        suffix = sample.name.removeprefix(family.name)
        if alias.sums_only:
            if suffix != "_sum":
                continue
            suffix = "_total"
        labels = [(name, sample.labels.get(ours, "")) for name, ours in alias.labels.items()]
        if suffix == "_bucket":
            labels.append(("le", sample.labels["le"]))
        sums[renamed.name + suffix, tuple(labels)] += sample.value
    for (name, labels_of_it), value in sums.items():
        renamed.add_sample(name, dict(labels_of_it), value)
    return renamed
