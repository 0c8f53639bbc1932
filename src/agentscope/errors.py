"""What we raise and warn with; nothing of ours raises after start."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting cannot be used; raised by ``configure`` and ``instrument``, never later."""


class AgentscopeWarning(UserWarning):
    """Something of ours does not work and the service goes on without it."""
