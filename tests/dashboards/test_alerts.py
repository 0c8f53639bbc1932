"""Alerts fire when the boards turn red, say so in words that can be read, and not before."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import history
import pytest
import yaml
from alert_cases import CASES, DIES, MODEL, ONE, POOL, QUOTA, Inputs, quota, scraped, turns
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


def check(rules: Path, *tests: dict[str, Any], every: str = "1m") -> None:
    """All of them in one run of promtool: most of its time is its start."""
    file = {"rule_files": list(rule_files()), "evaluation_interval": every, "tests": list(tests)}
    (rules / "test.yml").write_text(yaml.safe_dump(file))
    promtool("test", "rules", "test.yml", cwd=rules)


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


def said(alert: Alert) -> dict[str, Any]:
    """Wherever the alert fires: warning and critical, with these labels and in these words."""
    words = {
        job: {**case.also, job: case.summary}[alert.name].replace("<job>", job)
        for job, case in CASES.items()
        if alert.name in (job, *case.also)
    }
    both = [
        {
            "exp_labels": {"severity": severity, **CASES[job].labels, "job": job},
            "exp_annotations": {
                "summary": summary,
                "description": alert.description,
                "runbook_url": f"{RUNBOOK}#{alert.anchor}",
            },
        }
        for job, summary in words.items()
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
        firing |= {(name, alert): 2 for alert in (name, *case.also)}
        for day, series in case.good.items():
            inputs |= fill(series, f"{name}, {day}")
    words = [said(alert) for alert in ALERTS]
    check(rules, looked_at(inputs, (f"{AT_M}m", firing)) | {"alert_rule_test": words})


@needs_prometheus
def test_a_quota_of_fixed_minutes_does_not_cry_wolf(rules: Path) -> None:
    """Used up to a fifth in every minute, and full at the next: its floor is told, steadily.

    Not that it runs out: five hours of such minutes were two hundred alarms once.
    """
    draw = random.Random(1)
    told = " ".join(
        str(round(max(0, 100_000 * (1 - share) + draw.gauss(0, 2_000))))
        for _ in range(60)
        for share in (0.07, 0.31, 0.55, 0.82)
    )
    inputs = fill(quota(told, attempts="0+25x240"), "fixed minutes")
    hour = {
        "interval": "15s",
        "input_series": [
            {"series": series, "values": values.replace("x60", "x240")}
            for series, values in inputs.items()
        ],
        "promql_expr_test": [
            {
                "expr": f'count_over_time(ALERTS{{alertname="{name}", alertstate="{state}"}}[50m])',
                "eval_time": "55m",
                "exp_samples": [
                    {
                        "labels": f'{{alertname="{name}", alertstate="{state}", dimension="requests", '
                        'job="fixed minutes", model="m", provider="openai", severity="warning"}',
                        "value": count,
                    }
                ][:count],
            }
            for name, state, count in (
                ("ModelQuotaExhaustsSoon", "firing", 0),
                ("ModelQuotaNearlyUsedUp", "pending", 0),
                ("ModelQuotaNearlyUsedUp", "firing", 201),
            )
        ],
    }
    check(rules, hour, every="15s")


@needs_prometheus
def test_turns_that_take_minutes_are_told_though_few_of_them_end(rules: Path) -> None:
    """Three users whose turns took five seconds and take two minutes now: eight in five minutes."""
    in_flight = {f"{c.TURNS_ACTIVE.prometheus_name}{{{ONE}}}": "3x60"}
    inputs = fill(turns(1.0, 0.025) | in_flight, "slow")
    check(rules, looked_at(inputs, ("16m", {("slow", "AgentTurnsSlow"): 2})))


@needs_prometheus
def test_an_instance_that_is_gone_is_told_however_it_went(rules: Path) -> None:
    """One of two is a warning; a job that vanished with all that was scraped of it, critical."""
    one_of_two = scraped("1x60", "0x60") | scraped(*DIES, "a:2")
    vanished = scraped("1x10 _x50", "0x10 _x50")
    no_longer_pushed = scraped("", "0x10 _x50")
    inputs = (
        fill(one_of_two, "one of two") | fill(vanished, "all") | fill(no_longer_pushed, "pushed")
    )
    name = "AgentUnreachable"
    firing = {("one of two", name): 1, ("all", name): 2, ("pushed", name): 2}
    check(rules, looked_at(inputs, ("25m", firing)))


@needs_prometheus
def test_a_service_that_is_restarted_every_ten_minutes_is_well(rules: Path) -> None:
    """Counters begin anew and three scrapes are missed each time: nothing of it is an incident."""
    quick = f'{ONE},route="/r",status="200"'
    calls = f'{ONE},gen_ai_request_model="m",error_type=""'
    told = {
        f"up{{{ONE}}}": "1x36 0x2 ",
        f"{c.TURNS_ACTIVE.prometheus_name}{{{ONE}}}": "3x36 _x2 ",
        f"{c.PROCESSES.prometheus_name}{{{ONE}}}": "1x36 _x2 ",
        f"{c.TURN_DURATION.prometheus_name}_count{{{quick}}}": "0+30x36 _x2 ",
        f'{c.TURN_DURATION.prometheus_name}_bucket{{{quick},le="1.6"}}': "0+30x36 _x2 ",
        f'{c.TURN_DURATION.prometheus_name}_bucket{{{quick},le="+Inf"}}': "0+30x36 _x2 ",
        f"{c.OPERATION_DURATION.prometheus_name}_count{{{calls}}}": "0+60x36 _x2 ",
        f"{c.LLM_ATTEMPTS.prometheus_name}{{{MODEL}}}": "0+60x36 _x2 ",
        f"{c.RATELIMIT_REMAINING.prometheus_name}{{{QUOTA}}}": "90000 80000-5x35 _x2 ",
        f"{c.RATELIMIT_LIMIT.prometheus_name}{{{QUOTA}}}": "100000x36 _x2 ",
        f'{c.CPU_TIME.prometheus_name}{{{ONE},cpu_mode="user"}}': "8+5x36 _x2 ",
        f'{c.LOOP_DELAY.prometheus_name}_bucket{{{ONE},le="0.001"}}': "0+300x36 _x2 ",
        f'{c.LOOP_DELAY.prometheus_name}_bucket{{{ONE},le="+Inf"}}': "0+300x36 _x2 ",
        f'{c.DB_CONNECTION_COUNT.prometheus_name}{{{POOL},db_client_connection_state="used"}}':
            "0 3x35 _x2 ",
        f"{c.DB_CONNECTION_MAX.prometheus_name}{{{POOL}}}": "10x36 _x2 ",
    }  # fmt: skip
    inputs = fill({series: 6 * values for series, values in told.items()}, "restarted")
    hour = {
        "interval": "15s",
        "input_series": [{"series": series, "values": told} for series, told in inputs.items()],
        "promql_expr_test": [
            {"expr": 'count_over_time(ALERTS{alertstate="firing"}[58m])', "eval_time": "58m"}
        ],
    }
    check(rules, hour, every="15s")


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
    "AgentTurnsSlow": 1, "AgentTurnsFail": 1, "ModelCallsFail": 1,
    "ModelQuotaNearlyUsedUp": DIMENSIONS, "ModelQuotaExhaustsSoon": DIMENSIONS, "ModelCallsRetried": 1, "ModelCallersAsleep": 1,
    "EventLoopLate": INSTANCES, "CollectorStopsProcess": INSTANCES, "ProcessorBusy": INSTANCES,
    "ContainerThrottled": INSTANCES, "MemoryNearlyFull": INSTANCES,
    "DescriptorsNearlyUsedUp": INSTANCES, "DatabasePoolFull": INSTANCES,
    "CallsWaitForThreads": 1, "CallsWaitForConnections": 2, "RecordsGivenUp": 1,
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
    assert unwatched == {"SPEED_KEPT"}  # of a load run, which somebody looks at


FOR_THE_EYE = {
    "Turns answered 5xx": "turns that fail are watched, whatever their status",
    "Event-loop delay, largest": "p99 is watched: a single late timer wakes nobody",
    "Loop delay": "as above",
    "Worker threads in use": "who waits for one is watched: all may well be busy",
    "HTTP connections in use": "as above",
    "The knee: speed kept": "of a load run, which somebody looks at",
    "Speed kept": "as above",
}
"""Panels with levels of which no alert watches that figure, each with the reason."""


def test_every_panel_that_turns_red_is_watched(boards: list[Any]) -> None:
    """Some alert asks for one of its metrics, and has its levels."""
    alerts = [(asked_by_alert(alert), set(alert.levels)) for alert in ALERTS]
    unwatched = {
        panel["title"]
        for board in boards
        for panel in lint.panels(board)
        if len(levels := levels_of(panel)) > 1
        and not any(levels == theirs and asked_by(panel) & names for names, theirs in alerts)
    }
    assert unwatched <= set(FOR_THE_EYE)


def levels_of(panel: Any) -> set[float]:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return {step["value"] for step in steps if step.get("value") is not None}


def asked_by(panel: Any) -> set[str]:
    variables = frozenset({"job", "instance", "route", "model"})
    trees = [promql.parse(target["expr"], variables) for target in panel["targets"]]
    return {selector.name for tree in trees for selector, _ in promql.selectors(tree)}


def asked_by_alert(alert: Alert) -> set[str]:
    """What it asks for, and what the figures are made of that it asks for."""
    names = {name for rule in alert.rules() for name in series_of(rule["expr"])}
    return names | {name for one in names & set(RECORDED) for name in series_of(RECORDED[one])}


def test_the_runbook_has_a_section_for_every_alert_in_their_order() -> None:
    """The address in an alert leads somewhere."""
    text = (ROOT / "dashboards" / "RUNBOOK.md").read_text(encoding="utf-8")
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert sections == [alert.name for alert in ALERTS]


def test_alerts_and_rules_ask_for_series_that_the_recorder_writes() -> None:
    """By the vocabulary, or of Prometheus itself: a name that nobody emits would never fire."""
    known = {*lint.SERIES, *RECORDED, "up"}
    assert {name for expr in expressions() for name in series_of(expr)} - known == set()
