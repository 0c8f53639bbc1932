"""Rate-limit headers of real responses, recorded by others; skipped where they are not at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentscope.clients.headers import kept_headers, selected
from agentscope.clients.ratelimit import Quota, quotas

SHARED = os.environ.get("AGENTSCOPE_SHARED_DATA")
HERE = Path(__file__).resolve().parents[3]
RECORDED = (
    Path(SHARED) if SHARED else HERE.parent / "shared" / "data"
) / "provider_responses.jsonl"

pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason=f"no {RECORDED.name}")

OTHER = ("usage_based", "query-cost")
"""Headers that tell of no quota of their own."""


def read(row: dict[str, Any]) -> list[Quota]:
    headers = [(name.encode(), value.encode()) for name, value in row["headers"].items()]
    return quotas(kept_headers(selected(headers)), float(row["received_at"]))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def test_every_number_of_every_response_is_read(rows: list[dict[str, Any]]) -> None:
    """Each limit, remaining and reset header gives exactly one reading, in all dialects."""
    unread = []
    for row in rows:
        headers = [
            name for name in row["headers"]
            if "ratelimit" in name and not any(word in name for word in OTHER)
        ]  # fmt: skip
        readings = [
            value
            for quota in read(row)
            for value in (quota.limit, quota.remaining, quota.reset_s)
            if value is not None
        ]
        if len(readings) != len(headers) or not headers:
            unread.append(row)
    assert len(rows) >= 88
    assert unread == []


def test_readings_make_sense(rows: list[dict[str, Any]]) -> None:
    """What remains is within the limit, and nothing takes longer than its window to refill."""
    for quota in (quota for row in rows for quota in read(row)):
        if quota.limit is not None and quota.remaining is not None:
            assert 0 <= quota.remaining <= quota.limit
        if quota.reset_s is not None and quota.window_s is not None:
            assert quota.reset_s <= quota.window_s


def test_windows_are_told(rows: list[dict[str, Any]]) -> None:
    """OpenAI's and Groq's resets, Anthropic's documents and Mistral's names tell; others do not."""
    told: dict[str, set[tuple[str, float | None]]] = {}
    for row in rows:
        seen = told.setdefault(row["host"], set())
        seen.update((quota.dimension, quota.window_s) for quota in read(row))
    minute = 60.0
    assert told == {
        "api.openai.com": {("requests", minute), ("requests", 86_400.0), ("tokens", minute)},
        "api.groq.com": {("requests", 86_400.0), ("tokens", minute)},
        "api.anthropic.com": {
            ("requests", minute),
            ("tokens", minute),
            ("input_tokens", minute),
            ("output_tokens", minute),
        },
        "api.mistral.ai": {
            ("requests", 10.0),
            ("requests", minute),
            ("tokens", minute),
            ("tokens", 2_592_000.0),
        },
        "api.replicate.com": {("requests", None)},
        "resource.openai.azure.com": {("requests", None), ("tokens", None)},
    }


GOLDEN = {
    ("api.groq.com", 1725445385): [
        Quota("tokens", 30_000, 29_987, 0.026, 60),
        Quota("requests", 14_400, 14_398, 10.332999999, 86_400),
    ],
    ("api.anthropic.com", 1712475015): [  # resets 07:31:00, answered 07:30:15
        Quota("requests", 5, 4, 45, 60),
        Quota("tokens", 10_000, 9_000, 45, 60),
    ],
    ("api.mistral.ai", 1784566713): [
        Quota("requests", 4, 1, None, 60),
        Quota("tokens", 250_000, 249_654, None, 60),
    ],
    ("api.replicate.com", 1707756287): [Quota("requests", None, 2_999, 1, None)],
    ("resource.openai.azure.com", 1760724028): [
        Quota("requests", 250, 247, None, None),
        Quota("tokens", 250_000, 249_962, None, None),
    ],
    ("api.openai.com", 1698095241): [
        Quota("requests", 3_000, 2_999, 0.02, 60),
        Quota("tokens", 250_000, 249_850, 0.036, 60),
    ],
}


@pytest.mark.parametrize("key", GOLDEN, ids=lambda key: key[0])
def test_golden_rows(rows: list[dict[str, Any]], key: tuple[str, int]) -> None:
    """One response of each provider, read by hand."""
    (row,) = (row for row in rows if (row["host"], row["received_at"]) == key)
    assert read(row) == GOLDEN[key]
