"""anthropic's client under a ``request`` that somebody put on its class before us, as Logfire does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

import agentscope
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.testing import Recorded

ASK: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "canary"}],
}


@pytest.fixture
def asked(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests that the class's own method has seen; it goes past ours, to the unhooked one."""
    uninstrument_clients()
    requests: list[str] = []
    inherited = anthropic.Anthropic.request

    def request(client: Any, *args: Any, **kwargs: Any) -> Any:
        requests.append("seen")
        return inherited(client, *args, **kwargs)

    monkeypatch.setattr(anthropic.Anthropic, "request", request, raising=False)
    instrument_clients()
    yield requests
    uninstrument_clients()
    assert vars(anthropic.Anthropic)["request"] is request, "the same object is put back"


def test_one_inference_a_call(
    asked: list[str], provider: Any, story: Callable[[], list[str]]
) -> None:
    """Ours is around theirs: theirs sees every call, and each is one inference."""
    with (
        agentscope.turn("turn"),
        anthropic.Anthropic(
            base_url=provider.url("200").removesuffix("/v1"), api_key="canary"
        ) as client,
    ):
        client.messages.create(**ASK)
    assert asked == ["seen"]
    assert story() == ["chat claude-test ok", " POST #0 200"]
