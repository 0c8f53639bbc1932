"""Metric points and the load generator's requests become rows; bad ones are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.ingest import open_run

TIMES = {"startTimeUnixNano": "5", "timeUnixNano": "9"}
LABEL = {"attributes": [{"key": "pool", "value": {"stringValue": "main"}}]}


def metrics_line(*metrics: dict[str, Any]) -> str:
    resource = {
        "attributes": [{"key": "service.instance.id", "value": {"stringValue": "worker-1"}}]
    }
    scope = {"scopeMetrics": [{"scope": {}, "metrics": metrics}]}
    return json.dumps({"resourceMetrics": [{"resource": resource, **scope}]}) + "\n"


def gauge(**point: Any) -> dict[str, Any]:
    return {"name": "g", "unit": "s", "gauge": {"dataPoints": [{"timeUnixNano": "9", **point}]}}


def test_points_of_every_kind(tmp_path: Path) -> None:
    """Gauge, sum and histogram, with integers as text or number and enums by number or name."""
    total = {"aggregationTemporality": 2, "dataPoints": [{**TIMES, "asInt": "7"}]}
    histogram = {
        "aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
        "dataPoints": [
            {
                **TIMES,
                "count": 3,
                "sum": 1.5,
                "explicitBounds": [0.1, 1],
                "bucketCounts": ["1", 2, "0"],
            }
        ],
    }
    (tmp_path / "metrics-a.jsonl").write_text(
        metrics_line(gauge(asDouble=0.5, **LABEL), {"name": "c", "sum": total})
        + metrics_line({"name": "h", "histogram": histogram})
    )
    with open_run(tmp_path) as run:
        rows = run.engine.rows("SELECT * FROM metrics ORDER BY rowid")
        assert (run.rejected, run.read["metric_points"]) == ({}, 3)
    none = (None, None, None, None)
    assert rows == [
        ("g", "worker-1", 9, None, "gauge", None, "s", {"pool": "main"}, 0.5, *none),
        ("c", "worker-1", 9, 5, "sum", "cumulative", "", {}, 7.0, *none),
        ("h", "worker-1", 9, 5, "histogram", "delta", "", {}, None, 3, 1.5, [0.1, 1.0], [1, 2, 0]),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (gauge(), "bad_point"),
        (gauge(asDouble="NaN"), "bad_point"),
        (gauge(asDouble=1, flags=1), "bad_point"),
        (gauge(asDouble=1, timeUnixNano="0"), "bad_point"),
        (gauge(asInt=2**70), "bad_point"),
        (gauge(asInt=1, attributes=[{"key": "\ud800", "value": {"intValue": 1}}]), "bad_point"),
        ({"gauge": {"dataPoints": [{"timeUnixNano": 1, "asInt": 1}]}}, "bad_point"),
        (
            {
                "name": "h",
                "histogram": {"dataPoints": [{**TIMES, "count": 3, "bucketCounts": [2]}]},
            },
            "bad_point",
        ),
        ({"name": "e", "exponentialHistogram": {"dataPoints": [{}]}}, "unsupported_metric"),
    ],
)
def test_a_bad_point_spoils_no_other(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    """Its neighbours in the same line are rows."""
    (tmp_path / "m.jsonl").write_text(metrics_line(gauge(asInt=1), bad, gauge(asInt=2)))
    with open_run(tmp_path / "m.jsonl") as run:
        assert run.engine.rows("SELECT value FROM metrics") == [(1.0,), (2.0,)]
        assert (run.rejected, run.read["metric_points"]) == ({reason: 1}, 3)


def test_signals_may_share_a_file(tmp_path: Path) -> None:
    """The Collector's file exporter writes all pipelines into one file; logs are only counted."""
    span = {
        "traceId": f"{1:032x}", "spanId": f"{1:016x}", "startTimeUnixNano": "1", "endTimeUnixNano": "2",
    }  # fmt: skip
    traces = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) + "\n"
    logs = json.dumps({"resourceLogs": []}) + "\n"
    (tmp_path / "otel.json").write_text(traces + metrics_line(gauge(asInt=1)) + logs + traces)
    with open_run(tmp_path) as run:
        assert run.engine.rows("SELECT count(*) FROM spans") == [(1,)]
        assert run.engine.rows("SELECT count(*) FROM metrics") == [(1,)]
        assert (run.read["log_lines"], run.rejected) == (1, {"duplicate_span": 1})


def test_requests_of_the_load_generator(tmp_path: Path) -> None:
    """A request is a row with the name of its file; without start or duration it is refused."""
    whole = {
        "t_intended": 10.0, "t_start": 10.5, "duration_s": 2, "ttfb_s": 0.5, "name": "POST /m",
        "session": "s1", "turn": 3, "status": 200, "error": None, "bytes": 99,
        "trace_id": "AB" * 16, "user": 7, "stage": "ramp",
    }  # fmt: skip
    least = {"t_start": 11, "duration_s": 0.25, "trace_id": None}
    bad = [{"t_start": 11}, {**least, "duration_s": -1}, {**least, "trace_id": "x"}]
    lines = [whole, least, *bad, {"t_start": "now", "duration_s": 1}]
    (tmp_path / "load-1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with open_run(tmp_path) as run:
        rows = run.engine.rows("SELECT * FROM load ORDER BY t_start")
        assert (run.rejected, run.read["load_lines"]) == ({"bad_request": 4}, 6)
        assert run.damaged
    assert rows == [
        (10.0, 10.5, 2.0, 0.5, "POST /m", "s1", 3, 200, None, 99, "ab" * 16, "7", "ramp", "load-1.jsonl"),
        (None, 11.0, 0.25, *[None] * 10, "load-1.jsonl"),
    ]  # fmt: skip
