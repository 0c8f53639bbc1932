"""Services that others instrument: real recordings, held against what the service itself counted.

``record_foreign.py`` makes them; ``data/<producer>.truth.json`` is the service's own count.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.document import Report
from agentscope_analyzer.report import analyze_run

DATA = Path(__file__).parent / "data"
PRODUCERS = ("genai", "openllmetry", "openinference", "logfire")
KNOW_FIRST_CHUNKS = ("openllmetry", "openinference", "logfire")


def truth_of(producer: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{producer}.truth.json").read_text())
    return found


def report_on(name: str) -> Report:
    return analyze_run(DATA / f"{name}.jsonl.gz")


def seconds_of(report: Report, *causes: str) -> float:
    found = report.attribution.causes
    return sum(found[cause].seconds for cause in causes if cause in found)


@pytest.fixture(scope="module", params=PRODUCERS)
def recorded(request: pytest.FixtureRequest) -> tuple[str, Report, dict[str, Any]]:
    return request.param, report_on(request.param), truth_of(request.param)


def test_turns_calls_and_tokens_are_those_of_the_service(
    recorded: tuple[str, Report, dict[str, Any]],
) -> None:
    """No turn, call or token more or less than there was, whoever recorded it."""
    _, report, truth = recorded
    told = (
        report.run.turns,
        report.llm.calls,
        report.llm.tokens["input"],
        report.llm.tokens["output"],
    )
    assert told == (truth["turns"], truth["calls"], truth["input_tokens"], truth["output_tokens"])
    assert report.llm.tokens["calls_without_usage"] == 0
    assert report.run.rejected == {}


def test_a_turns_time_goes_where_the_service_spent_it(
    recorded: tuple[str, Report, dict[str, Any]],
) -> None:
    """The models' seconds to 5 %; the tool without a span stays unexplained and is no cause."""
    _, report, truth = recorded
    model_s = seconds_of(report, "llm.first_token", "llm.generation")
    assert model_s == pytest.approx(truth["model_s"], rel=0.05)
    assert seconds_of(report, "unattributed") >= truth["tool_s"]
    assert set(report.attribution.causes) <= {"llm.first_token", "llm.generation", "unattributed"}
    assert report.attribution.seconds <= truth["turn_s"]


def test_first_tokens_are_told_where_somebody_recorded_them(
    recorded: tuple[str, Report, dict[str, Any]],
) -> None:
    """Every other call streams; of OpenTelemetry's own spans nobody knows, and nothing is said."""
    producer, report, truth = recorded
    generation_s = seconds_of(report, "llm.generation")
    firsts = [row["ttft_p50_s"] for row in report.llm.by_model if row["ttft_p50_s"] is not None]
    if producer in KNOW_FIRST_CHUNKS:
        assert generation_s == pytest.approx(truth["generation_s"], rel=0.1)
        assert min(firsts) >= 0.06  # what the mock takes for it
    else:
        assert (firsts, generation_s) == ([], 0)


def test_retries_within_a_call_are_not_denied(
    recorded: tuple[str, Report, dict[str, Any]],
) -> None:
    """A quarter of the turns slept off a 429 that no span shows: unknown is said, never none."""
    _, report, truth = recorded
    assert truth["refused_attempts"] == 8
    assert (report.llm.attempts, report.llm.retries_hidden, report.llm.rate_limited) == (None,) * 3
    (attempts,) = [check for check in report.validity if check.check == "attempts"]
    assert attempts.status == "warn"
    assert attempts.detail.startswith("64 of 64 model calls show no HTTP attempt")
    ruled_out = {finding.cause for finding in report.findings if finding.kind == "ruled_out"}
    assert ruled_out.isdisjoint({"llm.rate_limit", "llm.retry", "runtime.event_loop", "db.query"})


def test_sessions_are_known_only_where_they_are_named() -> None:
    """OpenInference's users name them; of the others none is made up."""
    sessions = {producer: report_on(producer).run.sessions for producer in PRODUCERS}
    assert sessions == {"genai": None, "openllmetry": None, "openinference": 8, "logfire": None}


def test_without_a_span_of_a_model_no_request_is_called_a_turn() -> None:
    """FastAPI's spans alone do not tell a turn from a health check: the verdict is withheld."""
    report = report_on("fastapi")
    assert (report.run.turns, report.verdict.confidence) == (0, "withheld")
    assert report.run.spans == 152
    assert report.attribution.causes == {}


def test_recordings_name_no_host_and_no_process() -> None:
    """They are public: what could tell where they were made was taken out."""
    import gzip

    for file in DATA.rglob("*.jsonl.gz"):
        text = gzip.decompress(file.read_bytes()).decode()
        for private in (
            "host.name",
            "process.pid",
            "code.filepath",
            "service.instance.id",
            "/home",
            "/root",
            "/work",
        ):
            assert f'"{private}' not in text, (file.name, private)
    assert sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file()) < 200_000
