"""What Locust and k6 wrote beside a run, read as what they saw and held against the turns."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.ingest import open_run
from agentscope_analyzer.report import analyze_run

DATA = Path(__file__).parent / "data"
T0 = datetime(2026, 9, 21, 14, 0, tzinfo=UTC)


@pytest.fixture
def locust_run(tmp_path: Path) -> Path:
    """A real run that Locust loaded, with the tables that Locust wrote."""
    return Path(shutil.copytree(DATA / "locust", tmp_path / "run"))


def table(run: Path, name: str) -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def name_of(row: dict[str, str]) -> str:
    return "" if row["Name"] == "Aggregated" else f"{row['Type']} {row['Name']}"


def test_locusts_tables_are_read_as_it_wrote_them(locust_run: Path) -> None:
    """Milliseconds become seconds, N/A is unknown, the row over all requests has no name."""
    with open_run(locust_run, cache=False) as run:
        history = run.engine.rows(
            "SELECT at_s, users, name, p95_s, requests, failures FROM load_history ORDER BY at_s, name"
        )
        totals = run.engine.rows(
            "SELECT name, requests, failures, p50_s FROM load_totals WHERE error IS NULL ORDER BY name"
        )
        failures = run.engine.rows(
            "SELECT name, error, failures FROM load_totals WHERE error IS NOT NULL"
        )
        assert run.rejected == {}
    seconds = [
        (
            float(row["Timestamp"]),
            int(row["User Count"]),
            name_of(row),
            None if row["95%"] == "N/A" else int(row["95%"]) / 1000,
            int(row["Total Request Count"]),
            int(row["Total Failure Count"]),
        )
        for row in table(locust_run, "run_stats_history.csv")
    ]
    assert history == sorted(seconds, key=lambda row: (row[0], row[2]))
    assert None in {row[3] for row in history}
    assert {row[2] for row in history} == {"", "GET /health", "POST /chat"}
    assert totals == sorted(
        (name_of(row), int(row["Request Count"]), int(row["Failure Count"]), int(row["50%"]) / 1000)
        for row in table(locust_run, "run_stats.csv")
    )
    assert failures == [
        (f"{row['Method']} {row['Name']}", row["Error"], int(row["Occurrences"]))
        for row in table(locust_run, "run_failures.csv")
    ]


def test_locusts_users_are_the_stages_of_the_load(locust_run: Path) -> None:
    """The second with all users on is the ramp's end; whoever counts users says so in a manifest."""
    with open_run(locust_run, cache=False) as run:
        load = run.manifest["load"]
    assert load is not None
    assert (load["users"], load["generator"]) == (6, "locust")
    assert [stage["name"] for stage in load["stages"]][-1] == "6 users"
    assert {stage["users"] for stage in load["stages"] if stage["name"] == "ramp"} <= set(range(6))


def test_requests_are_reconciled_with_the_turns_by_their_path(locust_run: Path) -> None:
    """A tenth broke before any model was asked: by their route they are turns, too, and failed."""
    (asked,) = [row for row in table(locust_run, "run_stats.csv") if row["Name"] == "/chat"]
    requests, failed = int(asked["Request Count"]), int(asked["Failure Count"])
    report = analyze_run(locust_run)
    (check,) = [check for check in report.validity if check.check == "load_generator"]
    assert check.status == "warn"
    assert check.value == pytest.approx(report.run.turns / requests)
    assert check.detail.startswith(
        f"Locust: {requests} requests of POST /chat, {failed} failed (p50 "
    )
    assert check.detail.endswith(f"failures: LocustBadStatusCode(code=500) {failed}")
    assert report.turns.error_rate == pytest.approx(failed / report.run.turns)


def test_files_of_another_run_are_not_used(locust_run: Path) -> None:
    """A table from another hour beside the traces: said, and no share is made of it."""
    history = locust_run / "run_stats_history.csv"
    head, *rows = history.read_text().splitlines()
    moved = [f"{int(row.split(',')[0]) - 7200},{row.partition(',')[2]}" for row in rows]
    history.write_text("\n".join([head, *moved]))
    (check,) = [
        check for check in analyze_run(locust_run).validity if check.check == "load_generator"
    ]
    assert (check.status, check.value) == ("warn", None)
    assert check.detail == "Locust's files are of another time than the turns: not used"


def test_bad_rows_are_counted_and_the_others_stand(tmp_path: Path) -> None:
    """Text where a number belongs, a row cut short, infinity: each is one bad row."""
    head = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,Total Request Count,Total Failure Count"
    rows = [
        "1790000000,5,,Aggregated,1.5,0,N/A,N/A,3,0",
        "1790000001,five,,Aggregated,1.5,0,20,30,3,0",
        "1790000002,5,,Aggr",
        "1790000003,5,,Aggregated,inf,0,20,30,3,0",
        "1790000004,5,,Aggregated,1.5,0,20,30,-3,0",
        "-1,5,,Aggregated,1.5,0,20,30,3,0",
        '1790000006,6,POST,"/chat, with comma",2,0,20,30,7,1',
    ]
    (tmp_path / "x_stats_history.csv").write_text("\r\n".join([head, *rows]))
    (tmp_path / "spans.json").write_bytes(gzip.decompress((DATA / "genai.jsonl.gz").read_bytes()))
    with open_run(tmp_path) as run:
        assert run.rejected == {"bad_row": 5}
        assert run.read["generator_rows"] == 7
        assert not run.damaged
        assert run.engine.rows("SELECT name, users, p95_s, requests FROM load_history") == [
            ("", 5, None, 3),
            ("POST /chat, with comma", 6, 0.03, 7),
        ]


