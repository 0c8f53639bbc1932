"""The boards where there is little to show, or names that are hard to ask for.

Several services at once, scraped every fifteen seconds for twenty minutes: an ordinary one whose
names are full of signs that mean something in regular expressions, one without any traffic yet,
one whose users have left, one that only fails. All of them say that they are the same instance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import history
import pytest
from asked import Asked, choices, queries
from history import Flow, Level, Series, Spread
from prometheus_server import Prometheus, looking_back, needs_prometheus
from shown import SHOWN

import lint
from agentscope import conventions as c

pytestmark = needs_prometheus

Json = dict[str, Any]

EVERY_15_S = range(history.START_S, history.START_S + 1200 + 1, 15)
SOON_S, LATE_S, GONE_S = EVERY_15_S[4], EVERY_15_S[-1], EVERY_15_S[-1] + 600

ORDINARY, FRESH, DESERTED, FAILING = "support (eu) [1]", "fresh", "deserted", "failing"
SPECIAL = {
    history.MODEL: 'gpt-4o (eu) "new" \\ $5',
    history.CHAT: "/api/{version:(v1|v2)}/chat.+",
}
"""Names of the history that are spelled otherwise here."""

COUNTED_WITHOUT_TRAFFIC = {
    c.LOOP_DELAY, c.CPU_TIME, c.GC_PAUSE, c.CGROUP_THROTTLED_TIME,
}  # fmt: skip
TOLD_BY_PROVIDERS = {
    c.RATELIMIT_LIMIT, c.RATELIMIT_REMAINING, c.RATELIMIT_RESET, c.RATELIMIT_WINDOW,
}  # fmt: skip


def of_traffic(series: Series) -> bool:
    counted = series.metric.instrument != "gauge" and series.metric not in COUNTED_WITHOUT_TRAFFIC
    return counted or series.metric in TOLD_BY_PROVIDERS


def four_services() -> Iterator[Series]:
    """The history's first instance, four times over."""
    for series in history.history():
        labels = {name: SPECIAL.get(value, value) for name, value in series.labels.items()}
        if series.metric.name in c.LOAD_METRICS:
            yield replace(series, labels=labels)
        if series.labels["instance"] != history.BOTH_NAMES:
            continue
        yield replace(series, labels={**labels, "job": ORDINARY})
        if not of_traffic(series):
            yield replace(series, labels={**labels, "job": FRESH})
        yield replace(series, labels={**labels, "job": DESERTED}, shape=still(series))
        yield from failing(series, {**labels, "job": FAILING})


def still(series: Series) -> history.Shape:
    """Counted once, and no more."""
    shape = series.shape
    if isinstance(shape, Level) or not of_traffic(series):
        return shape
    if isinstance(shape, Flow):
        return Flow(0, 0)
    return Spread(*({value: 0.0 for value in part} for part in (shape.calm, shape.trouble)))


def failing(series: Series, labels: Mapping[str, str]) -> Iterator[Series]:
    """One turn a second, and none of them ends well."""
    one_a_second = {
        c.TURN_DURATION: Spread({1.0: 1.0}, {1.0: 1.0}),
        c.ERRORS: Flow(1.0, 1.0),
        c.HTTP_SERVER_DURATION: Spread({1.0: 1.0}, {1.0: 1.0}),
    }
    if series.metric not in one_a_second:
        yield replace(series, labels=labels)
    elif "500" in series.labels.values() or series.metric is c.ERRORS:
        yield replace(series, labels=labels, shape=one_a_second[series.metric])


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("odd")
    series = sorted(four_services(), key=lambda one: one.metric.name)
    lines = history.openmetrics(series, EVERY_15_S)
    with looking_back(directory, lines, "global: {scrape_interval: 15s}\n") as prometheus:
        yield prometheus


def chosen(*values: str) -> str:
    """What Grafana makes of chosen values in a pattern between quotes: no sign means anything."""
    escaped = [
        re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))
        for value in values
    ]
    return "|".join(one.replace('"', '\\"') for one in escaped)


def filled(**values: str) -> dict[str, str]:
    return {
        "job": ".+", "instance": ".+", "route": ".+", "model": ".*",
        "__rate_interval": "60s", "__range": "3600s", "__interval": "15s", **values,
    }  # fmt: skip


def asked(board: Json, **values: str) -> list[Asked]:
    """The queries of its panels."""
    return [one for one in queries(board, filled(**values)) if one.row]


def place(one: Asked) -> str:
    return f"{one.row} | {one.panel} | {one.target}"


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The ordinary history, scraped every fifteen seconds, from its first scrape on."""
    directory = tmp_path_factory.mktemp("young")
    lines = history.openmetrics(times=EVERY_15_S)
    with looking_back(directory, lines, "global: {scrape_interval: 15s}\n") as prometheus:
        yield prometheus


def test_after_a_minute_every_panel_is_right(committed: list[Json], young: Prometheus) -> None:
    """With the fifth scrape each figure is what it will be for as long as nothing changes."""
    wrong = [
        (one.board, place(one), shown, wanted)
        for board in committed
        for one in asked(board, job=history.JOB)
        for wanted in [SHOWN[one.board, place(one)](SOON_S)]
        if (shown := young.at(one.expr, SOON_S)) != pytest.approx(wanted, rel=1e-6, abs=1e-9)
    ]
    assert wrong == []


def test_with_the_second_scrape_every_panel_shows_something(
    committed: list[Json], young: Prometheus
) -> None:
    """No panel needs five minutes before it says anything; nothing runs out yet, that is all."""
    empty = {
        place(one)
        for board in committed
        for one in asked(board, job=history.JOB)
        if not any(map(math.isfinite, young.at(one.expr, EVERY_15_S[1]).values()))
    }
    assert empty == {"Rate limits | Time to exhaustion | A"}


def figures(board: Json, odd: Prometheus, at_s: float, **values: str) -> dict[str, float]:
    """What the board's single numbers say: the last point of each, as Grafana takes it."""
    found = {}
    titles = {panel["title"] for panel in lint.panels(board) if panel["type"] == "stat"}
    for one in asked(board, **values):
        if one.panel in titles and one.target == "A":
            answer = odd.get(
                "query_range", query=one.expr, start=history.START_S, end=at_s, step=15
            )
            (series,) = answer["result"]
            found[one.panel] = float(series["values"][-1][1])
    return found


