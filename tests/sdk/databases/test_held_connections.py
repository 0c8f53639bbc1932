"""A connection held during a call of a model: what the analyzer finds in a run, and what not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.testing import Recorded, RecordedSpan
from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.ingest import open_run

CALL_S = 0.05

PINNED = """
SELECT held.db_pool AS pool,
  sum(least(held.end_ns, call.end_ns) - greatest(held.start_ns, call.start_ns)) / 1e9 AS pinned_s
FROM spans AS held JOIN spans AS call USING (trace_id, instance)
WHERE held.runtime_event = 'connection_held' AND call.phase = 'llm_call'
  AND call.start_ns < held.end_ns AND call.end_ns > held.start_ns
GROUP BY held.db_pool
"""


def written(spans: list[RecordedSpan], folder: Path) -> Path:
    """A run directory with these spans."""
    folder.mkdir()
    resource = [{"key": c.SERVICE_INSTANCE_ID, "value": {"stringValue": "one"}}]
    scopes = [{"scope": {"name": "agentscope"}, "spans": [span.raw for span in spans]}]
    line = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": scopes}]}
    (folder / "traces-one.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def causes(run: Any) -> dict[str, float]:
    attribute(run.engine)
    rows = run.engine.rows(
        "SELECT cause, sum(end_ns - start_ns) / 1e9 FROM sections GROUP BY cause"
    )
    return dict(rows)


def test_a_pinned_connection(dsn: str, recorded: Recorded, tmp_path: Path) -> None:
    """For how long is exact; where the turn's time went is as if the event were not there."""

    @agentscope.llm_call
    async def ask() -> None:
        await asyncio.sleep(CALL_S)

    async def main() -> None:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            await pool.fetchval("SELECT 1")
            with agentscope.turn("turn"):
                async with pool.acquire() as connection:
                    await connection.execute("SELECT pg_sleep(0.02)")
                    await ask()
                    await connection.execute("SELECT pg_sleep(0.02)")
                await ask()  # holds nothing

    asyncio.run(main())
    call = min((span for span in recorded.spans if span.name == "ask"), key=lambda s: s.start_s)
    work = [span for span in recorded.spans if span.name != "db.connection.held"]
    with open_run(written(recorded.spans, tmp_path / "with")) as run:
        assert run.engine.query(PINNED) == [
            {"pool": "postgres@localhost", "pinned_s": pytest.approx(call.duration_s, abs=1e-6)}
        ]
        found = causes(run)
    with open_run(written(work, tmp_path / "without")) as run:
        assert found == causes(run)
    assert found["db.query"] == pytest.approx(0.04, abs=0.02)
    assert found["llm.first_token"] == pytest.approx(2 * CALL_S, abs=0.03)
