"""``agentscope analyze --layers``: what was put in between two runs is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.commands import main

Record = Callable[..., Path]


@pytest.fixture
def layers(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Compares named runs with --json; returns the exit code and the document."""

    def compared(**runs: Path) -> tuple[int, dict[str, Any]]:
        named = [f"{name}={run}" for name, run in runs.items()]
        code = main(["analyze", "--json", "-", "--layers", *named])
        return code, json.loads(capsys.readouterr().out)

    return compared


Compared = Callable[..., tuple[int, dict[str, Any]]]


def changes(step: dict[str, Any]) -> dict[str, str]:
    return {cause["cause"]: cause["change"] for cause in step["causes"]}


def of_cause(step: dict[str, Any], cause: str) -> dict[str, Any]:
    (found,) = [row for row in step["causes"] if row["cause"] == cause]
    return dict(found)


def test_each_dependency_adds_what_it_is(record: Record, layers: Compared) -> None:
    """A database 30 ms slower, then a model 200 ms slower: to its cause, within its interval."""
    code, report = layers(
        mocked=record("mocked", users=30),
        db=record("db", users=30, db_ms=35.0),
        real=record("real", users=30, db_ms=35.0, llm_ms=240.0),
    )
    assert (code, report["schema"], report["withheld"]) == (0, "agentscope.layers/1", None)
    database, model, both = report["steps"]
    assert [(s["before"], s["after"]) for s in report["steps"]] == [
        ("mocked", "db"), ("db", "real"), ("mocked", "real"),
    ]  # fmt: skip
    # Sessions differ by a common factor, whose mean over them is about 1.02.
    added = of_cause(database, "db.query")
    assert added["change"] == "added"
    assert added["low"] <= 0.0306 <= added["high"]
    assert (added["recorded_before"], added["recorded_after"]) == (True, True)
    assert [cause for cause, change in changes(model).items() if change == "added"] == [
        "llm.first_token"
    ]
    assert of_cause(model, "llm.first_token")["difference"] == pytest.approx(0.408, rel=0.12)
    assert both["mean_s"]["difference"] == pytest.approx(
        database["mean_s"]["difference"] + model["mean_s"]["difference"]
    )
    for step in report["steps"]:
        assert sum(cause["difference"] for cause in step["causes"]) == pytest.approx(
            step["mean_s"]["difference"]
        )
    assert model["statement"].startswith("real adds 4")
    assert model["ratio"]["low"] > 2


def test_the_same_service_again_has_nothing_added(record: Record, layers: Compared) -> None:
    """Two runs of one thing: no cause is named, and what is unchanged is said with its margin."""
    runs = {name: record(name, users=40, spread=0.02, jitter=0.05) for name in ("first", "again")}
    code, report = layers(**runs)
    (step,) = report["steps"]
    assert code == 0
    assert set(changes(step).values()) == {"unchanged"}
    assert {step[key]["change"] for key in ("ratio", "mean_s", "p50_s", "p95_s")} == {"unchanged"}
    assert step["statement"].startswith("again changes a turn by less than ")


def test_a_run_that_cannot_be_believed_is_not_compared(record: Record, layers: Compared) -> None:
    """Half of its lines are no JSON."""
    broken = record("broken")
    file = broken / "traces-i1.jsonl"
    file.write_text(file.read_text() + "{]\n" * 50)
    code, report = layers(a=record("a"), b=broken)
    assert (code, report["steps"]) == (3, [])
    assert report["withheld"] == (
        "b cannot be judged itself: verdict withheld: more than 1 % of the input could not be read"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["a"], "--layers a: it must be NAME=RUN; type agentscope analyze --layers mocked="),
        (["a=RUN"], "--layers takes 2 to 6 runs, not 1; type agentscope analyze --layers mocked="),
        (["a=RUN", "a=OTHER"], "that name or run is there already"),
        (["a=RUN", "b=RUN/"], "that name or run is there already"),
        (["a=RUN", "b=MISSING"], "MISSING does not exist; name a run directory"),
        (
            ["a=RUN", "b=OTHER", "--fail-on", "p95_s > 1"],
            "--fail-on is of one run, not of --layers",
        ),
    ],
)
def test_a_mistake_in_typing_is_one_line(
    typed: list[str],
    said: str,
    record: Record,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each says what to type instead, with exit code 2."""
    record("RUN", users=1, turns=1)
    named = [text.replace("RUN", str(tmp_path / "RUN")) for text in typed]
    assert main(["analyze", "--layers", *named]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_the_page_says_what_changed_and_what_did_not(
    record: Record, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Text on the terminal and JSON in a file come from one comparison."""
    runs = [f"mocked={record('m', users=30)}", f"db={record('d', users=30, db_ms=60.0)}"]
    file = tmp_path / "layers.json"
    assert main(["analyze", "--json", str(file), "--layers", *runs]) == 0
    page = " ".join(capsys.readouterr().out.split())
    (step,) = json.loads(file.read_text())["steps"]
    assert step["statement"] in page
    assert page.startswith("mocked → db mocked → db db adds 6")
    assert "db.query" in page
    assert "ok users 30 users" in page
    assert "THE SAME LOAD?" in page


def test_a_name_cannot_move_the_cursor(record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from the command line and end up on a terminal."""
    runs = [f"\x1b[31mred={record('m', users=2)}", f"b={record('d', users=2)}"]
    assert main(["analyze", "--layers", *runs]) in (0, 3)
    assert "\x1b[31m" not in capsys.readouterr().out