NO_NUMBER = pytest.approx(math.nan, nan_ok=True)


def test_a_figure_is_of_now_and_not_of_the_last_time(
    committed: list[Json], odd: Prometheus
) -> None:
    """Ten minutes after the last scrape of a service none of them still has a number."""
    for board in committed:
        shown = figures(board, odd, GONE_S, job=chosen(ORDINARY))
        assert len(shown) == 6
        assert shown == dict.fromkeys(shown, NO_NUMBER)


def test_a_service_that_waits_for_its_first_turn_is_not_broken(
    committed: list[Json], odd: Prometheus
) -> None:
    """What can be counted is 0; what needs a turn says that there is none."""
    overview, llm, runtime, _ = (figures(one, odd, LATE_S, job=FRESH) for one in committed)
    assert overview == {
        "Turns a second": 0, "Turn time, p95": NO_NUMBER, "Failed turns": NO_NUMBER,
        "Active sessions": 20, "Turns in flight": 10, "Scarcest quota": NO_NUMBER,
    }  # fmt: skip
    assert llm == {
        "Calls a second": 0, "Call time, p95": NO_NUMBER, "First chunk p95": NO_NUMBER,
        "Retries a call": NO_NUMBER, "Callers asleep": 0, "Scarcest quota": NO_NUMBER,
    }  # fmt: skip
    assert not any(map(math.isnan, runtime.values()))


def test_a_service_whose_users_left_shows_no_old_troubles(
    committed: list[Json], odd: Prometheus
) -> None:
    """Counters that stand still make no share and no percentile; the last quota told is not shown."""
    overview, llm, *_ = (figures(one, odd, LATE_S, job=DESERTED) for one in committed)
    said = ("Turn time, p95", "Failed turns", "Scarcest quota")
    assert [overview[name] for name in said] == [NO_NUMBER] * 3
    assert overview["Turns a second"] == 0
    assert [llm["Retries a call"], llm["Callers asleep"]] == [NO_NUMBER, 0]


def test_a_service_that_only_fails_has_no_throughput(
    committed: list[Json], odd: Prometheus
) -> None:
    """Every turn failed; that they end at once makes nothing faster."""
    overview, _, _, load = (figures(one, odd, LATE_S, job=FAILING) for one in committed)
    assert (overview["Turns a second"], overview["Failed turns"]) == (1, 1)
    assert (load["Good turns / s"], load["Failed turns"]) == (0, 1)
    assert load["Speed kept"] == NO_NUMBER  # of nothing


def test_no_choice_of_services_breaks_a_query(committed: list[Json], odd: Prometheus) -> None:
    """All at once, one by one, and two: none is refused, and none shows less than nothing."""
    for job in (".+", *map(chosen, (ORDINARY, FRESH, DESERTED, FAILING)), chosen(ORDINARY, FRESH)):
        for board in committed:
            for one in asked(board, job=job):
                shown = odd.at(one.expr, LATE_S)
                assert [value for value in shown.values() if value < 0] == [], (job, one)


def test_shares_and_figures_by_process_are_of_each_service(
    committed: list[Json], odd: Prometheus
) -> None:
    """Two services that call themselves the same instance are not mixed with one another's limits."""
    one_alone = figures(committed[2], odd, LATE_S, job=chosen(ORDINARY))
    assert figures(committed[2], odd, LATE_S, job=chosen(ORDINARY, FRESH)) == {
        **one_alone,
        "Thread queue": 2 * one_alone["Thread queue"],
    }


def test_names_are_asked_for_as_they_are(committed: list[Json], odd: Prometheus) -> None:
    """A job, a route and a model whose names are full of signs: found, and nothing else with them."""
    names = {
        "job": chosen(ORDINARY),
        "route": chosen(SPECIAL[history.CHAT]),
        "model": chosen(SPECIAL[history.MODEL]),
    }
    for board in committed:
        for one in asked(board, job=names["job"]):
            if not odd.at(one.expr, LATE_S):
                continue
            named = next(each for each in asked(board, **names) if place(each) == place(one))
            shown = {dict(labels).get("route") for labels in odd.at(named.expr, LATE_S)}
            assert shown, named
            assert shown <= {None, SPECIAL[history.CHAT]}
    offered = {
        name: odd.get(f"label/{label}/values", **{"match[]": series}, start=SOON_S, end=LATE_S)
        for name, series, label in choices(committed[1], filled(**names))
    }
    assert offered["job"] == sorted([ORDINARY, FRESH, DESERTED, FAILING])
    assert offered["model"] == [SPECIAL[history.MODEL]]
