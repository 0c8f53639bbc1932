"""Turns that their process did not yet know for turns."""

from typing import Any

REQUEST = {"kind": "SERVER", "name": "POST /chat"}


def test_a_span_named_as_a_marked_turn_is_one(tell: Any, span: Any) -> None:
    """A first turn that failed before any phase, in a second worker, counts all the same."""
    story = tell(
        span("marked", "", 0, 100, **REQUEST, is_turn=True),
        span("early", "", 200, 210, **REQUEST, trace_id=f"{2:032x}", http_status=500),
    )
    assert story.turns == ["marked", "early"]
    assert story.summary.inferred == {"unmarked": 1}


def test_other_names_other_services_and_clear_refusals_stay_no_turns(tell: Any, span: Any) -> None:
    """Health checks, another service's route of the same name, and what is marked as no turn."""
    story = tell(
        span("marked", "", 0, 100, **REQUEST, is_turn=True),
        span("health", "", 0, 1, kind="SERVER", name="GET /health", trace_id=f"{2:032x}"),
        span("elsewhere", "", 0, 9, **REQUEST, service="billing", trace_id=f"{3:032x}"),
        span("denied", "", 0, 9, **REQUEST, is_turn=False, trace_id=f"{4:032x}"),
    )
    assert (story.turns, story.summary.inferred) == (["marked"], {})


def test_a_name_that_only_blocks_bear_makes_no_request_a_turn(tell: Any, span: Any) -> None:
    """A marked block within a connection does not turn other requests of its name into turns."""
    story = tell(
        span("block", "", 0, 100, kind="INTERNAL", name="POST /chat", is_turn=True),
        span("request", "", 0, 9, **REQUEST, trace_id=f"{2:032x}"),
    )
    assert story.turns == ["block"]


def test_a_turn_answered_with_an_error_of_the_client_failed(tell: Any, span: Any) -> None:
    """Shed with 429 or refused with 422: the user has no answer, so the turn failed."""
    story = tell(
        span("shed", "", 0, 1, **REQUEST, is_turn=True, http_status=429),
        span("good", "", 5, 9, **REQUEST, is_turn=True, http_status=200, trace_id=f"{2:032x}"),
    )
    errors = story.engine.rows("SELECT turn_id, error FROM turns ORDER BY start_ns")
    assert errors == [("shed", True), ("good", False)]
