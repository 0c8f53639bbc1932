"""The service: sessions and their messages over HTTP.

uvicorn --app-dir examples support_agent.app:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

import agentscope

from .agent import Agent, Reply
from .events import event_stream
from .problems import EXPECTED, Problem, answer_problem
from .settings import Settings
from .store import open_pool

MODEL_TIMEOUT_S = 120


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings.from_environment()
    client = AsyncOpenAI(timeout=MODEL_TIMEOUT_S, max_retries=settings.model_retries)
    async with client, open_pool(settings) as pool:
        app.state.agent = Agent(settings, pool, client)
        yield


app = FastAPI(title="Support agent", lifespan=lifespan)
agentscope.instrument(app)

for failure in (Problem, *EXPECTED):
    app.add_exception_handler(failure, answer_problem)


class NewSession(BaseModel):
    user_id: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")


class Session(BaseModel):
    session_id: str


class NewMessage(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    message: str = Field(
        min_length=1, max_length=8_000, validation_alias=AliasChoices("message", "content")
    )
    stream: bool = False


async def the_agent(request: Request) -> Agent:
    agent: Agent = request.app.state.agent
    return agent


TheAgent = Annotated[Agent, Depends(the_agent)]


@app.post("/api/sessions", status_code=201)
async def create_session(new: NewSession, agent: TheAgent) -> Session:
    return Session(session_id=await agent.store.create_session(new.user_id))


@app.post("/api/sessions/{session_id}/messages", response_model=Reply)
async def send_message(
    session_id: str, new: NewMessage, request: Request, agent: TheAgent
) -> Reply | StreamingResponse:
    if not (new.stream or "text/event-stream" in request.headers.get("accept", "")):
        return await agent.take_turn(session_id, new.message)

    events = event_stream(partial(agent.take_turn, session_id, new.message))
    first = await anext(events)  # raises what still deserves a status of its own

    async def body() -> AsyncIterator[str]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return StreamingResponse(body(), media_type="text/event-stream")


@app.delete("/api/sessions/{session_id}", status_code=204)
async def delete_session(session_id: str, agent: TheAgent) -> None:
    await agent.store.delete_session(session_id)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}
