from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import openai
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.append(str(EXAMPLES))

from support_agent.problems import Problem
from support_agent.settings import Settings
from support_agent.store import Store, open_pool
from support_agent.tools import rank_articles

REQUEST = httpx.Request("POST", "http://model/v1")


def limited(**headers: str) -> openai.RateLimitError:
    response = httpx.Response(429, headers=headers, request=REQUEST)
    return openai.RateLimitError("limited", response=response, body=None)  # type: ignore[arg-type] # openai's own httpx


def test_the_settings_have_defaults() -> None:
    """Only the database must be named; an empty variable counts as none."""
    assert Settings.from_environment({"SUPPORT_AGENT_DSN": "d", "SUPPORT_AGENT_MODEL": ""}) == (
        Settings(
            dsn="d",
            model="gpt-4o-mini",
            model_retries=2,
            pool_size=10,
            max_rounds=6,
            hold_connection=False,
            sync_scoring=False,
        )
    )


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SUPPORT_AGENT_DSN", "", "set SUPPORT_AGENT_DSN"),
        ("SUPPORT_AGENT_POOL_SIZE", "0", "SUPPORT_AGENT_POOL_SIZE is '0'"),
        ("SUPPORT_AGENT_MAX_ROUNDS", "many", "SUPPORT_AGENT_MAX_ROUNDS is 'many'"),
        ("SUPPORT_AGENT_SYNC_SCORING", "yes", "must be 0 or 1"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, complaint: str) -> None:
    """The service does not start on a value that it would have to guess at."""
    with pytest.raises(ValueError, match=complaint):
        Settings.from_environment({"SUPPORT_AGENT_DSN": "d", name: value})


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after_s"),
    [
        (limited(**{"retry-after": "2.2"}), 503, "rate_limited", 3),
        (limited(**{"retry-after": "86400"}), 503, "rate_limited", 120),
        (limited(), 503, "rate_limited", 5),
        (openai.APITimeoutError(REQUEST), 504, "model_timeout", None),  # type: ignore[arg-type] # see above
        (openai.APIConnectionError(request=REQUEST), 502, "model_failed", None),  # type: ignore[arg-type] # see above
        (asyncpg.TooManyConnectionsError("full"), 503, "database_failed", 5),
        (ConnectionRefusedError("no"), 503, "database_failed", 5),
        (KeyError("a bug"), 500, "internal_error", None),
    ],
)  # fmt: skip
def test_what_fails_has_a_status(
    error: Exception, status: int, code: str, retry_after_s: int | None
) -> None:
    """The caller learns whose failure it is and when to come back, and nothing of its inside."""
    problem = Problem.of(error)
    found = (problem.status, problem.body["error"], problem.retry_after_s)
    assert found == (status, code, retry_after_s)


def settings(dsn: str) -> Settings:
    variables = {"SUPPORT_AGENT_DSN": dsn, "SUPPORT_AGENT_POOL_SIZE": "1"}
    return Settings.from_environment(variables)


def test_workers_may_start_at_the_same_time(dsn: str) -> None:
    """Each makes sure of the tables, and neither stumbles over the other; the data is there once."""

    async def start(name: str) -> int:
        async with open_pool(settings(dsn.replace("/postgres?", f"/{name}?"))) as pool:
            count: int = await pool.fetchval("SELECT count(*) FROM orders")
            return count

    async def story() -> list[int]:
        admin = await asyncpg.connect(dsn)
        try:
            await admin.execute("CREATE DATABASE fresh")
        finally:
            await admin.close()
        return await asyncio.gather(*(start("fresh") for _ in range(4)))

    assert asyncio.run(story()) == [100, 100, 100, 100]


def test_a_turn_whose_process_died_is_not_busy_for_ever(dsn: str) -> None:
    """When its time is over a claim no longer counts, and the late one cannot overwrite."""

    async def story() -> list[Any]:
        async with open_pool(settings(dsn)) as pool:
            store = Store(pool)
            session_id = await store.create_session("tester")
            said = [{"role": "user", "content": "Hello"}]
            async with store.turn(session_id) as lost:
                await pool.execute(
                    "UPDATE sessions SET busy_until = now() - interval '1 second' "
                    "WHERE id = $1::text::uuid",
                    session_id,
                )
                async with store.turn(session_id) as number:
                    await store.save_turn(session_id, number, said)
                with pytest.raises(Problem, match="still being answered"):
                    await store.save_turn(session_id, lost, said)
            return [lost, number, await store.history(session_id, before=2)]

    assert asyncio.run(story()) == [1, 1, [{"role": "user", "content": "Hello"}]]


def test_old_turns_are_not_sent_again(dsn: str) -> None:
    """The history ends at the twentieth turn back, at a turn's edge."""

    async def story() -> list[str]:
        async with open_pool(settings(dsn)) as pool:
            store = Store(pool)
            session_id = await store.create_session("tester")
            for number in range(1, 24):
                message = {"role": "user", "content": str(number)}
                await store.save_turn(session_id, number, [message])
            return [message["content"] for message in await store.history(session_id, before=24)]

    assert asyncio.run(story()) == [str(number) for number in range(4, 24)]


def test_ranking_prefers_what_fits_and_avoids_repetition() -> None:
    """The best match comes first, and its copy after an article that says something else."""
    hours = {"title": "Opening hours", "body": "Our support answers from eight to twenty."}
    copy = {"title": "Opening hours again", "body": "Our support answers from eight to twenty."}
    other = {"title": "Hours on holidays", "body": "When shops are shut nobody reads a message."}
    none = {"title": "Invoices", "body": "Paper is sent on the first day of a month."}
    ranked = rank_articles("Which hours has support?", [none, copy, other, hours])
    assert [article["title"] for article in ranked] == [
        "Opening hours again", "Opening hours", "Hours on holidays", "Invoices",
    ]  # fmt: skip
    assert rank_articles("Which hours?", []) == []
