"""A mock LLM for a test: started by it, asked over HTTP, stopped with it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from anthropic import Anthropic
from openai import OpenAI

from agentscope.lab.mock_llm import MockLlmSettings, running


@dataclass(frozen=True)
class Server:
    base_url: str
    anthropic_base_url: str

    def client(self, max_retries: int = 0, **options: Any) -> OpenAI:
        return OpenAI(base_url=self.base_url, api_key="key", max_retries=max_retries, **options)

    def anthropic(self, max_retries: int = 0, **options: Any) -> Anthropic:
        return Anthropic(
            base_url=self.anthropic_base_url, api_key="key", max_retries=max_retries, **options
        )

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request without a client library: status and decoded body."""
        status, text = self.text(method, path, body, **headers)
        return status, json.loads(text)

    def text(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """One request without a client library: status and body."""
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=10)
        sent = {"content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def stats(self) -> Any:
        return self.raw("GET", "/stats")[1]

    def stats_when_idle(self) -> Any:
        """What the server counted, once it has noticed who went away."""
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            stats = self.stats()
            if stats["requests"]["in_flight"] == 0:
                return stats
            time.sleep(0.02)
        pytest.fail("requests are still in flight after 10 s")


def serving(stack: ExitStack, knobs: str, clock_ns: Callable[[], int], **settings: Any) -> Server:
    wanted = MockLlmSettings(port=0, knobs=knobs, **settings)
    server = stack.enter_context(running(wanted, clock_ns))
    return Server(server.base_url, server.anthropic_base_url)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start a server; without other knobs it answers at once, in 12 tokens."""
    with ExitStack() as stack:

        def start_one(
            knobs: str = "profile=instant;out=12",
            clock_ns: Callable[[], int] = time.monotonic_ns,
            **settings: Any,
        ) -> Server:
            return serving(stack, knobs, clock_ns, **settings)

        yield start_one


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """A server for many small questions: it answers at once, in 12 tokens."""
    with ExitStack() as stack:
        yield serving(stack, "profile=instant;out=12", time.monotonic_ns)
