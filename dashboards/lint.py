"""Rules that every generated board keeps; each finding names the rule, the panel and the fault.

The rules and their names are those of grafana/dashboard-linter where it has one; the last ones
are ours. A board that breaks one either misleads (a counter without ``rate``) or cannot be used
somewhere else (a data source that is not a variable).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import promql_parser

from agentscope import conventions as c
from promql import RATE_INTERVAL, NotPromQL, function_around, parse, selectors, walk

Json = dict[str, Any]

DATASOURCE: Final = ("$datasource", "${datasource}")

RATES: Final = frozenset({"rate", "irate", "increase"})

UNITS: Final = frozenset(
    {"short", "none", "percent", "percentunit", "s", "ms", "bytes", "decbytes"}
    | {"cps", "ops", "reqps", "rps", "eps", "mps", "recps", "cpm", "opm", "currencyUSD"}
)
"""Of Grafana's units, those that a figure of ours can have."""

MIN_REFRESH_S: Final = 30

MAX_UID: Final = 40
"""Characters: Grafana refuses a longer one."""

TITLE_CHARACTERS: Final = {4: 15, 6: 25, 8: 35, 12: 55, 24: 110}
"""How long a title may be, by the panel's columns, to be read in a window of 1000 pixels."""

_LABEL_QUERY = re.compile(r"label_values\((?P<series>.+), *(?P<label>\w+)\)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class Excuse(NamedTuple):
    """A query that may break some rules for one series: where it stands, and why it may."""

    board: str
    panel: str
    """The panel's title, or the annotation's name."""
    target: str
    series: str
    rules: tuple[str, ...]
    reason: str


def _of_the_generator(board: str, panel: str, target: str, metric: c.Metric) -> Excuse:
    suffix = "_bucket" if metric.instrument == "histogram" else ""
    return Excuse(
        board, panel, target, metric.prometheus_name + suffix, ("target-job", "target-instance"),
        "the load generator is a job of its own, and the job that is chosen is the service's",
    )  # fmt: skip


EXCUSES: Final = (
    _of_the_generator("agentscope-load-run", "Users", "A", c.LOAD_USERS),
    _of_the_generator("agentscope-load-run", "Users and turns in flight", "A", c.LOAD_USERS),
    _of_the_generator("agentscope-load-run", "What one user gets", "A", c.LOAD_USERS),
    _of_the_generator(
        "agentscope-load-run", "Request duration, as users see it", "A", c.LOAD_REQUEST_DURATION
    ),
    _of_the_generator(
        "agentscope-load-run", "Request duration, as users see it", "B", c.LOAD_REQUEST_DURATION
    ),
    _of_the_generator("agentscope-load-run", "Users' requests by outcome", "A", c.LOAD_REQUESTS),
    _of_the_generator("agentscope-load-run", "Load stages", "", c.LOAD_STAGE),
    _of_the_generator("agentscope-overview", "Load stages", "", c.LOAD_STAGE),
    _of_the_generator("agentscope-llm", "Load stages", "", c.LOAD_STAGE),
    _of_the_generator("agentscope-runtime", "Load stages", "", c.LOAD_STAGE),
)
"""Every query that may break a rule."""


def findings(board: Json, excuses: Iterable[Excuse] = EXCUSES) -> list[str]:
    """Every rule that ``board`` breaks, where, and how; empty for a board that may ship."""
    mine = [one for one in excuses if one.board == board.get("uid")]
    found = [*_board(board), *_variables(board), *_annotations(board, mine)]
    for panel in panels(board):
        title = str(panel.get("title") or panel.get("id"))
        found += [f"{fault}, in panel {title!r}" for fault in _panel(panel)]
        for target in panel.get("targets", []):
            ref_id = target.get("refId", "")
            found += [
                f"{fault}, in panel {title!r} target {ref_id}"
                for fault in dict.fromkeys(target_faults(target.get("expr", ""), variables(board)))
                if not _excused(fault, title, ref_id, mine)
            ]
    return found


def _excused(fault: str, panel: str, target: str, excuses: Iterable[Excuse]) -> bool:
    rule, _, said = fault.partition(": ")
    series = said.partition(" ")[0]
    return any(
        rule in one.rules and (panel, target, series) == (one.panel, one.target, one.series)
        for one in excuses
    )


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
    if len(board.get("uid", "")) > MAX_UID:
        yield f"board-uid: longer than {MAX_UID} characters"
    refresh = re.fullmatch(r"(\d+)([smh])", board.get("refresh", ""))
    if refresh is None or int(refresh[1]) * _SECONDS[refresh[2]] < MIN_REFRESH_S:
        yield f"board-refresh: at least {MIN_REFRESH_S} s; more often than scrapes is in vain"
    ids = [panel.get("id") for panel in panels(board)]
    if None in ids or len(set(ids)) < len(ids):
        yield "panel-id: links to a panel need a number that is its own"


def _annotations(board: Json, excuses: Iterable[Excuse]) -> Iterator[str]:
    for annotation in board["annotations"]["list"]:
        name = annotation["name"]
        try:
            tree = parse(annotation["expr"], variables(board))
        except NotPromQL as error:
            yield f"target-promql: {error}, in annotation {name!r}"
            continue
        for fault in (*_chosen(tree), *_known_series(tree)):
            if not _excused(fault, name, "", excuses):
                yield f"{fault}, in annotation {name!r}"


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
        # Every series has a job and an instance; of other labels, all may mean none as well.
        everything = (".+",) if name in ("job", "instance") else (".+", ".*")
        if not (variable.get("multi") and variable.get("allValue") in everything):
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
        for series in _names(selector):
            if match["label"] not in SERIES.get(series, ()):
                yield f"template-label-promql: {series} has no label {match['label']}"


# --- panels -----------------------------------------------------------------------------------


def _panel(panel: Json) -> Iterator[str]:
    if not (panel.get("title") and panel.get("description")):
        yield "panel-title-description: both are needed"
    elif "**Next:**" not in panel["description"]:
        yield "panel-next-step: the description does not say what to do"
    most = TITLE_CHARACTERS[panel["gridPos"]["w"]]
    if len(panel.get("title", "")) > most:
        yield f"panel-title-fits: more than {most} characters are cut off in a small window"
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if defaults.get("unit") not in UNITS:
        yield "panel-units: none, or none of Grafana's"
    if not defaults.get("noValue"):
        yield "panel-empty: it does not say what it means that there is nothing to show"
    if panel["type"] == "stat":
        yield from _of_now(panel)
    if not panel.get("targets"):
        yield "panel-no-targets: it asks for nothing"
    for part in (panel, *panel.get("targets", [])):
        if (part.get("datasource") or {}).get("uid") not in DATASOURCE:
            yield "panel-datasource: not the variable"


def _of_now(panel: Json) -> Iterator[str]:
    ends = all(one.get("expr", "").endswith(" or vector(NaN)") for one in panel.get("targets", []))
    if not ends or panel["options"]["reduceOptions"]["calcs"] != ["last"]:
        yield "stat-of-now: after the last point it would show that one for as long as it is in view"


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
                yield f'target-{name}: {_names(selector)[0]} lacks {name}=~"${name}"'


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
        # A gauge's own mean over time is one: its readings are at even distances.
        over_time = (
            isinstance(node, promql_parser.Call)
            and node.func.name == "avg_over_time"
            and not isinstance(node.args[0], promql_parser.MatrixSelector)
        )
        if aggregates or over_time:
            yield "target-average: an average of averages weighs the idle like the busy"


def _known_series(tree: Any) -> Iterator[str]:
    for selector, parents in selectors(tree):
        asked = {matcher.name for matcher in selector.matchers.matchers} - {"__name__"}
        made = set()
        for node in reversed(parents):
            if isinstance(node, promql_parser.Call) and node.func.name == "label_replace":
                made.add(node.args[1].val)
            if isinstance(node, promql_parser.AggregateExpr):
                # What is around it sees the labels that it leaves, no longer the series'.
                asked.update(node.modifier.labels if node.modifier else ())
                break
        for series in _names(selector):
            labels = SERIES.get(series)
            if labels is None:
                yield f"target-known-series: the recorder writes no {series}"
            elif not asked <= labels | made:
                yield f"target-known-labels: {series} has no {sorted(asked - labels - made)}"


def _names(selector: Any) -> list[str]:
    """The series that a selector asks for: by name, or by a pattern of names."""
    if selector.name:
        return [selector.name]
    patterns = [one.value for one in selector.matchers.matchers if one.name == "__name__"]
    asked = re.compile(patterns[0] if patterns else "")
    return [name for name in SERIES if asked.fullmatch(name)] or [asked.pattern or "nothing"]


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


METRICS: Final = (*c.METRICS.values(), *c.LOAD_METRICS.values())
"""What there is to plot: the recorder's metrics and the load generator's."""

SERIES: Final = dict(pair for metric in METRICS for pair in _series_of(metric))
"""Every series name that the vocabulary knows, with the labels that a scrape gives it."""

_GAUGES: Final = frozenset(
    metric.prometheus_name for metric in METRICS if metric.instrument == "gauge"
)
