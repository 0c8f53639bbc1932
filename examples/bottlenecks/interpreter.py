"""Scoring in pure Python on worker threads: off the loop, but all on one interpreter."""

from __future__ import annotations

import asyncio
from difflib import SequenceMatcher

from openai import AsyncOpenAI

import agentscope

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

app = service("Scoring in threads")
client = AsyncOpenAI()
ARTICLES = [f"article {number}: " + "how returns and refunds work, " * 4 for number in range(1500)]


@agentscope.tool
async def find_article(question: str) -> str:
    articles = ARTICLES[:1] if HEALTHY else ARTICLES
    return await asyncio.to_thread(best_match, question, articles)


def best_match(question: str, articles: list[str]) -> str:
    return max(articles, key=lambda article: SequenceMatcher(None, question, article).ratio())


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    article = await find_article(new.message)
    return await ask(client, f"{article}\n{new.message}")
