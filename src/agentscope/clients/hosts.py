"""Whose models answer at a host: many providers speak OpenAI's protocol to OpenAI's client."""

from __future__ import annotations

import functools

_PROVIDERS = {
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "anthropic.com": "anthropic",
    "cerebras.ai": "cerebras",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "deepseek.com": "deepseek",
    "fireworks.ai": "fireworks_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot",
    "moonshot.cn": "moonshot",
    "openai.azure.com": "azure.ai.openai",
    "openai.com": "openai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "services.ai.azure.com": "azure.ai.openai",
    "together.ai": "together_ai",
    "together.xyz": "together_ai",
    "x.ai": "x_ai",
}
"""By the end of a host's name; the providers as the GenAI conventions and LiteLLM call them."""


@functools.lru_cache(maxsize=256)  # asked at every call; a service talks to few hosts
def provider_at(host: str, otherwise: str) -> str:
    """The provider at ``host``; ``otherwise`` where it is a gateway, a server of one's own, …"""
    host = host.lower()
    if host.startswith("bedrock-runtime.") and host.endswith(".amazonaws.com"):
        return "aws.bedrock"
    if host.endswith("-aiplatform.googleapis.com"):  # one for each region
        return "gcp.vertex_ai"
    labels = host.split(".")
    for first in range(len(labels)):
        provider = _PROVIDERS.get(".".join(labels[first:]))
        if provider is not None:
            return provider
    return otherwise
