"""The protocols this server speaks, one module each, by the address they are spoken at."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentscope.lab.mock_llm.dialects.amazon import AmazonInvokeProvider, AmazonProvider
from agentscope.lab.mock_llm.dialects.anthropic import AnthropicProvider
from agentscope.lab.mock_llm.dialects.bedrock import ConverseDialect
from agentscope.lab.mock_llm.dialects.bedrock_invoke import InvokeDialect
from agentscope.lab.mock_llm.dialects.chat import ChatDialect
from agentscope.lab.mock_llm.dialects.dialect import Dialect, Provider
from agentscope.lab.mock_llm.dialects.embeddings import EmbeddingsDialect
from agentscope.lab.mock_llm.dialects.gemini import GeminiDialect
from agentscope.lab.mock_llm.dialects.gemini_embeddings import GeminiEmbeddingsDialect
from agentscope.lab.mock_llm.dialects.google import GoogleProvider
from agentscope.lab.mock_llm.dialects.messages import MessagesDialect
from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider
from agentscope.lab.mock_llm.dialects.responses import ResponsesDialect

__all__ = ["Dialects"]

_GOOGLE = re.compile(
    r"/v1(?:alpha|beta|beta1)?/(?:.*?/)?models/(?P<model>.+)"
    r":(?P<method>generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict)"
)
_AMAZON = re.compile(
    r"/model/(?P<model>.+)/"
    r"(?P<method>converse|converse-stream|invoke|invoke-with-response-stream)"
)
_OTHERS = (
    "POST /v1beta/models/{model}:generateContent (or streamGenerateContent, batchEmbedContents)",
    "POST /model/{model}/converse (or converse-stream, invoke, invoke-with-response-stream)",
)


class Dialects:
    """All dialects of one server."""

    def __init__(self) -> None:
        self._openai = OpenAIProvider()
        self._anthropic = AnthropicProvider()
        self._google = GoogleProvider()
        self._amazon, self._amazon_invoke = AmazonProvider(), AmazonInvokeProvider()
        dialects: tuple[Dialect, ...] = (
            ChatDialect(self._openai),
            ResponsesDialect(self._openai),
            EmbeddingsDialect(self._openai),
            MessagesDialect(self._anthropic),
        )
        self._by_path = {dialect.path: dialect for dialect in dialects}
        self.served = ", ".join([*(f"POST {path}" for path in self._by_path), *_OTHERS])
        """The addresses, for whoever asked at another."""

    def at(self, path: str) -> Dialect | None:
        """The dialect that is spoken at an address, which may name the model."""
        return self._by_path.get(path) or self._google_at(path) or self._amazon_at(path)

    def provider_of(self, headers: Mapping[bytes, bytes]) -> Provider:
        """Whose client it is that asks at an address of no dialect."""
        if b"x-goog-api-key" in headers:
            return self._google
        if headers.get(b"authorization", b"").startswith(b"AWS4-"):
            return self._amazon
        return self._anthropic if b"anthropic-version" in headers else self._openai

    def _google_at(self, path: str) -> Dialect | None:
        address = _GOOGLE.fullmatch(path)
        if address is None:
            return None
        model, method = address["model"], address["method"]
        if method.endswith("enerateContent"):
            return GeminiDialect(self._google, path, model, method.startswith("stream"))
        return GeminiEmbeddingsDialect(self._google, path, model, method)

    def _amazon_at(self, path: str) -> Dialect | None:
        address = _AMAZON.fullmatch(path)
        if address is None:
            return None
        model, method = address["model"], address["method"]
        streamed = method.endswith("stream")
        if method.startswith("converse"):
            return ConverseDialect(self._amazon, path, model, streamed)
        return InvokeDialect(self._amazon_invoke, path, model, streamed)
