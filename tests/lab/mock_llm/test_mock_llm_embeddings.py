"""Embeddings over real HTTP, with OpenAI's own client."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.lab.mock_llm.dialects.embeddings import embed

Start = Callable[..., Any]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_vectors_are_decided_by_the_text_alone(start: Start) -> None:
    """The same at another server, as numbers or packed, in the dimensions that were asked for."""
    texts = ["The order is late.", "Refund, please"]

    def ask(seed: int, how: Any) -> list[Any]:
        with start(seed=seed).client() as client:
            answer = client.embeddings.create(
                model="e", input=texts, dimensions=32, encoding_format=how
            )
        assert [entry.index for entry in answer.data] == [0, 1]
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5 + 4, 5 + 4)
        return [entry.embedding for entry in answer.data]

    plain, packed = ask(1, "float"), ask(2, "base64")

    assert plain == [embed(text, 32) for text in texts]
    unpacked = [list(struct.unpack("<32f", base64.b64decode(text))) for text in packed]
    assert unpacked == [pytest.approx(vector, rel=1e-6) for vector in plain]


def test_the_client_as_it_is_reads_them(start: Start) -> None:
    """By default it asks for base64 and unpacks it: single precision of the same vector."""
    with start().client() as client:
        [entry] = client.embeddings.create(model="e", input="Where is my order?").data

    assert entry.embedding == pytest.approx(embed("Where is my order?", 64), rel=1e-6)


def test_texts_with_words_in_common_are_nearer() -> None:
    """A question is nearest to the passage that is about it."""
    question = embed("Where is the parcel of order 12345?", 64)
    passages = [
        embed(text, 64)
        for text in (
            "The parcel of order 12345 is on the way",
            "Refunds take five working days",
            "Our office is closed on Sundays",
        )
    ]

    similarities = [cosine(question, passage) for passage in passages]

    assert similarities.index(max(similarities)) == 0
    assert similarities[0] > 0.5


@given(text=st.text(max_size=200), dimensions=st.integers(1, 300))
def test_every_vector_has_length_one(text: str, dimensions: int) -> None:
    """Whatever the text is made of."""
    vector = embed(text, dimensions)

    assert len(vector) == dimensions
    assert math.isclose(cosine(vector, vector), 1.0, rel_tol=1e-9)


def test_tokens_may_come_in_place_of_texts(start: Start) -> None:
    """One list of tokens is one text; a list of lists is several; each token counts as one."""
    with start().client() as client:
        one = client.embeddings.create(model="e", input=[1, 2, 3])
        two = client.embeddings.create(model="e", input=[[1, 2, 3], [4]])

    assert [len(answer.data) for answer in (one, two)] == [1, 2]
    assert [answer.usage.prompt_tokens for answer in (one, two)] == [3, 4]
    assert one.data[0].embedding == two.data[0].embedding


def test_their_tokens_are_charged(start: Start) -> None:
    """Nothing is reserved for an answer in text."""
    server = start(tpm=10, clock_ns=lambda: 0)
    with server.client() as client:
        client.embeddings.create(model="e", input="x" * 36)
        with pytest.raises(openai.RateLimitError, match="Limit 10, Used 9, Requested 2"):
            client.embeddings.create(model="e", input="x" * 5)
        client.embeddings.create(model="e", input="x" * 4)

    assert server.stats()["tokens_charged"] == 10


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"input": []}, "expected 1 to 2048 texts"),
        ({"input": ""}, "texts that are not empty"),
        ({"input": ["a", 1]}, "strings, or tokens, not both"),
        ({"input": 5}, "Expected `str | array`"),
        ({"dimensions": 0}, "expected 1 to 4096, got 0"),
        ({"encoding_format": "xml"}, "Invalid enum value 'xml'"),
    ],
)
def test_bad_requests_say_what_is_wrong(shared: Any, change: dict[str, Any], part: str) -> None:
    """Status 400, in OpenAI's shape."""
    status, answer = shared.raw("POST", "/v1/embeddings", {"model": "e", "input": "x", **change})

    assert status == 400
    assert part in answer["error"]["message"]
