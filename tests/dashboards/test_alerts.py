"""Alerts fire when the boards turn red, say so in words that can be read, and not before."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import history
import pytest
import yaml
from prometheus_server import needs_prometheus

import lint
import promql
import thresholds
from agentscope import conventions as c
from alerts.alert import RUNBOOK, Alert
from alerts.files import rule_files
from alerts.recorded import RECORDED
from alerts.watched import ALERTS

ROOT = Path(__file__).resolve().parents[2]

AT_M = 16
"""When a case is looked at, in minutes: every window is full, every alert has lasted."""

MODEL = 'job="<job>",instance="a:1",provider="openai",model="m"'
QUOTA = f'{MODEL},dimension="requests"'
ONE = 'job="<job>",instance="a:1"'
POOL = f'{ONE},db_client_connection_pool_name="orders"'
SINK = f'{ONE},signal="spans",sink="otlp"'

Inputs = dict[str, str]
"""Series, each with its values minute by minute, in promtool's notation.

``<job>`` stands for a job of the case's own, so that one run of promtool takes all of them.
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in rule_files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def promtool(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(rules: Path, *tests: dict[str, Any]) -> None:
    """All of them in one run of promtool: most of its time is its start."""
    file = {"rule_files": list(rule_files()), "evaluation_interval": "1m", "tests": list(tests)}
    (rules / "test.yml").write_text(yaml.safe_dump(file))
    promtool("test", "rules", "test.yml", cwd=rules)


def steady(value: float) -> str:
    """The same gauge for an hour."""
    return f"{value:g}x60"


def growing(per_second: float) -> str:
    """A counter that has gone up every minute for an hour."""
    return f"0+{60 * per_second:g}x60"


def gauge(metric: c.Metric, value: float, labels: str = ONE) -> Inputs:
    return {f"{metric.prometheus_name}{{{labels}}}": steady(value)}


def counter(metric: c.Metric, per_second: float, labels: str = ONE, part: str = "") -> Inputs:
    return {f"{metric.prometheus_name}{part}{{{labels}}}": growing(per_second)}


def turns(slower_than_25_6: float, per_second: float = 1.0) -> Inputs:
    """That share of the turns takes from 25.6 to 51.2 s, the others less than 0.1."""
    labels = f'{ONE},route="/r",status="200"'
    quick = (1 - slower_than_25_6) * per_second
    return counter(c.TURN_DURATION, per_second, labels, "_count") | {
        f'{c.TURN_DURATION.prometheus_name}_bucket{{{labels},le="{bound}"}}': growing(rate)
        for bound, rate in (
            ("0.1", quick), ("25.6", quick), ("51.2", per_second), ("+Inf", per_second),
        )
    }  # fmt: skip


def failing(share: float, per_second: float = 1.0) -> Inputs:
    labels = f'{ONE},route="/r",status="200"'
    failed = counter(c.ERRORS, share * per_second, f'{ONE},error_type="ValueError"')
    return counter(c.TURN_DURATION, per_second, labels, "_count") | failed


def calls(attempts_per_call: float, per_second: float = 2.0) -> Inputs:
    model = f'{ONE},gen_ai_request_model="m"'
    attempts = counter(
        c.LLM_ATTEMPTS, per_second * attempts_per_call, f'{MODEL},status_class="2xx"'
    )
    return counter(c.OPERATION_DURATION, per_second, model, "_count") | attempts


def quota(remaining: str, attempts: str = growing(1)) -> Inputs:
    return {
        f"{c.RATELIMIT_REMAINING.prometheus_name}{{{QUOTA}}}": remaining,
        f"{c.RATELIMIT_LIMIT.prometheus_name}{{{QUOTA}}}": steady(100_000),
        f"{c.LLM_ATTEMPTS.prometheus_name}{{{MODEL}}}": attempts,
    }


def pool(used: float) -> Inputs:
    state = f'{POOL},db_client_connection_state="used"'
    return gauge(c.DB_CONNECTION_COUNT, used, state) | gauge(c.DB_CONNECTION_MAX, 10, POOL)


def delays(late: float) -> Inputs:
    """Timers of the loop: that share of them from 0.25 to 0.5 s late."""
    name = f"{c.LOOP_DELAY.prometheus_name}_bucket{{{ONE}"
    return {
        f'{name},le="0.001"}}': growing(20 * (1 - late)),
        f'{name},le="0.25"}}': growing(20 * (1 - late)),
        f'{name},le="0.5"}}': growing(20),
        f'{name},le="+Inf"}}': growing(20),
    }


def workers(number: int) -> Inputs:
    return gauge(c.PROCESSES, number)


def scraped(up: str, there: str, instance: str = "a:1") -> Inputs:
    """What Prometheus says of an instance, and what the instance says."""
    labels = f'job="<job>",instance="{instance}"'
    told = {f"up{{{labels}}}": up, f"{c.TURNS_ACTIVE.prometheus_name}{{{labels}}}": there}
    return {series: values for series, values in told.items() if values}


DIES = "1x10 0x50", "3x10 _x50"
"""Up, then not; its figures end with it."""


@dataclass
class Case:
    """An alert: what makes it critical, and what it then says; days on which all keep silent."""

    bad: Inputs
    labels: dict[str, str]
    summary: str
    good: dict[str, Inputs] = field(default_factory=dict)


INSTANCE = {"job": "<job>", "instance": "a:1"}
OF_MODEL = {"job": "<job>", "provider": "openai", "model": "m"}

CASES = {
    "AgentUnreachable": Case(
        scraped(*DIES), {"job": "<job>"}, "<job>: 100% of its instances do not answer",
        {
            "all answer": scraped("1x60", "3x60") | scraped("1x60", "3x60", "a:2"),
            "one of two was taken away": scraped("1x60", "3x60")
            | scraped("1x10 _x50", "3x10 _x50", "a:2"),
            "somebody else's job is down": scraped("0x60", "") | scraped("1x60", "3x60", "a:2"),
            "pushed, not scraped": scraped("", "3x60"),
        },
    ),
    "AgentTurnsSlow": Case(
        turns(0.10), {"job": "<job>"}, "<job>: one turn in twenty takes more than 38.4s",
        {"quick": turns(0.0), "a slow turn at night": turns(1.0, 0.01)},
    ),
    "AgentTurnsFail": Case(
        failing(0.06), {"job": "<job>"}, "<job>: 6% of turns fail",
        {"few": failing(0.005), "one turn at night": failing(1.0, 0.01)},
    ),
    "ModelQuotaNearlyUsedUp": Case(
        quota(steady(5_000)), OF_MODEL | {"dimension": "requests"}, "openai m: 5% of requests left",
        {
            "half of it left": quota(steady(50_000)),
            "nobody has called since": quota(steady(5_000), attempts=steady(100)),
        },
    ),
    "ModelQuotaExhaustsSoon": Case(
        quota("97000x10 81000-16000x5 1000x10"),
        OF_MODEL | {"dimension": "requests"}, "openai m: requests used up in 3.75s",
        {
            "slowly": quota("50000-10x60"),
            "a burst into a full one": quota("100000x14 95000 85000x40"),
        },
    ),
    "ModelCallsRetried": Case(
        calls(1.5), {"job": "<job>"}, "<job>: 50% more attempts than calls",
        {"few": calls(1.01), "one call at night": calls(2.0, 0.01)},
    ),
    "ModelCallersAsleep": Case(
        counter(c.LLM_BACKOFF, 7.5, f'{MODEL},reason="rate_limit"'), OF_MODEL,
        "openai m: 7.5 calls sleep between attempts",
        {"less than one": counter(c.LLM_BACKOFF, 0.5, f'{MODEL},reason="rate_limit"')},
    ),
    "EventLoopLate": Case(
        delays(0.10), INSTANCE, "<job> a:1: the event loop is 475ms late (p99)",
        {"a blip": delays(0.001)},
    ),
    "CollectorStopsProcess": Case(
        counter(c.GC_PAUSE, 0.4, f'{ONE},generation="2"', "_sum") | workers(2), INSTANCE,
        "<job> a:1: stopped 20% of the time to collect garbage",
        {"each of many a little":
            counter(c.GC_PAUSE, 0.08, f'{ONE},generation="2"', "_sum") | workers(8)},
    ),
    "ProcessorBusy": Case(
        counter(c.CPU_TIME, 1.9, f'{ONE},cpu_mode="user"') | workers(2), INSTANCE,
        "<job> a:1: 0.95 cores a process, of the one that Python can use",
        {"each of many a little": counter(c.CPU_TIME, 1.2, f'{ONE},cpu_mode="user"') | workers(4)},
    ),
    "ContainerThrottled": Case(
        counter(c.CGROUP_THROTTLED_TIME, 0.25), INSTANCE,
        "<job> a:1: 25% of a processor refused by the quota",
        {"hardly": counter(c.CGROUP_THROTTLED_TIME, 0.001)},
    ),
    "MemoryNearlyFull": Case(
        gauge(c.MEMORY_USAGE, 950) | gauge(c.CGROUP_MEMORY_LIMIT, 1000) | gauge(c.HOST_MEMORY, 9e9),
        INSTANCE, "<job> a:1: 95% of its memory is used",
        {"no limit but the host's": gauge(c.MEMORY_USAGE, 950) | gauge(c.HOST_MEMORY, 9e9)},
    ),
    "DescriptorsNearlyUsedUp": Case(
        gauge(c.FD_COUNT, 1000) | gauge(c.FD_LIMIT, 1024), INSTANCE,
        "<job> a:1: 97.66% of its file descriptors are open",
        {
            "few": gauge(c.FD_COUNT, 100) | gauge(c.FD_LIMIT, 1024),
            "no limit": gauge(c.FD_COUNT, 1e6),
        },
    ),
    "DatabasePoolFull": Case(
        pool(10), INSTANCE | {"db_client_connection_pool_name": "orders"},
        "<job> a:1: 100% of orders in use", {"some free": pool(7)},
    ),
    "CallsWaitForThreads": Case(
        gauge(c.THREADPOOL_WAITING, 11, f'{ONE},limiter="anyio"'),
        {"job": "<job>", "limiter": "anyio"}, "<job>: 11 calls wait for a worker thread",
        {"one": gauge(c.THREADPOOL_WAITING, 1, f'{ONE},limiter="anyio"')},
    ),
    "RecordsGivenUp": Case(
        counter(c.SDK_CREATED, 10, SINK) | counter(c.SDK_DROPPED, 1, f'{SINK},reason="queue_full"'),
        {"job": "<job>", "signal": "spans", "sink": "otlp"},
        "<job>: 10% of spans for otlp are lost",
        {"sampled out": counter(c.SDK_CREATED, 10, SINK)
            | counter(c.SDK_DROPPED, 9, f'{SINK},reason="not_sampled"')},
    ),
}  # fmt: skip
"""Every alert, by name."""


def fill(inputs: Inputs, job: str) -> Inputs:
    return {series.replace("<job>", job): values for series, values in inputs.items()}


def looked_at(inputs: Inputs, *moments: tuple[str, dict[tuple[str, str], int]]) -> dict[str, Any]:
    """At each of the moments these alerts fire, each in so many series of a job, and no others."""
    expr = 'count by (job, alertname) (ALERTS{alertstate="firing"})'
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": told} for series, told in inputs.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": at,
                "exp_samples": [
                    {"labels": f'{{alertname="{name}",job="{job}"}}', "value": count}
                    for (job, name), count in firing.items()
                ],
            }
            for at, firing in moments
        ],
    }


