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


MODEL = {"kind": "CLIENT", "operation": "chat", "model": "m"}


def test_without_marks_a_request_that_fails_early_is_a_turn_by_its_route(
    tell: Any, span: Any
) -> None:
    """Another instrumentation: what served turns elsewhere is one where it never came to a model."""
    story = tell(
        span("served", "", 0, 100, **REQUEST),
        span("chat", "served", 10, 90, **MODEL),
        span("down", "", 200, 210, **REQUEST, trace_id=f"{2:032x}", http_status=500),
        span("connect", "down", 201, 209, kind="CLIENT", trace_id=f"{2:032x}", db_system="redis"),
        span("thrown", "", 300, 310, **REQUEST, trace_id=f"{3:032x}", status="ERROR"),
    )
    assert story.turns == ["served", "down", "thrown"]
    assert story.summary.inferred == {"server": 1, "failed server": 2}
    errors = story.engine.rows("SELECT turn_id, error FROM turns ORDER BY start_ns")
    assert errors == [("served", False), ("down", True), ("thrown", True)]


def test_without_marks_other_requests_are_no_turns(tell: Any, span: Any) -> None:
    """Answered without a model, refused at the door, other routes and services, names of no route."""
    failed = {"kind": "SERVER", "http_status": 500}
    story = tell(
        span("served", "", 0, 100, **REQUEST),
        span("chat", "served", 10, 90, **MODEL),
        span("cached", "", 200, 210, **REQUEST, trace_id=f"{2:032x}", http_status=200),
        span("denied", "", 300, 310, **REQUEST, trace_id=f"{3:032x}", http_status=401),
        span("login", "", 400, 410, **failed, name="POST /login", trace_id=f"{4:032x}"),
        span(
            "elsewhere", "", 500, 510, **REQUEST, service="x", trace_id=f"{5:032x}", status="ERROR"
        ),
        span("bare", "", 600, 700, kind="SERVER", name="POST", trace_id=f"{6:032x}"),
        span("ask", "bare", 610, 690, **MODEL, trace_id=f"{6:032x}"),
        span("other", "", 800, 810, **failed, name="POST", trace_id=f"{7:032x}"),
    )
    assert (story.turns, story.summary.inferred) == (["served", "bare"], {"server": 2})


def test_without_marks_the_outermost_request_gives_its_name(tell: Any, span: Any) -> None:
    """A gateway that fails to pass a turn on failed it; a login in the same trace is none."""
    gateway = {"kind": "SERVER", "name": "POST /talk", "service": "gateway"}
    story = tell(
        span("login", "", 0, 5, kind="SERVER", name="POST /login"),
        span("talk", "", 10, 100, **gateway),
        span("chat", "talk", 12, 98, **REQUEST),
        span("ask", "chat", 20, 90, **MODEL),
        span("broken", "", 200, 210, **gateway, trace_id=f"{2:032x}", http_status=502),
        span("inner", "", 300, 310, **REQUEST, trace_id=f"{3:032x}", http_status=502),
        span("no login", "", 400, 410, kind="SERVER", name="POST /login", trace_id=f"{4:032x}",
             status="ERROR"),
    )  # fmt: skip
    assert story.turns == ["talk", "broken"]
