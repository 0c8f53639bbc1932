"""Threads that compete for the interpreter are contention: without it, users would not wait."""

from agentscope.conventions import INTERPRETER_LOCK_WAIT


def test_a_model_within_its_target_does_not_bind_because_threads_compete(story):
    """2.3 s of the model alone meet the target of 3 s; with 1.7 s of competing threads they do not."""
    for i in range(40):
        parts = [("llm.first_token", 2.3), ("runtime.cpu", 1.7)]
        trace = story.turn(f"s{i % 8}", 5.0 * i, *parts)
        story.call(trace, 5.0 * i, 200, took_s=2.3)
    story.gauge(INTERPRETER_LOCK_WAIT.name, *[0.02] * 200)
    report = story.report()
    assert (report.verdict.cause, report.verdict.confidence) == ("runtime.cpu", "high")
    assert "llm.first_token" not in {f.cause for f in report.findings if f.kind == "binds"}