def said(alert: Alert, case: Case, job: str) -> dict[str, Any]:
    """The alert fires, warning and critical, with these labels and in these words."""
    words = {
        "summary": case.summary.replace("<job>", job),
        "description": alert.description,
        "runbook_url": f"{RUNBOOK}#{alert.anchor}",
    }
    both = [
        {"exp_labels": {"severity": severity, **case.labels, "job": job}, "exp_annotations": words}
        for severity in ("critical", "warning")
    ]
    return {"eval_time": f"{AT_M}m", "alertname": alert.name, "exp_alerts": both}


@needs_prometheus
def test_prometheus_takes_the_rules(rules: Path) -> None:
    """Every rule is one that it can load."""
    told = promtool("check", "rules", *rule_files(), cwd=rules)
    assert f"{len(RECORDED)} rules found" in told
    assert f"{2 * len(ALERTS)} rules found" in told


def test_every_alert_has_a_case_and_a_day_of_silence() -> None:
    """None goes untested."""
    assert set(CASES) == {alert.name for alert in ALERTS}
    assert [name for name, case in CASES.items() if not case.good] == []


@needs_prometheus
def test_an_alert_fires_when_the_board_is_red_and_says_so(rules: Path) -> None:
    """Both severities after their time, with their labels and in words; and nothing else.

    Nor does anything for what is ordinary, rare, or meant.
    """
    inputs: Inputs = {}
    firing: dict[tuple[str, str], int] = {}
    for name, case in CASES.items():
        inputs |= fill(case.bad, name)
        firing[name, name] = 2
        for day, series in case.good.items():
            inputs |= fill(series, f"{name}, {day}")
    words = [said(alert, CASES[alert.name], alert.name) for alert in ALERTS]
    check(rules, looked_at(inputs, (f"{AT_M}m", firing)) | {"alert_rule_test": words})


