"""A tool that starts a slow program, once a turn."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

import agentscope

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

app = service("A slow tool")
client = AsyncOpenAI()
SECONDS = 0.0 if HEALTHY else 1.2


@agentscope.tool
async def run_report() -> str:
    if not SECONDS:
        return "cached"
    program = await asyncio.create_subprocess_exec("sleep", str(SECONDS))
    return f"exit code {await program.wait()}"


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    report = await run_report()
    return await ask(client, f"{report}\n{new.message}")
