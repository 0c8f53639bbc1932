"""OpenAI's embeddings: small vectors that a text alone decides.

Each word's hash chooses places in the vector and their signs, so texts with words in common are
near one another: enough for a retrieval step to have something to find.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import msgspec

from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider, checked_model
from agentscope.lab.mock_llm.errors import invalid_request, not_json
from agentscope.lab.mock_llm.events import EventStream
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply
from agentscope.lab.mock_llm.request import Message, ModelRequest
from agentscope.lab.mock_llm.tokens import text_tokens

DEFAULT_DIMENSIONS = 64
MAX_DIMENSIONS = 4096
_MAX_INPUTS = 2048
_PLACES = 5
"""Places of a word: an odd number never adds up to nothing."""

_WORD = re.compile(r"\w+")

_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct, kw_only=True):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


_DECODER = msgspec.json.Decoder(_Request)


class EmbeddingsDialect:
    """``POST /v1/embeddings``."""

    path: ClassVar[str] = "/v1/embeddings"

    def __init__(self, provider: OpenAIProvider) -> None:
        self.provider = provider

    def read(self, body: bytes) -> EmbeddingsExchange:
        """Read a request."""
        try:
            asked = _DECODER.decode(body)
        except msgspec.ValidationError as error:
            raise invalid_request(str(error), "invalid_type") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(error) from None
        checked_model(asked.model)
        texts, tokens = _inputs(asked.input)
        dimensions = asked.dimensions if asked.dimensions is not None else DEFAULT_DIMENSIONS
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            message = f"Invalid 'dimensions': expected 1 to {MAX_DIMENSIONS}, got {dimensions}."
            raise invalid_request(message, "invalid_value", "dimensions")
        request = ModelRequest(
            model=asked.model,
            messages=[Message("user", text) for text in texts],
            # There is nothing to write: the time to the first token is all the time it takes.
            output_limit=0,
            conversation_key=(asked.user or "",),
        )
        packed = asked.encoding_format == "base64"
        return EmbeddingsExchange(request, texts, tokens, dimensions, packed)


@dataclass(frozen=True, slots=True)
class EmbeddingsExchange:
    """One request for vectors."""

    request: ModelRequest
    texts: tuple[str, ...]
    tokens: int
    dimensions: int
    packed: bool

    def charge(self) -> Charge:
        """A request, and the tokens of its texts."""
        return {"requests": 1, "tokens": self.tokens}

    def whole(self, reply: Reply, model: str) -> bytes:
        """The list of vectors."""
        data: list[dict[str, Any]] = []
        for index, text in enumerate(self.texts):
            vector = embed(text, self.dimensions)
            value = _packed(vector) if self.packed else vector
            data.append({"object": "embedding", "index": index, "embedding": value})
        usage = {"prompt_tokens": self.tokens, "total_tokens": self.tokens}
        return _encode({"object": "list", "data": data, "model": model, "usage": usage})

    def stream(self, reply: Reply, model: str) -> EventStream:
        """Raises ApiError: the protocol has no streams."""
        raise invalid_request("Embeddings are not streamed.", param="stream")


def embed(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 for a text."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()):
        _add(vector, word)
    if not any(vector):
        # No words, or words that cancel each other out.
        _add(vector, text)
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _add(vector: list[float], word: str) -> None:
    digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=2 * _PLACES).digest()
    for number in struct.unpack(f"<{_PLACES}H", digest):
        vector[(number >> 1) % len(vector)] += 1.0 if number & 1 else -1.0


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _inputs(given: str | list[str | int | list[int]]) -> tuple[tuple[str, ...], int]:
    """The texts, and their tokens; a text that comes as tokens stays their numbers."""
    if isinstance(given, str):
        entries: list[str | list[int]] = [given]
    elif given and all(isinstance(entry, int) for entry in given):
        entries = [[entry for entry in given if isinstance(entry, int)]]
    else:
        entries = [entry for entry in given if not isinstance(entry, int)]
        if len(entries) != len(given):
            raise _bad_input("strings, or tokens, not both")
    if not 1 <= len(entries) <= _MAX_INPUTS:
        raise _bad_input(f"1 to {_MAX_INPUTS} texts")
    if not all(entries):
        raise _bad_input("texts that are not empty")
    texts = tuple(e if isinstance(e, str) else " ".join(map(str, e)) for e in entries)
    tokens = sum(text_tokens(e) if isinstance(e, str) else len(e) for e in entries)
    return texts, tokens


def _bad_input(expected: str) -> Exception:
    return invalid_request(f"Invalid 'input': expected {expected}.", "invalid_value", "input")
