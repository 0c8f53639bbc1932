"""What is in use is compared with the limit of the same pool, in the same process."""

from typing import Any

T0_NS = 1_790_000_000_000_000_000


def connections(story: Any, waited_s: float) -> Any:
    for i in range(40):
        trace = story.turn(
            f"s{i % 4}", i * 2.0, ("llm.connection", waited_s), ("llm.first_token", 1.0)
        )
        story.call(trace, i * 2.0, 200)
    return next(f for f in story.report().findings if f.cause == "llm.connection")


def points(story: Any, name: str, value: float, pool: str, instance: str = "instance-1") -> None:
    story.metrics.append(
        {
            "name": f"agentscope.http.pool.{name}",
            "value": value,
            "time_ns": T0_NS,
            "attrs": {"pool": pool},
            "instance": instance,
        }
    )


def caps(finding: Any) -> list[tuple[str, float, float]]:
    return [
        (one.name, one.value, one.limit)
        for one in finding.evidence
        if one.question == "runtime/caps"
    ]


def test_a_small_pool_that_is_full_is_not_hidden_by_a_large_one(story: Any) -> None:
    """4 of 4 beside 20 of 1 000: across pools that would be 20 of 1 000."""
    points(story, "in_use", 4, "api.openai.com")
    points(story, "limit", 4, "api.openai.com")
    points(story, "in_use", 20, "search.internal")
    points(story, "limit", 1000, "search.internal")
    finding = connections(story, 1.0)
    assert finding.kind == "binds"
    assert "all 4 connections to 'api.openai.com' in use" in finding.statement
    assert caps(finding) == [
        ("most connections to 'api.openai.com' in use", 4, 4),
        ("most connections to 'search.internal' in use", 20, 1000),
    ]


def test_a_busy_pool_without_a_limit_does_not_fill_another(story: Any) -> None:
    """50 in use of an endless pool, 1 of 10 in the other: nothing is full."""
    points(story, "in_use", 50, "endless")
    points(story, "in_use", 1, "small")
    points(story, "limit", 10, "small")
    finding = connections(story, 1.0)
    assert finding.kind == "watch"
    assert caps(finding) == [("most connections to 'small' in use", 1, 10)]


def test_each_process_has_a_pool_of_its_own(story: Any) -> None:
    """Two processes with different limits: the one that is full counts."""
    for instance, used, size in (("p1", 9, 100), ("p2", 10, 10)):
        points(story, "in_use", used, "api", instance)
        points(story, "limit", size, "api", instance)
    assert caps(connections(story, 1.0)) == [("most connections to 'api' in use", 10, 10)]