@needs_prometheus
def test_an_instance_that_is_gone_is_told_however_it_went(rules: Path) -> None:
    """One of two is a warning; a job that vanished with all that was scraped of it, critical."""
    one_of_two = scraped("1x60", "3x60") | scraped(*DIES, "a:2")
    vanished = scraped("1x10 _x50", "3x10 _x50")
    no_longer_pushed = scraped("", "3x10 _x50")
    inputs = (
        fill(one_of_two, "one of two") | fill(vanished, "all") | fill(no_longer_pushed, "pushed")
    )
    name = "AgentUnreachable"
    firing = {("one of two", name): 1, ("all", name): 2, ("pushed", name): 2}
    check(rules, looked_at(inputs, ("25m", firing)))


@needs_prometheus
def test_the_history_sets_off_every_alert_and_then_none(rules: Path) -> None:
    """All series at once: calm, half an hour in which everything goes wrong, calm again."""
    asked = {name for expr in expressions() for name in series_of(expr)}
    inputs = {
        f"{name}{written(labels)}": " ".join(f"{value:.9g}" for value in values)
        for series in history.history()
        for name, labels, values in history.samples(series)
        if name in asked
    }
    for instance in history.INSTANCES:
        labels = {"job": history.JOB, "instance": instance}
        inputs[f"up{written(labels)}"] = f"1x{history.LENGTH_S // history.STEP_S}"
    in_trouble = {(history.JOB, name): 2 * times for name, times in IN_TROUBLE.items()}
    moments: tuple[tuple[int, dict[tuple[str, str], int]], ...] = (
        (history.CALM_S, {}), (history.TROUBLE_S, in_trouble), (history.AFTER_S, {}),
    )  # fmt: skip
    told = [(f"{moment_s - history.START_S}s", firing) for moment_s, firing in moments]
    check(rules, looked_at(inputs, *told))


