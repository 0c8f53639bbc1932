"""The JSON report has every key of schema agentscope.report/1, whatever the run."""

import json
from pathlib import Path
from typing import Any

from agentscope_analyzer.reporters import json as json_reporter

KEYS = {
    "run": "id started ended duration_s turns sessions spans instances rejected complete",
    "turns": "p50_s p90_s p95_s p99_s max_s error_rate per_second ttfb_p50_s ttfb_p95_s",
    "attribution": "seconds groups causes",
    "tail": (
        "slow_turns middle_turns slow_s middle_s difference_s shape_s slow_calls middle_calls "
        "causes statement"
    ),
    "growth": (
        "least_turns most_turns least_in_flight most_in_flight least_s most_s change_s low_s "
        "high_s causes statement"
    ),
    "verdict": "group cause share statement confidence",
    "llm": (
        "calls calls_per_turn attempts retries_hidden rate_limited backoff_s tokens by_model "
        "cost_usd prices"
    ),
    "memory": (
        "base_bytes bytes_per_live_session live_low live_high bytes_per_ended_session low high leak limit_bytes "
        "time_to_limit_s bytes_per_turn turn_low turn_high turns_freed basis"
    ),
    "margin": "first second times statement untold",
    "scalability": (
        "model gamma alpha alpha_low alpha_high beta beta_low beta_high aicc peak_sessions "
        "peak_low peak_high peak_turns_per_s knee_sessions knee_low knee_high knee "
        "largest_sessions valid_to_sessions loads statement"
    ),
}
ROWS = {
    "validity": "check status detail value",
    "findings": "kind cause statement evidence traces",
    "ceilings": (
        "resource dimension limit unit demand_per_session sessions low high reached binding basis "
        "censored relief"
    ),
}


def told(story: Any) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(json_reporter.dumps(story.report()))
    return report


def test_every_key_is_there(story: Any) -> None:
    """Readers of the JSON never have to ask whether a key exists."""
    for i in range(40):
        trace = story.turn(f"s{i % 4}", i * 2.0, ("llm.rate_limit", 1.0), ("llm.first_token", 1.0))
        story.call(trace, i * 2.0, 429, 200)
    report = told(story)
    sections = {name: " ".join(report[name]) for name in KEYS}
    rows = {name: {" ".join(row) for row in report[name]} for name in ROWS}
    assert list(report) == [
        "schema",
        "run",
        "validity",
        "turns",
        "attribution",
        "tail",
        "growth",
        "verdict",
        "findings",
        "ceilings",
        "margin",
        "llm",
        "memory",
        "scalability",
        "exemplar",
        "questions",
    ]
    assert report["schema"] == "agentscope.report/1"
    assert sections == KEYS
    assert rows == {name: {keys} for name, keys in ROWS.items()}
    assert report["attribution"]["groups"] == {"llm": {"seconds": 80.0, "share": 1.0}}
    assert report["attribution"]["causes"]["llm.rate_limit"] == {
        "seconds": 40.0,
        "share": 0.5,
        "low": None,
        "high": None,
        "p95_share": 0.5,
        "share_low": None,
        "share_high": None,
        "p95_share_low": None,
        "p95_share_high": None,
    }
    evidence = {" ".join(row) for finding in report["findings"] for row in finding["evidence"]}
    assert evidence == {"name value unit limit question"}


def test_what_is_unknown_is_null(story: Any) -> None:
    """A run without turns has no quantiles, rates or memory; nothing of it is 0."""
    report = told(story)
    assert set(report["turns"].values()) == {None}
    assert set(report["memory"].values()) == {None}
    assert (report["run"]["started"], report["run"]["sessions"], report["ceilings"]) == (
        None,
        None,
        [],
    )


def test_hidden_retries_are_unknown_without_attempts(story: Any) -> None:
    """Where no HTTP attempt was recorded nobody knows how often a call was sent."""
    for i in range(4):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 1.0)), i * 2.0)
    report = told(story)
    llm = {name: report["llm"][name] for name in ("calls", "attempts", "retries_hidden")}
    assert llm == {"calls": 4, "attempts": None, "retries_hidden": None}


def test_long_answers_are_cut_and_said_to_be(story: Any) -> None:
    """A report carries fifty rows of a question and names what it left out."""
    for i in range(60):
        trace = story.turn("s", i * 2.0, ("db.query", 1.0))
        story.span(trace, db_system="x", db_summary=f"Q{i}", start_ns=0, end_ns=1)
    report = told(story)
    assert len(report["questions"]["database/queries"]) == 50
    assert [c["detail"] for c in report["validity"] if c["check"] == "questions"] == [
        "database/queries: the report carries 50 of 60 rows"
    ]


def test_a_file_is_replaced_whole(story: Any, tmp_path: Path) -> None:
    """Whoever reads the file while it is written sees the old report."""
    file = tmp_path / "report.json"
    file.write_text("old")
    report = story.report()
    json_reporter.write(report, file)
    assert file.read_text() == json_reporter.dumps(report) + "\n"
    assert list(tmp_path.iterdir()) == [file]
