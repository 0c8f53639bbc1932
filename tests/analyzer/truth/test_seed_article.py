"""A published case: the model is most of every turn, nothing of the service's own matters, and the
provider's quota is what more users would meet first.

Five calls a turn (a look at the question, three answers side by side, one more about them), a heavy
turn every two to three minutes a session, a quota of 150 requests a minute, p95 about 102 s whatever
the load; the ceiling by arithmetic lies between 150 · 2 / 5 = 60 and 150 · 3 / 5 = 90 sessions.
"""

import pytest
from planted.cases import fresh_seed
from planted.design import Design, Load, Tool
from planted.provider import Model
from planted.simulation import Run, run_of

from agentscope_analyzer.document import Report
from agentscope_analyzer.report import analyze_run

SYNTHESIS = Design(
    model=Model(first_s=1.0, spread=0.3, tokens_per_s=60.0, quotas={"requests": 150.0}),
    heavy=1.0,
    heavy_calls=5,
    heavy_output=(1600, 2900),
    output_tokens=(150, 400),
    input_tokens=(2000, 6000),
    tools=[Tool("web_search", "http", 30.0, 0.2)],
    tools_a_round=(1, 1),
)
LOAD = Load(
    users=12,
    run_s=1500.0,
    ramp_s=150.0,
    think_s=(0.0, 1.0),
    turns=(100, 100),
    every_s=(120.0, 180.0),
)
RUNTIME = ("runtime.event_loop", "runtime.threadpool", "runtime.gc")


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of(SYNTHESIS, LOAD, fresh_seed())


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return analyze_run(run.save(tmp_path_factory.mktemp("article") / "run"))


def test_the_run_is_the_published_one(run: Run) -> None:
    """p95 is about 102 s, and the model is 54 to 78 % of a turn."""
    lengths = sorted(turn.end_s - turn.start_s for turn in run.service.turns)
    assert 90 < lengths[int(0.95 * len(lengths))] < 115
    assert 0.54 < run.group_shares()["llm"] < 0.78


def test_the_model_binds_and_the_runtime_is_ruled_out(run: Run, report: Report) -> None:
    """Its share is told to the point; what belongs to the service is shown to be innocent."""
    assert report.verdict.group == "llm"
    assert report.verdict.cause in ("llm.first_token", "llm.generation")
    assert report.attribution.groups["llm"].share == pytest.approx(
        run.group_shares()["llm"], abs=0.01
    )
    kinds = {finding.cause: finding.kind for finding in report.findings}
    assert {kinds[cause] for cause in RUNTIME} == {"ruled_out"}
    assert report.turns.p95_s is not None
    assert 90 < report.turns.p95_s < 115


def test_the_quota_is_reached_between_60_and_90_sessions(report: Report) -> None:
    """The window rule stays within what the arithmetic of means allows, and says that it is ahead."""
    ceiling = next(one for one in report.ceilings if one.resource == "llm.requests")
    assert ceiling.sessions is not None
    assert 60 <= ceiling.sessions <= 90
    assert (ceiling.limit, ceiling.reached) == (150.0, False)
