"""Callers choose hosts, paths, models, tools and sessions; what ``/metrics`` answers stays small."""

from __future__ import annotations

from pathlib import Path

from series_flood import REAL_MODEL, Seen, flood

NAMES, SESSIONS = 120, 20_000


def test_a_flood_of_names_is_bounded_and_hides_nothing_real(tmp_path: Path) -> None:
    """Hosts, paths and sessions make no series at all; models and tools fill their own room only.

    Every turn is counted, and so are the real route and the real model that come last.
    """
    seen = dict(flood(tmp_path, names=NAMES, sessions=SESSIONS))
    before, after = seen["before"], seen["a real route and a real model"]
    hosts, paths = seen[f"{NAMES} Host headers"], seen[f"{NAMES} unknown paths"]
    assert names(hosts) == names(before)
    # One series: no route, status 404.
    assert {name.partition("{")[0] for name in names(paths) - names(before)} <= {
        f"http_server_request_duration_seconds_{part}" for part in ("bucket", "count", "sum")
    }
    assert len(names(paths) - names(before)) < 20
    models = {
        series for series in after.values
        if series.startswith("gen_ai_client_operation_duration_seconds_count")
    }  # fmt: skip
    assert 10 < len(models) < 40
    assert after.size_bytes < 300_000
    assert after.counted("agentscope_turn_duration_seconds_count", route="chat") == SESSIONS
    assert (
        after.counted("http_server_request_duration_seconds_count", http_route="/new/{thing}") == 1
    )
    assert (
        after.counted(
            "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model=REAL_MODEL
        )
        == 1
    )
    folded = after.counted("agentscope_sdk_folded_total", metric="gen_ai.client.operation.duration")
    calls = after.counted("gen_ai_client_operation_duration_seconds_count")
    assert calls == NAMES + 2
    assert folded == NAMES + 2 - (len(models) - 1)  # all but those that have a series of their own


def names(seen: Seen) -> set[str]:
    """The series that requests make; a garbage collection may add its own at any time."""
    return {name for name in seen.values if not name.startswith("agentscope_gc_pause")}
