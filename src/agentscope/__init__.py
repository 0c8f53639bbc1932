"""Find what binds an AI agent service under load, and prove it.

>>> import agentscope
>>> agentscope.instrument(app)  # doctest: +SKIP
"""

from agentscope.asgi import AgentScopeMiddleware
from agentscope.errors import AgentscopeWarning, ConfigError
from agentscope.instrumentation import instrument, uninstrument
from agentscope.lifecycle import configure, flush, shutdown
from agentscope.phases import (
    context_load,
    llm_call,
    phase,
    record_error,
    record_usage,
    session,
    tool,
    turn,
)
from agentscope.runtime.locks import watch_lock

__all__ = [
    "AgentScopeMiddleware",
    "AgentscopeWarning",
    "ConfigError",
    "configure",
    "context_load",
    "flush",
    "instrument",
    "llm_call",
    "phase",
    "record_error",
    "record_usage",
    "session",
    "shutdown",
    "tool",
    "turn",
    "uninstrument",
    "watch_lock",
]
