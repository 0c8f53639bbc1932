"""Whose models answer behind OpenAI's protocol."""

from __future__ import annotations

import pytest

from agentscope.clients.hosts import provider_at


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("mine.services.ai.azure.com", "azure.ai.openai"),
        ("API.GROQ.COM", "groq"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.together.xyz", "together_ai"),
        ("api.x.ai", "x_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.deepseek.com", "deepseek"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "aws.bedrock"),
        ("localhost", "openai"),
        ("10.0.0.7", "openai"),
        ("gateway.example", "openai"),
        ("notopenai.azure.com", "openai"),
        ("max.ai", "openai"),
        ("s3.amazonaws.com", "openai"),
        ("", "openai"),
    ],
)
def test_provider_at(host: str, expected: str) -> None:
    """By the labels that the host's name ends with; a server of one's own speaks as OpenAI's."""
    assert provider_at(host, "openai") == expected
