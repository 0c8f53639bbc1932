"""What the model may call: orders, customers and help articles, all in the database."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from difflib import SequenceMatcher
from typing import Any

import asyncpg
import openai
from pydantic import BaseModel, Field, ValidationError

import agentscope

from .store import Database, Message

log = logging.getLogger(__name__)

Found = dict[str, Any]
ARTICLES_SHOWN = 3


class OrderQuery(BaseModel):
    """Look up an order: its status, what was ordered and when it arrives."""

    order_id: str = Field(description="The order's number, such as 12345")


class CustomerQuery(BaseModel):
    """Look up a customer: name, plan and latest orders."""

    email: str = Field(description="The customer's e-mail address")


class ArticleQuery(BaseModel):
    """Search the help articles: opening hours, delivery, returns, plans, integrations."""

    question: str = Field(description="What the customer wants to know, in a sentence")


class Toolbox:
    """The tools of one turn, on the turn's database."""

    def __init__(self, database: Database, *, score_in_process: bool = False) -> None:
        self._database = database
        self._score_in_process = score_in_process

    @agentscope.tool
    async def lookup_order(self, order_id: str) -> Found:
        query = """
            SELECT id, status, item, total_cents, ordered_on, arrives_on, customer_email
            FROM orders WHERE id = $1
        """
        async with self._database.acquire() as connection:
            order = await connection.fetchrow(query, order_id.strip().lstrip("#"))
        return {"found": False} if order is None else {"found": True, **order}

    @agentscope.tool
    async def get_customer(self, email: str) -> Found:
        query = "SELECT email, name, plan, since FROM customers WHERE email = lower($1)"
        latest = """
            SELECT id, status, item FROM orders WHERE customer_email = $1
            ORDER BY ordered_on DESC, id DESC LIMIT 3
        """
        async with self._database.acquire() as connection:
            customer = await connection.fetchrow(query, email.strip())
            if customer is None:
                return {"found": False}
            orders = await connection.fetch(latest, customer["email"])
        return {"found": True, **customer, "orders": [dict(order) for order in orders]}

    @agentscope.tool
    async def search_help_articles(self, question: str) -> Found:
        if self._score_in_process:
            async with self._database.acquire() as connection:
                articles = await connection.fetch("SELECT title, body FROM help_articles")
            ranked = rank_articles(question, [dict(row) for row in articles])
            return {"articles": ranked[:ARTICLES_SHOWN]}
        # Any of the question's words will do; PostgreSQL has the articles indexed by them.
        query = """
            SELECT title, body FROM help_articles,
                   CAST(replace(plainto_tsquery('english', $1)::text, '&', '|') AS tsquery) AS words
            WHERE terms @@ words ORDER BY ts_rank(terms, words) DESC, title LIMIT $2
        """
        async with self._database.acquire() as connection:
            articles = await connection.fetch(query, question, ARTICLES_SHOWN)
        return {"articles": [dict(row) for row in articles]}

    async def answer(self, calls: list[Found]) -> list[Message]:
        """Run the model's calls at the same time and return their messages, in their order."""
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(self._run(call["function"])) for call in calls]
        return [
            {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(run.result(), default=str)}
            for call, run in zip(calls, running, strict=True)
        ]  # fmt: skip

    async def _run(self, function: Found) -> Found:
        """One call's result; whatever is wrong with it, the model is told and can do better."""
        name = function["name"]
        if name not in TOOLS:
            return {"error": f"there is no tool {name!r}, only {', '.join(TOOLS)}"}
        arguments, tool = TOOLS[name]
        try:
            given = arguments.model_validate_json(function["arguments"])
        except ValidationError as error:
            wrong = [
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}".strip(": ") for e in error.errors()
            ]
            return {"error": f"bad arguments for {name}: {'; '.join(wrong)}"}
        try:
            return await tool(self, **given.model_dump())
        except asyncpg.DataError as error:
            return {"error": f"bad arguments for {name}: {error}"}
        except Exception:
            log.exception("%s failed", name)
            return {"error": f"{name} does not work at the moment"}


TOOLS: dict[str, tuple[type[BaseModel], Callable[..., Awaitable[Found]]]] = {
    "lookup_order": (OrderQuery, Toolbox.lookup_order),
    "get_customer": (CustomerQuery, Toolbox.get_customer),
    "search_help_articles": (ArticleQuery, Toolbox.search_help_articles),
}

OFFERED = [openai.pydantic_function_tool(model, name=name) for name, (model, _) in TOOLS.items()]
"""The tools as the model's API wants them."""


def rank_articles(question: str, articles: list[Found]) -> list[Found]:
    """Order articles so that the first ones fit the question and do not repeat each other.

    Maximal marginal relevance (Carbonell and Goldstein, 1998): next comes the article that shares
    most words with the question and is least like those before it.
    """
    asked = _words(question)
    left = {
        article["title"]: (article, len(asked & _words(f"{article['title']} {article['body']}")))
        for article in articles
    }
    repeats = dict.fromkeys(left, 0.0)
    ranked: list[Found] = []
    while left:
        best = max(left, key=lambda title: left[title][1] - repeats[title])
        article, _ = left.pop(best)
        ranked.append(article)
        for title, (other, _) in left.items():
            alike = SequenceMatcher(None, article["body"], other["body"], autojunk=False).ratio()
            repeats[title] = max(repeats[title], alike)
    return ranked


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}