INSTANCES, DIMENSIONS = len(history.INSTANCES), 4

IN_TROUBLE = {
    "AgentTurnsSlow": 1, "AgentTurnsFail": 1, "ModelQuotaNearlyUsedUp": DIMENSIONS,
    "ModelQuotaExhaustsSoon": DIMENSIONS, "ModelCallsRetried": 1, "ModelCallersAsleep": 1,
    "EventLoopLate": INSTANCES, "CollectorStopsProcess": INSTANCES, "ProcessorBusy": INSTANCES,
    "ContainerThrottled": INSTANCES, "MemoryNearlyFull": INSTANCES,
    "DescriptorsNearlyUsedUp": INSTANCES, "DatabasePoolFull": INSTANCES,
    "CallsWaitForThreads": 1, "RecordsGivenUp": 1,
}  # fmt: skip
"""How many subjects each alert has in the history: both its severities fire for each."""


def written(labels: Any) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def expressions() -> list[str]:
    return [*RECORDED.values(), *(rule["expr"] for alert in ALERTS for rule in alert.rules())]


def series_of(expr: str) -> set[str]:
    tree = promql.parse(expr, frozenset())
    return {selector.name for selector, _ in promql.selectors(tree)}


def test_every_red_level_of_a_board_is_watched() -> None:
    """One constant for panel and alert; a level that only colours a panel is a promise not kept."""
    levels = {
        name: one for name, one in vars(thresholds).items() if isinstance(one, thresholds.Levels)
    }
    watched = {id(alert.levels) for alert in ALERTS}
    unwatched = {name for name, one in levels.items() if id(one) not in watched}
    assert unwatched == {"THROUGHPUT_LEFT"}  # of a load run, which somebody looks at


def test_the_runbook_has_a_section_for_every_alert_in_their_order() -> None:
    """The address in an alert leads somewhere."""
    text = (ROOT / "dashboards" / "RUNBOOK.md").read_text(encoding="utf-8")
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert sections == [alert.name for alert in ALERTS]


def test_alerts_and_rules_ask_for_series_that_the_recorder_writes() -> None:
    """By the vocabulary, or of Prometheus itself: a name that nobody emits would never fire."""
    known = {*lint.SERIES, *RECORDED, "up"}
    assert {name for expr in expressions() for name in series_of(expr)} - known == set()
