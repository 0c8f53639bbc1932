"""The protocols this server speaks, one module each, by the address they are spoken at."""

from __future__ import annotations

from collections.abc import Mapping

from agentscope.lab.mock_llm.dialects.anthropic import AnthropicProvider
from agentscope.lab.mock_llm.dialects.chat import ChatDialect
from agentscope.lab.mock_llm.dialects.dialect import Dialect, Provider
from agentscope.lab.mock_llm.dialects.embeddings import EmbeddingsDialect
from agentscope.lab.mock_llm.dialects.messages import MessagesDialect
from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider
from agentscope.lab.mock_llm.dialects.responses import ResponsesDialect

__all__ = ["Dialects"]


class Dialects:
    """All dialects of one server."""

    def __init__(self) -> None:
        self._openai = OpenAIProvider()
        self._anthropic = AnthropicProvider()
        dialects: tuple[Dialect, ...] = (
            ChatDialect(self._openai),
            ResponsesDialect(self._openai),
            EmbeddingsDialect(self._openai),
            MessagesDialect(self._anthropic),
        )
        self._by_path = {dialect.path: dialect for dialect in dialects}
        self.served = ", ".join(f"POST {path}" for path in self._by_path)
        """The addresses, for whoever asked at another."""

    def at(self, path: str) -> Dialect | None:
        """The dialect that is spoken at an address."""
        return self._by_path.get(path)

    def provider_of(self, headers: Mapping[bytes, bytes]) -> Provider:
        """Whose client it is that asks at an address of no dialect."""
        return self._anthropic if b"anthropic-version" in headers else self._openai
