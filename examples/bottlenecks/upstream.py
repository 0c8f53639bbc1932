"""Another service behind ours answers two requests at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from openai import AsyncOpenAI

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

client = AsyncOpenAI()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    at_once = asyncio.Semaphore(100 if HEALTHY else 2)

    async def profile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        async with at_once:
            await asyncio.sleep(0.3)
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(profile, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=60) as http:
        app.state.http = http
        yield


app = service("A slow service behind ours", lifespan)


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    await app.state.http.get(f"/profiles/{session_id}")
    return await ask(client, new.message)