def k6_point(metric: str, at: datetime, value: float, **tags: str) -> str:
    """A line as k6 documents it; times of its nine digits."""
    time = at.strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
    data = {"time": time, "value": value, "tags": tags or None}
    return json.dumps({"metric": metric, "type": "Point", "data": data})


def k6_request(at: datetime, duration_ms: float, **tags: str) -> list[str]:
    """All points of one request, in k6's order; it waited for all but 3 ms."""
    failed = float(tags["status"] in ("0", "500"))
    return [
        k6_point(metric, at, value, **tags)
        for metric, value in (
            ("http_reqs", 1),
            ("http_req_duration", duration_ms),
            ("http_req_blocked", 9.0),
            ("http_req_sending", 1.0),
            ("http_req_waiting", duration_ms - 3),
            ("http_req_receiving", 2.0),
            ("http_req_failed", failed),
        )
    ]


def k6_lines() -> list[str]:
    """k6 was not run here: these are its documented lines, two requests and its users."""
    tags = {"method": "POST", "name": "http://127.0.0.1:8000/chat", "scenario": "steady"}
    answered = {
        **tags,
        "status": "200",
        "trace_id": f"{5:032x}",
        "turn": "2",
        "session": "s1",
        "vu": "3",
    }
    broken = {**tags, "status": "0", "error": "request timeout", "error_code": "1050"}
    declared = {
        "type": "Metric",
        "data": {"name": "http_req_duration", "type": "trend"},
        "metric": "http_req_duration",
    }
    return [
        json.dumps(declared),
        *k6_request(T0 + timedelta(seconds=2), 500.0, **answered),
        k6_point("vus", T0 + timedelta(seconds=1), 4),
        k6_point("dropped_iterations", T0 + timedelta(seconds=1), 2),
        *k6_request(T0 + timedelta(seconds=3), 250.0, **broken),
        k6_point("checks", T0, 1, check="status is 200"),
    ]


def test_k6s_points_become_one_request_each(tmp_path: Path) -> None:
    """Start is the point's time less the duration; tags carry trace, session, turn and user."""
    (tmp_path / "out.json").write_text(
        "\n".join([*k6_lines(), '{"type":"Point","metric":"http_req_duration"'])
    )
    (tmp_path / "spans.jsonl.gz").write_bytes((DATA / "genai.jsonl.gz").read_bytes())
    with open_run(tmp_path) as run:
        requests = run.engine.query("SELECT * EXCLUDE (file) FROM load ORDER BY t_start")
        assert run.engine.rows("SELECT users, dropped FROM load_history") == [(4, 2)]
        assert run.rejected == {"bad_row": 1}
    unknown = {"t_intended": None, "bytes": None}
    start = T0.timestamp()
    assert requests == [
        unknown | {"t_start": start + 1.5, "duration_s": 0.5, "first_byte_s": 0.498,
         "name": "POST http://127.0.0.1:8000/chat", "session": "s1", "turn": 2, "status": 200,
         "error": None, "trace_id": f"{5:032x}", "user": "3", "stage": "steady"},
        unknown | {"t_start": start + 2.75, "duration_s": 0.25, "first_byte_s": 0.248,
         "name": "POST http://127.0.0.1:8000/chat", "session": None, "turn": None, "status": None,
         "error": "request timeout", "trace_id": None, "user": None, "stage": "steady"},
    ]  # fmt: skip


@pytest.mark.parametrize("nested", [False, True], ids=["summary-export", "handleSummary"])
def test_k6s_summary_is_held_against_the_turns(tmp_path: Path, nested: bool) -> None:
    """Both of k6's summaries: 40 requests against 32 turns, and two that were never sent."""
    figures: dict[str, dict[str, Any]] = {
        "http_reqs": {"count": 40, "rate": 8.5},
        "http_req_duration": {"med": 210.5, "p(95)": 520.0, "avg": 260.0},
        "http_req_failed": {"passes": 4, "fails": 36, "rate" if nested else "value": 0.1},
        "dropped_iterations": {"count": 2, "rate": 0.4},
    }
    metrics = {name: {"type": "x", "values": of} if nested else of for name, of in figures.items()}
    (tmp_path / "summary.json").write_text(
        json.dumps({"root_group": {}, "metrics": metrics}, indent=2)
    )
    (tmp_path / "spans.jsonl.gz").write_bytes((DATA / "genai.jsonl.gz").read_bytes())
    (check,) = [
        check for check in analyze_run(tmp_path).validity if check.check == "load_generator"
    ]
    assert (check.status, check.value) == ("warn", 0.8)
    assert check.detail == (
        "k6: 40 requests, 4 failed (p50 210 ms, p95 520 ms); which of them are turns it does not say; "
        "32 recorded; 2 due and never sent: it could not keep up; 10 % failed there, 0 % of the turns"
    )


def test_a_generators_output_alone_is_no_run(tmp_path: Path) -> None:
    """Without the service's traces there is nothing to analyse, and the line says what is missing."""
    from agentscope_analyzer.ingest import IngestError

    (tmp_path / "out.json").write_text("\n".join(k6_lines()))
    with pytest.raises(IngestError, match="what a load generator saw: name the folder with"):
        open_run(tmp_path)
