"""A service whose callers choose hosts, paths, models, tools and sessions as they like.

uvicorn --app-dir tests/dashboards flood_service:app
"""

from __future__ import annotations

import asyncio

import openai
from fastapi import FastAPI

import agentscope

SESSIONS_AT_A_TIME = 500

app = FastAPI()
agentscope.instrument(app)
client = openai.AsyncOpenAI(max_retries=0)


@app.get("/")
async def home() -> str:
    return "here"


@app.get("/new/{thing}")
async def new(thing: str) -> str:
    return thing


@app.get("/ask")
async def ask(model: str) -> str:
    """Ask a model whose name the caller made up."""
    try:
        await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hello"}]
        )
    except openai.NotFoundError:
        return "no such model"
    return "answered"


@app.get("/use")
async def use(tool: str) -> str:
    """Use a tool whose name a model made up."""
    return agentscope.tool(name=tool)(lambda: "used")()


@app.get("/sessions")
async def sessions(first: int, number: int) -> int:
    """Serve a turn of each of so many sessions."""
    for begin in range(first, first + number, SESSIONS_AT_A_TIME):
        for one in range(begin, min(begin + SESSIONS_AT_A_TIME, first + number)):
            with agentscope.turn("chat", session=f"session-{one}"):
                pass
        # No service is that fast: the recorder would say how many turns it had to give up.
        await asyncio.to_thread(agentscope.flush, 10.0)
    return number
