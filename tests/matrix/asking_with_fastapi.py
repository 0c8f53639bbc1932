"""A service of FastAPI's, asked twice over HTTP; each request asks a model once."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request

import openai
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/ask/{name}")
async def answer(name: str) -> str:
    async with openai.AsyncOpenAI() as client:
        said = await client.chat.completions.create(
            model="mock", messages=[{"role": "user", "content": name}]
        )
    return said.choices[0].message.content or ""


def ask() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
    serving = threading.Thread(target=server.run, args=([listener],))
    serving.start()
    while not server.started:
        time.sleep(0.005)
    host, port = listener.getsockname()
    for name in ("one", "two"):
        with urllib.request.urlopen(f"http://{host}:{port}/ask/{name}") as answered:
            assert answered.status == 200
    server.should_exit = True
    serving.join()
