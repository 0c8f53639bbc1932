"""The settings of a mock LLM."""

from __future__ import annotations

from dataclasses import dataclass

from agentscope.errors import ConfigError
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs
from agentscope.lab.mock_llm.quota import Dimension


@dataclass(frozen=True, slots=True, kw_only=True)
class MockLlmSettings:
    """How a mock LLM is served; raises ConfigError for what cannot work."""

    host: str = "127.0.0.1"
    port: int = 8089
    """0 chooses a free one."""
    rpm: int | None = None
    """Requests per minute of each API key and model; None for no limit."""
    tpm: int | None = None
    """Tokens per minute of each API key and model, at OpenAI's and Bedrock's; None for no limit."""
    itpm: int | None = None
    """Input tokens per minute of each API key and model, at Anthropic's and Google's."""
    otpm: int | None = None
    """Output tokens per minute of each API key and model, at Anthropic's."""
    retry_after_ms: bool = True
    """Whether a 429 says its wait in milliseconds too, not in whole seconds alone."""
    knobs: str = ""
    """What the model's name does not say; the grammar stands in ``knobs``."""
    seed: int = 0
    max_rounds: int = 8
    """Rounds of tool calls in a row after which an answer in text is sure."""
    max_body_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        """Check every value once, before anything is served."""
        for name in ("rpm", "tpm", "itpm", "otpm", "max_rounds", "max_body_bytes"):
            value, least = getattr(self, name), 0 if name == "max_rounds" else 1
            if value is not None and value < least:
                msg = f"{name} is {value}: it must be {least} or more"
                raise ConfigError(msg)
        if not 0 <= self.port <= 65_535:
            msg = f"port is {self.port}: it must be from 0 to 65535"
            raise ConfigError(msg)
        try:
            self.behaviour()
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def limits(self) -> dict[Dimension, int]:
        """The limits of every quota."""
        limits: dict[Dimension, int | None] = {
            "requests": self.rpm,
            "tokens": self.tpm,
            "input_tokens": self.itpm,
            "output_tokens": self.otpm,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def behaviour(self) -> Behaviour:
        """What requests get whose model carries no knobs."""
        return apply_knobs(self.knobs, Behaviour())
