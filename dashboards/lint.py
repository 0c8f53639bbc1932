"""Rules that every generated board keeps; each finding names the rule, the panel and the fault.

The rules and their names are those of grafana/dashboard-linter where it has one; the last ones
are ours. A board that breaks one either misleads (a counter without ``rate``) or cannot be used
somewhere else (a data source that is not a variable).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import promql_parser

from agentscope import conventions as c
from promql import RATE_INTERVAL, NotPromQL, function_around, parse, selectors, walk

Json = dict[str, Any]

DATASOURCE: Final = ("$datasource", "${datasource}")

RATES: Final = frozenset({"rate", "irate", "increase"})

UNITS: Final = frozenset(
    {"short", "none", "percent", "percentunit", "s", "ms", "bytes", "decbytes"}
    | {"cps", "ops", "reqps", "rps", "eps", "mps", "recps", "cpm", "opm"}
)
"""Of Grafana's units, those that a figure of ours can have."""

MIN_REFRESH_S: Final = 30

_LABEL_QUERY = re.compile(r"label_values\((?P<series>.+), *(?P<label>\w+)\)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def findings(board: Json) -> list[str]:
    """Every rule that ``board`` breaks, where, and how; empty for a board that may ship."""
    found = [*_board(board), *_variables(board)]
    for panel in panels(board):
        where = f"panel {panel.get('title') or panel.get('id')!r}"
        found += [f"{fault}, in {where}" for fault in _panel(panel)]
        for target in panel.get("targets", []):
            found += [
                f"{fault}, in {where} target {target.get('refId')}"
                for fault in target_faults(target.get("expr", ""), variables(board))
            ]
    return found


def panels(board: Json) -> Iterator[Json]:
    """Every panel that is not a headline, those of collapsed rows too."""
    for item in board.get("panels", []):
        if item["type"] == "row":
            yield from item.get("panels", [])
        else:
            yield item


def variables(board: Json) -> frozenset[str]:
    """The names of the board's variables."""
    return frozenset(variable["name"] for variable in board["templating"]["list"])


def target_faults(expr: str, names: frozenset[str]) -> Iterator[str]:
    """What is wrong with a query of a board whose variables are ``names``."""
    try:
        tree = parse(expr, names)
    except NotPromQL as error:
        yield f"target-promql: {error}"
        return
    for rule in _TARGET_RULES:
        yield from rule(tree)


# --- the board and its variables --------------------------------------------------------------


def _board(board: Json) -> Iterator[str]:
    if board.get("editable") is not False:
        yield "uneditable-dashboard: a change by hand is lost at the next import"
    if not board.get("uid"):
        yield "board-uid: without a uid of its own a board is a new one at each import"
    refresh = re.fullmatch(r"(\d+)([smh])", board.get("refresh", ""))
    if refresh is None or int(refresh[1]) * _SECONDS[refresh[2]] < MIN_REFRESH_S:
        yield f"board-refresh: at least {MIN_REFRESH_S} s; more often than scrapes is in vain"
    ids = [panel.get("id") for panel in panels(board)]
    if None in ids or len(set(ids)) < len(ids):
        yield "panel-id: links to a panel need a number that is its own"
    for annotation in board["annotations"]["list"]:
        where = f"in annotation {annotation['name']!r}"
        try:
            tree = parse(annotation["expr"], variables(board))
        except NotPromQL as error:
            yield f"target-promql: {error}, {where}"
        else:
            yield from (f"{fault}, {where}" for fault in (*_chosen(tree), *_known_series(tree)))


def _variables(board: Json) -> Iterator[str]:
    by_name = {variable["name"]: variable for variable in board["templating"]["list"]}
    sources = [one for one in by_name.values() if one["type"] == "datasource"]
    if [(one["name"], one.get("label")) for one in sources] != [("datasource", "Data source")]:
        yield "template-datasource: exactly one, named datasource, labelled Data source"
    for name in ("job", "instance"):
        if by_name.get(name, {}).get("label") != name.capitalize():
            yield f"template-{name}: missing, or not labelled {name.capitalize()}"
    for name, variable in by_name.items():
        if variable["type"] != "query":
            continue
        if (variable.get("datasource") or {}).get("uid") not in DATASOURCE:
            yield f"template-{name}: its data source is not the variable"
        if not (variable.get("multi") and variable.get("allValue") == ".+"):
            yield f"template-{name}: several values must be allowed, and all of them be .+"
        if variable.get("refresh") != 2:
            yield f"template-on-time-change-reload: ${name} keeps the values of another time"
        yield from _label_query(name, variable["query"], frozenset(by_name))


def _label_query(name: str, query: str, names: frozenset[str]) -> Iterator[str]:
    match = _LABEL_QUERY.fullmatch(query)
    if match is None:
        yield f"template-label-promql: ${name} is not asked for by label_values"
        return
    try:
        tree = parse(match["series"], names)
    except NotPromQL as error:
        yield f"template-label-promql: ${name}: {error}"
        return
    yield from (f"{fault}, in variable {name}" for fault in _known_series(tree))
    for selector, _ in selectors(tree):
        if match["label"] not in SERIES.get(selector.name, ()):
            yield f"template-label-promql: {selector.name} has no label {match['label']}"


# --- panels -----------------------------------------------------------------------------------


def _panel(panel: Json) -> Iterator[str]:
    if not (panel.get("title") and panel.get("description")):
        yield "panel-title-description: both are needed"
    elif "**Next:**" not in panel["description"]:
        yield "panel-next-step: the description does not say what to do"
    if panel.get("fieldConfig", {}).get("defaults", {}).get("unit") not in UNITS:
        yield "panel-units: none, or none of Grafana's"
    if not panel.get("targets"):
        yield "panel-no-targets: it asks for nothing"
    for part in (panel, *panel.get("targets", [])):
        if (part.get("datasource") or {}).get("uid") not in DATASOURCE:
            yield "panel-datasource: not the variable"


# --- queries ----------------------------------------------------------------------------------


def _chosen(tree: Any) -> Iterator[str]:
    for selector, _ in selectors(tree):
        present = {
            (matcher.name, matcher.value)
            for matcher in selector.matchers.matchers
            if matcher.op == promql_parser.MatchOp.Re
        }
        for name in ("job", "instance"):
            if (name, f"any-{name}") not in present:
                yield f'target-{name}: {selector.name} lacks {name}=~"${name}"'


def _rate_interval(tree: Any) -> Iterator[str]:
    for node, parents in walk(tree):
        if isinstance(node, promql_parser.MatrixSelector) and node.range != RATE_INTERVAL:
            around = parents[-1].func.name if parents else ""
            if around in RATES:
                yield f"target-rate-interval: {around} over a range that is not $__rate_interval"


def _counters_in_rates(tree: Any) -> Iterator[str]:
    for selector, parents in selectors(tree):
        counts = re.search(r"_(total|count|sum|bucket)$", selector.name or "") is not None
        if selector.name in _GAUGES:
            counts = False
        if counts is not (function_around(parents) in RATES):
            yield f"target-counter-agg: {selector.name} outside a rate, or a gauge inside one"


def _quantiles(tree: Any) -> Iterator[str]:
    for node, _ in walk(tree):
        called = node.func.name if isinstance(node, promql_parser.Call) else ""
        if called == "histogram_quantile" and not _summed_by_le(node.args[1]):
            yield "target-quantile: histogram_quantile needs sum by (le, …) of rates"


def _summed_by_le(tree: Any) -> bool:
    if not isinstance(tree, promql_parser.AggregateExpr) or tree.modifier is None:
        return False
    by = tree.modifier.type == promql_parser.AggModifierType.By
    return str(tree.op) == "sum" and by and "le" in tree.modifier.labels


def _averages(tree: Any) -> Iterator[str]:
    for node, _ in walk(tree):
        aggregates = isinstance(node, promql_parser.AggregateExpr) and str(node.op) == "avg"
        over_time = isinstance(node, promql_parser.Call) and node.func.name == "avg_over_time"
        if aggregates or over_time:
            yield "target-average: an average of averages weighs the idle like the busy"


def _known_series(tree: Any) -> Iterator[str]:
    for selector, parents in selectors(tree):
        labels = SERIES.get(selector.name)
        if labels is None:
            yield f"target-known-series: the recorder writes no {selector.name}"
            continue
        asked = {matcher.name for matcher in selector.matchers.matchers}
        for node in parents:
            modifier = getattr(node, "modifier", None)
            if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
                asked.update(modifier.labels)
        if not asked <= labels:
            yield f"target-known-labels: {selector.name} has no {sorted(asked - labels)}"


_TARGET_RULES: Final[tuple[Callable[[Any], Iterator[str]], ...]] = (
    _chosen,
    _rate_interval,
    _counters_in_rates,
    _quantiles,
    _averages,
    _known_series,
)


def _series_of(metric: c.Metric) -> Iterator[tuple[str, frozenset[str]]]:
    labels = frozenset({"job", "instance", *metric.prometheus_labels})
    if metric.instrument != "histogram":
        yield metric.prometheus_name, labels
        return
    for part in ("count", "sum"):
        yield f"{metric.prometheus_name}_{part}", labels
    yield f"{metric.prometheus_name}_bucket", labels | {"le"}


SERIES: Final = dict(pair for metric in c.METRICS.values() for pair in _series_of(metric))
"""Every series name that the vocabulary knows, with the labels that a scrape gives it."""

_GAUGES: Final = frozenset(
    metric.prometheus_name for metric in c.METRICS.values() if metric.instrument == "gauge"
)
