"""Turns that were served and left no span, by every count that there is of them."""

from typing import Any

import pytest

from agentscope_analyzer.attribution import AttributionSummary

TURNS = 40


def checks(report: Any, name: str) -> list[tuple[str, str, Any]]:
    return [(c.status, c.detail, c.value) for c in report.validity if c.check == name]


def told(story: Any, *, counted: int, active: float = 0.5, **config: Any) -> dict[str, Any]:
    """Forty turns of a second, 2 s apart; the process counted so many, and so many in flight."""
    for i in range(TURNS):
        story.turn("s", i * 2.0 + 0.5, ("llm.generation", 1.0))
    for span in story.spans:
        span["instance"] = "web-1"
    story.gauge("agentscope.turns.active", *[active * (1 + (-1) ** i) for i in range(1, 81)])
    story.metrics.append({"name": "agentscope.turn.duration", "count": counted, "time_ns": 1})
    story.metrics = [
        {**point, "instance": "web-1", "temporality": "cumulative"} for point in story.metrics
    ]
    return {"manifests": [{"instance": "web-1", "ended_ns": 1, "config": config}]}


def test_every_turn_counted_left_its_span(story: Any) -> None:
    """The process counted forty, and forty are in the files."""
    report = story.report(**told(story, counted=TURNS))
    assert checks(report, "spans_lost") == [
        ("ok", "40 turns counted by processes, each of them left a span", 0.0)
    ]


@pytest.mark.parametrize(
    ("counted", "status", "confidence"),
    [(42, "ok", "high"), (50, "fail", "medium"), (80, "fail", "withheld")],
)
def test_turns_without_a_span_weaken_the_verdict_and_then_withhold_it(
    story: Any, counted: int, status: str, confidence: str
) -> None:
    """Two more may be a killed process's last; half of them missing is no run any more."""
    given = told(story, counted=counted)
    story.call(story.turns[0]["trace_id"], 0.6, 200)
    report = story.report(**given)
    assert [said for said, _, _ in checks(report, "spans_lost")] == [status]
    assert report.verdict.confidence == confidence


def test_the_gauge_of_turns_in_flight_knows_of_those_that_never_ended(story: Any) -> None:
    """Every turn that ended is there, yet half as many again were in flight at the same moments."""
    report = story.report(**told(story, counted=TURNS, active=0.75))
    assert checks(report, "spans_lost") == [
        (
            "fail",
            (
                "by Little's law turns are missing: 0.75 in flight as processes counted them, 0.5 by "
                "their spans at the same moments; those without an end left none"
            ),
            pytest.approx(1 / 3),
        )
    ]


def test_a_sample_is_told_and_loses_nothing(story: Any) -> None:
    """One turn in ten was to be recorded: that is no loss, and no whole demand either."""
    report = story.report(**told(story, counted=400, active=5.0, sample_ratio=0.1))
    assert not checks(report, "spans_lost")
    ((status, detail, ratio),) = checks(report, "sampled")
    assert (status, detail.split(" (")[0], ratio) == (
        "warn",
        "only 10 % of turns were recorded",
        0.1,
    )


def test_what_was_written_must_be_in_the_files(story: Any) -> None:
    """A file that was not copied: the ledger balances, and the directory does not."""
    ledger = [
        {"signal": "spans", "sink": "run_directory", "created": 500, "delivered": 500}
        | {"dropped": {}, "pending": 0}
    ]
    given = told(story, counted=TURNS)
    report = story.report(
        **given, manifest={"complete": False, "ledger": ledger}, read={"spans": 40}
    )
    assert checks(report, "ledger") == [
        (
            "fail",
            (
                "460 records of 500 were written and are not in the files: a file is missing or was cut; "
                "copy the whole run directory"
            ),
            460,
        )
    ]


@pytest.mark.parametrize(("orphans", "found"), [(1, []), (9, ["warn"])])
def test_spans_without_their_parent_are_told(story: Any, orphans: int, found: list[str]) -> None:
    """A few are lost at the edges of a run; many are a service whose files are not here."""
    summary = AttributionSummary(
        turns=TURNS, spans_used=100, anomalies={"orphans_adopted": orphans}, background_s=0.0,
        sweep_disagreement=0.0, sweep_group=None, inferred={},
    )  # fmt: skip
    report = story.report(**told(story, counted=TURNS), summary=summary)
    assert [status for status, _, _ in checks(report, "orphans")] == found


@pytest.mark.parametrize(("joined", "status"), [(37, "warn"), (30, "fail"), (0, "warn")])
def test_requests_that_were_answered_without_a_turn_weaken_the_verdict(
    story: Any, joined: int, status: str
) -> None:
    """One in ten is much; none at all means only that trace ids were not passed on."""
    given = told(story, counted=TURNS)
    for i, turn in enumerate(story.turns):
        trace = turn["trace_id"] if i < joined else f"{i:x}".rjust(32, "f")
        story.load.append({"t_start": 1.0 * i, "duration_s": 1.0, "trace_id": trace, "turn": i})
    assert [said for said, _, _ in checks(story.report(**given), "load_joined")] == [status]


@pytest.mark.parametrize(("ended_ns", "delivered", "status"), [
    (None, 44, "warn"), (1, 44, "fail"), (None, 500, "fail"),
])  # fmt: skip
def test_a_process_that_still_runs_may_be_ahead_of_its_files(
    story: Any, ended_ns: int | None, delivered: int, status: str
) -> None:
    """It counts on while they are read. One that said goodbye, or is far ahead, lost a file."""
    ledger = [
        {"signal": "spans", "sink": "run_directory", "created": delivered, "delivered": delivered}
        | {"dropped": {}, "pending": 0}
    ]
    given = told(story, counted=TURNS)
    given["manifests"][0]["ended_ns"] = ended_ns
    report = story.report(
        **given, manifest={"complete": False, "ledger": ledger}, read={"spans": 40}
    )
    ((said, detail, _),) = checks(report, "ledger")
    assert said == status
    assert ("analyze it again when it has ended" in detail) is (status == "warn")
