"""``agentscope analyze`` from files to exit code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.commands import main

T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000


def attribute(key: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    if isinstance(value, list):
        values = [{"stringValue": item} for item in value]
        return {"key": key, "value": {"arrayValue": {"values": values}}}
    told = str(value) if type(value) is int else value
    return {"key": key, "value": {kinds[type(value)]: told}}


def span(
    trace: int,
    number: int,
    parent: int,
    name: str,
    kind: int,
    start_ms: int,
    end_ms: int,
    **attrs: Any,
) -> dict[str, Any]:
    made = {
        "traceId": f"{trace:032x}",
        "spanId": f"{trace * 100 + number:016x}",
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(T0_NS + start_ms * MS),
        "endTimeUnixNano": str(T0_NS + end_ms * MS),
        "attributes": [attribute(key.replace("__", "."), value) for key, value in attrs.items()],
        "status": {"code": 2 if attrs.get("http__response__status_code") == 429 else 0},
    }
    return made | ({"parentSpanId": f"{trace * 100 + parent:016x}"} if parent else {})


def turn(trace: int) -> list[dict[str, Any]]:
    """Two seconds: half a second of back-off after a 429, then the answer, then the database."""
    t = trace * 2500
    limits = {
        "http__response__header__x-ratelimit-limit-requests": ["60"],
        "http__response__header__x-ratelimit-remaining-requests": ["0"],
        "http__response__header__x-ratelimit-reset-requests": ["60s"],
    }
    sent = {"http__request__method": "POST"}
    chat = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o-mini",
        "gen_ai__usage__input_tokens": 100,
        "gen_ai__usage__output_tokens": 20,
    }
    refused = {**sent, **limits, "http__response__status_code": 429}
    answered = {**sent, "http__response__status_code": 200}
    asked = {
        "agentscope__turn": True,
        "gen_ai__conversation__id": f"s{trace % 5}",
        "http__request__method": "POST",
        "http__response__status_code": 200,
        "http__route": "/chat",
    }
    wait = {"agentscope__wait__kind": "rate_limit"}
    query = {"db__system__name": "postgresql"}
    return [
        span(trace, 1, 0, "POST /chat", 2, t, t + 2000, **asked),
        span(trace, 2, 1, "chat gpt-4o-mini", 3, t, t + 1900, **chat),
        span(trace, 3, 2, "POST", 3, t, t + 100, **refused),
        span(trace, 4, 2, "wait rate_limit", 1, t + 100, t + 600, **wait),
        span(trace, 5, 2, "POST", 3, t + 600, t + 1900, **answered),
        span(trace, 6, 1, "INSERT messages", 3, t + 1900, t + 2000, **query),
    ]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    resource = {
        "attributes": [attribute("service.name", "agent"), attribute("service.instance.id", "i1")]
    }
    lines = [
        {
            "resourceSpans": [
                {
                    "resource": resource,
                    "scopeSpans": [{"scope": {"name": "agentscope"}, "spans": turn(trace)}],
                }
            ]
        }
        for trace in range(1, 41)
    ]
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "traces-i1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ledger = [
        {
            "signal": "spans",
            "sink": "run_directory",
            "created": 240,
            "delivered": 240,
            "dropped": {},
            "pending": 0,
        }
    ]
    process = {
        "schema": "agentscope.run/1",
        "instance": "i1",
        "started_ns": T0_NS,
        "ended_ns": T0_NS + 102_000 * MS,
        "ledger": ledger,
        "open_turns": 0,
        "internal_errors": {},
    }
    (folder / "manifest-i1.json").write_text(json.dumps(process))
    return folder


def test_a_recorded_run_is_judged(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forty turns that slept off a 429: the verdict, the sums and the counts from the files."""
    assert main(["analyze", str(run_dir), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    causes = {name: row["seconds"] for name, row in report["attribution"]["causes"].items()}
    assert report["verdict"]["cause"] == "llm.rate_limit"
    assert report["verdict"]["confidence"] == "high"
    assert causes == {"llm.first_token": 52.0, "llm.rate_limit": 24.0, "db.query": 4.0}
    assert report["run"] | {"id": None} == {
        "id": None,
        "started": "2026-09-21T14:13:22.500+00:00",
        "ended": "2026-09-21T14:15:02.000+00:00",
        "duration_s": 99.5,
        "turns": 40,
        "sessions": 5,
        "spans": 240,
        "instances": 1,
        "rejected": {},
        "complete": True,
    }
    assert report["llm"]["retries_hidden"] == 40
    assert [(c["resource"], c["limit"], c["reached"]) for c in report["ceilings"]] == [
        ("llm.requests", 60.0, True)
    ]


def test_text_and_file_come_from_the_same_report(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json FILE leaves the terminal its text."""
    file = tmp_path / "report.json"
    assert main(["analyze", str(run_dir), "--json", str(file)]) == 0
    statement = json.loads(file.read_text())["verdict"]["statement"]
    page = " ".join(capsys.readouterr().out.split())
    assert statement.removeprefix("t") in page


@pytest.mark.parametrize(
    ("expression", "code", "said"),
    [
        ("p95_s > 1.5", 1, "FAILED: p95_s > 1.5 (2)\n"),
        ("p95_s > 8", 0, "passed: p95_s > 8 (2)\n"),
        (
            "p95 > 8",
            2,
            "agentscope analyze: error: no figure is called 'p95': did you mean turns.p95_s",
        ),
        ("p95_s", 2, "agentscope analyze: error: cannot read 'p95_s': write a figure"),
    ],
)
def test_fail_on_decides_the_exit_code(
    run_dir: Path, capsys: pytest.CaptureFixture[str], expression: str, code: int, said: str
) -> None:
    """1 when it holds, 0 when not, 2 when it cannot be read; each says so on one line."""
    assert main(["analyze", str(run_dir), "--json", "--fail-on", expression]) == code
    assert capsys.readouterr().err.startswith(said)


def test_targets_and_limits_are_the_users(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tighter target and another quota change what is said."""
    arguments = ["--limit", "llm.requests=6000/min", "--target-p95", "1"]
    assert main(["analyze", str(run_dir), "--json", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"]["cause"] == "llm.first_token"
    assert report["ceilings"][0]["limit"] == 6000.0


def test_damaged_input_is_reported_and_not_trusted(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One broken line in forty is more than 1 %: exit code 3, and still a report."""
    with (run_dir / "traces-i1.jsonl").open("a") as file:
        file.write("{broken}\n")
    assert main(["analyze", str(run_dir), "--fail-on", "p95_s > 0"]) == 3
    page = capsys.readouterr().out
    assert "Verdict withheld: more than 1 % of the input could not be read" in page
    assert "1 record refused: not_json 1" in page
    assert "WHERE 80 s OF TURN TIME WENT" in page


@pytest.mark.parametrize(
    "arguments", [["nowhere"], ["RUN", "--limit", "rpm=3"], ["RUN", "--json", "nowhere/x.json"]]
)
def test_mistakes_are_one_line_with_exit_code_2(
    run_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Every message says what to type next."""
    given = [str(run_dir) if word == "RUN" else word for word in arguments]
    assert main(["analyze", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("agentscope analyze: error: ")
    assert error.count("\n") == 1


def test_a_run_that_goes_away_meanwhile_is_one_line(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was that could not be read then; a run that is still there keeps its error."""
    from agentscope_analyzer.ingest import reader

    def removed(*_: Any) -> None:
        if gone:
            shutil.rmtree(run_dir)
        raise OSError("no such file")

    monkeypatch.setattr(reader.Reader, "read", removed)
    gone = False
    with pytest.raises(OSError, match="no such file"):
        main(["analyze", str(run_dir)])
    gone = True
    assert main(["analyze", str(run_dir)]) == 2
    assert capsys.readouterr().err == (
        f"agentscope analyze: error: {run_dir} was removed while it was read\n"
    )
