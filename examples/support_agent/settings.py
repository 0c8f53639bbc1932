"""What the service is told by environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables of the README's table; ``OPENAI_*`` are read by the client itself."""

    dsn: str
    model: str
    model_retries: int
    pool_size: int
    max_rounds: int
    hold_connection: bool
    sync_scoring: bool

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Settings:
        dsn = variables.get("SUPPORT_AGENT_DSN", "")
        if not dsn:
            msg = "set SUPPORT_AGENT_DSN, to what `python -m agentscope.lab.postgres` prints"
            raise ValueError(msg)
        return cls(
            dsn=dsn,
            model=variables.get("SUPPORT_AGENT_MODEL") or "gpt-4o-mini",
            model_retries=_count(variables, "SUPPORT_AGENT_MODEL_RETRIES", 2),
            pool_size=_count(variables, "SUPPORT_AGENT_POOL_SIZE", 10),
            max_rounds=_count(variables, "SUPPORT_AGENT_MAX_ROUNDS", 6),
            hold_connection=_switch(variables, "SUPPORT_AGENT_HOLD_CONNECTION"),
            sync_scoring=_switch(variables, "SUPPORT_AGENT_SYNC_SCORING"),
        )


def _count(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        msg = f"{name} is {text!r}: it must be a whole number from 1 on"
        raise ValueError(msg)
    return int(text)


def _switch(variables: Mapping[str, str], name: str) -> bool:
    text = variables.get(name) or "0"
    if text not in {"0", "1"}:
        msg = f"{name} is {text!r}: it must be 0 or 1"
        raise ValueError(msg)
    return text == "1"
