"""The turn as a file for ui.perfetto.dev: Chrome's JSON trace format, rule by rule."""

import json
import random
from typing import Any

import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.reporters import perfetto
from agentscope_analyzer.traced import trace_of

TRACE = f"{1:032x}"
NAMES = {"process_name", "thread_name"}


def slices_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Check every rule of the format that the viewer depends on; returns the slices.

    "Trace Event Format", Duration and Metadata Events: a phase, integer ids, microseconds; slices of
    one thread nest. The viewer drops a slice that begins within another one and ends after it.
    """
    assert document["displayTimeUnit"] in {"ms", "ns"}
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = {}
    named = set()
    for event in document["traceEvents"]:
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        if event["ph"] == "M":
            assert event["name"] in NAMES
            assert isinstance(event["args"]["name"], str)
            named.add((event["name"], event["pid"], event["tid"]))
            continue
        assert event["ph"] == "X"
        assert event["name"]
        assert event["cat"]
        assert type(event["ts"]) is int
        assert event["ts"] >= 0
        assert type(event["dur"]) is int
        assert event["dur"] >= 0
        tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    for (pid, tid), events in tracks.items():
        assert ("thread_name", pid, tid) in named
        assert ("process_name", pid, 0) in named
        open_until: list[int] = []
        for event in sorted(events, key=lambda one: (one["ts"], -one["dur"])):
            end = event["ts"] + event["dur"]
            while open_until and open_until[-1] <= event["ts"]:
                open_until.pop()
            assert not open_until or end <= open_until[-1], event
            open_until.append(end)
    return [event for events in tracks.values() for event in events]


def written(trace) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(perfetto.dumps(trace))
    return document


def test_the_critical_path_is_a_track_of_its_own(tell, span):
    """Its slices are named by cause, follow one another, and cover the turn."""
    trace = trace_of(
        tell(
            span("turn", "", 0, 100, is_turn=True),
            span("tool", "turn", 10, 40, tool="t"),
            span("wait", "turn", 40, 70, wait_kind="db.pool"),
        ),
        TRACE,
    )
    slices = slices_of(written(trace))
    path = [(one["name"], one["ts"], one["dur"]) for one in slices if one["pid"] == 1]
    assert path == [
        ("unattributed", 0, 10_000),
        ("tool.execution", 10_000, 30_000),
        ("db.pool", 40_000, 30_000),
        ("unattributed", 70_000, 30_000),
    ]
    spans = {one["name"]: (one["cat"], one["tid"]) for one in slices if one["pid"] == 2}
    assert spans == {
        "turn": ("unattributed", 1),
        "tool": ("tool.execution", 1),
        "wait": ("db.pool", 1),
    }


def test_what_runs_beside_has_a_track_beside(tell, span):
    """Parallel tools stand below each other, their children within them."""
    trace = trace_of(
        tell(
            span("turn", "", 0, 100, is_turn=True),
            span("a", "turn", 10, 60, tool="t"),
            span("b", "turn", 20, 90, tool="t"),
            span("c", "b", 30, 80, db_system="x"),
            span("e", "turn", 35, 50, tool="t"),
            span("d", "turn", 60, 95, tool="t"),
        ),
        TRACE,
    )
    slices = slices_of(written(trace))
    tracks = {one["name"]: one["tid"] for one in slices if one["pid"] == 2}
    assert tracks == {"turn": 1, "a": 1, "b": 2, "c": 2, "d": 1, "e": 3}


@pytest.mark.parametrize("seed", range(5))
def test_any_turn_is_a_valid_file(tell, span, seed):
    """Whatever overlaps whatever, in whatever process: nothing is dropped, nothing overlaps."""
    chance = random.Random(seed)
    spans = [span("turn", "", 100, 1_000, is_turn=True)]
    for i in range(200):
        parent = chance.choice(spans)["span_id"]
        start = chance.uniform(0, 1_200)
        columns = {"instance": f"p{chance.randrange(3)}", "tool": "t"}
        spans.append(span(f"s{i}", parent, start, start + chance.uniform(0, 300), **columns))
    for i in range(20):
        start = chance.uniform(50, 1_000)
        event = {"runtime_event": "gc_pause", "name": 'gc "pause"\n'}
        spans.append(span(f"e{i}", "", start, start + chance.uniform(1, 60), trace=2, **event))
    trace = trace_of(tell(*spans), TRACE)
    slices = slices_of(written(trace))
    assert len(slices) == len(trace.spans) + len(trace.critical_path) + len(trace.events)
    assert {one["cat"] for one in slices} <= {*CAUSES, "off the critical path", "runtime event"}


def test_a_file_is_replaced_whole(tell, span, tmp_path):
    """Whoever reads it while it is written sees the old one."""
    trace = trace_of(tell(span("turn", "", 0, 100, is_turn=True)), TRACE)
    file = tmp_path / "turn.json"
    file.write_text("old")
    perfetto.write(trace, file)
    assert json.loads(file.read_text()) == written(trace)
    assert list(tmp_path.iterdir()) == [file]
