"""Gemini's embeddings: the same vectors as at OpenAI's address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from agentscope.lab.mock_llm.dialects.embeddings import DEFAULT_DIMENSIONS, MAX_DIMENSIONS, embed
from agentscope.lab.mock_llm.dialects.gemini_requests import Content
from agentscope.lab.mock_llm.dialects.google import GoogleProvider
from agentscope.lab.mock_llm.errors import invalid_request, not_json
from agentscope.lab.mock_llm.events import EventStream
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply
from agentscope.lab.mock_llm.request import Message, ModelRequest
from agentscope.lab.mock_llm.tokens import text_tokens

SINGLE, BATCH, PREDICT = "embedContent", "batchEmbedContents", "predict"
"""The methods: the last one is Vertex AI's, of older models."""

_encode = msgspec.json.Encoder().encode


class _Embedding(msgspec.Struct, rename="camel", kw_only=True):
    content: Content
    output_dimensionality: int | None = None


class _Batch(msgspec.Struct, kw_only=True):
    requests: list[_Embedding]


class _Instance(msgspec.Struct):
    content: str


class _Parameters(msgspec.Struct, rename="camel"):
    output_dimensionality: int | None = None


class _Prediction(msgspec.Struct, kw_only=True):
    instances: list[_Instance]
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


@dataclass(frozen=True, slots=True)
class GeminiEmbeddingsDialect:
    """``POST …/models/{model}:embedContent``, ``:batchEmbedContents`` and ``:predict``."""

    provider: GoogleProvider
    path: str
    model: str
    method: str

    def read(self, body: bytes) -> GeminiEmbeddingsExchange:
        """Read a request."""
        try:
            asked = _asked(body, self.method)
        except msgspec.ValidationError as error:
            raise invalid_request(f"Invalid JSON payload received. {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(error) from None
        if not asked:
            raise invalid_request("There is nothing to embed.")
        for _, dimensions in asked:
            if not 1 <= dimensions <= MAX_DIMENSIONS:
                text = f"output_dimensionality must be from 1 to {MAX_DIMENSIONS}"
                raise invalid_request(text)
        messages = [Message("user", text) for text, _ in asked]
        # There is nothing to write: the time to the first token is all the time it takes.
        request = ModelRequest(model=self.model, messages=messages, output_limit=0)
        return GeminiEmbeddingsExchange(request, tuple(asked), self.method)


def _asked(body: bytes, method: str) -> list[tuple[str, int]]:
    """The texts, with the dimensions of their vectors."""
    if method == PREDICT:
        prediction = msgspec.json.decode(body, type=_Prediction)
        dimensions = prediction.parameters.output_dimensionality or DEFAULT_DIMENSIONS
        return [(one.content, dimensions) for one in prediction.instances]
    if method == BATCH:
        requests = msgspec.json.decode(body, type=_Batch).requests
    else:
        requests = [msgspec.json.decode(body, type=_Embedding)]
    return [(one.content.text, one.output_dimensionality or DEFAULT_DIMENSIONS) for one in requests]


@dataclass(frozen=True, slots=True)
class GeminiEmbeddingsExchange:
    """One request for vectors."""

    request: ModelRequest
    texts: tuple[tuple[str, int], ...]
    method: str

    def charge(self) -> Charge:
        """A request, and the tokens of its texts."""
        return {"requests": 1, "input_tokens": sum(text_tokens(text) for text, _ in self.texts)}

    def whole(self, reply: Reply, model: str) -> bytes:
        """The vectors, in the form of the method."""
        vectors = [{"values": embed(text, dimensions)} for text, dimensions in self.texts]
        usage = {"promptTokenCount": self.charge()["input_tokens"]}
        if self.method == SINGLE:
            return _encode({"embedding": vectors[0], "usageMetadata": usage})
        if self.method == BATCH:
            return _encode({"embeddings": vectors, "usageMetadata": usage})
        predictions: list[dict[str, Any]] = []
        for (text, _), vector in zip(self.texts, vectors, strict=True):
            statistics = {"truncated": False, "token_count": text_tokens(text)}
            predictions.append({"embeddings": {**vector, "statistics": statistics}})
        return _encode({"predictions": predictions})

    def stream(self, reply: Reply, model: str) -> EventStream:
        """Raises ApiError: the protocol has no streams."""
        raise invalid_request("Embeddings are not streamed.")
