"""Client libraries: which are supported, and when their calls are recorded.

Each hook is a file named after its library. It is imported when the library is, so a service pays
for what it uses.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable
from typing import Any, Literal

from agentscope.clients.patches import Patches
from agentscope.errors import ConfigError
from agentscope.recording import prices
from agentscope.recording.guard import internal_error

__all__ = ["LIBRARIES", "instrument_clients", "uninstrument_clients"]

LIBRARIES: dict[str, dict[str, tuple[str, str]]] = {
    "agents": {
        "agents.run_internal.tool_execution": ("openai_agents", "patch"),
        "agents.tool": ("openai_agents", "patch_errors"),
    },
    "aiohttp": {"aiohttp": ("aiohttp", "patch")},
    "aiosqlite": {"aiosqlite": ("aiosqlite", "patch")},
    "anthropic": {
        "anthropic._base_client": ("anthropic", "patch"),
        "anthropic._response": ("stainless", "patch_responses"),
    },
    "asyncpg": {"asyncpg": ("asyncpg", "patch")},
    "botocore": {
        "botocore.client": ("bedrock", "patch"),
        "botocore.eventstream": ("bedrock", "patch_streams"),
    },
    "google.genai": {
        "google.genai.errors": ("google_genai", "patch_errors"),
        "google.genai.models": ("google_genai", "patch"),
    },
    "httpx": {"httpx": ("httpx", "patch")},
    "httpx2": {"httpx2": ("httpx", "patch")},
    "langchain_core": {"langchain_core.tools.base": ("langchain", "patch_tools")},
    "langgraph": {"langgraph.pregel._runner": ("langchain", "patch_nodes")},
    "litellm": {
        "litellm": ("litellm", "patch"),
        "litellm.litellm_core_utils.streaming_handler": ("litellm", "patch_streams"),
        "litellm.router": ("litellm", "patch_router"),
        "litellm.rust_bridge.dispatch": ("litellm", "patch_dispatch"),
    },
    "openai": {
        "openai._response": ("stainless", "patch_responses"),
        "openai.resources.chat.completions.completions": ("openai", "patch_chat"),
        "openai.resources.embeddings": ("openai", "patch_embeddings"),
        "openai.resources.responses.responses": ("openai", "patch_responses"),
    },
    "pydantic_ai": {"pydantic_ai.toolsets.combined": ("pydantic_ai", "patch")},
    "psycopg": {"psycopg": ("psycopg", "patch")},
    "psycopg_pool": {"psycopg_pool": ("psycopg_pool", "patch")},
    "redis": {"redis": ("redis", "patch"), "redis.asyncio": ("redis", "patch_asyncio")},
    "sqlalchemy": {
        "sqlalchemy.engine.base": ("sqlalchemy", "patch_engine"),
        "sqlalchemy.pool": ("sqlalchemy", "patch_pool"),
    },
    "sqlite3": {"sqlite3": ("sqlite3", "patch")},
    "urllib3": {"urllib3": ("urllib3", "patch")},
}
"""Library → its modules that are patched once imported → our file and its function."""
_PROJECTS = {"agents": "openai-agents", "google.genai": "google-genai"}
"""What to install, where it is called otherwise than the library."""

_PRICED = frozenset({"anthropic", "google.genai", "litellm", "openai"})
"""Libraries whose calls cost money: the prices are loaded with them, before a turn can wait."""

_lock = threading.RLock()
_active: dict[str, Patches] = {}
_awaited: set[str] = set()  # modules with a post-import hook, which cannot be taken back


def instrument_clients(which: Literal["auto"] | str | Iterable[str] = "auto") -> list[str]:
    """Record the calls of client libraries; returns the names of those that are hooked.

    "auto" takes every supported library, now or when it is imported, and names those imported
    already; nothing happens for the others. A library asked for by name has to be there:
    ConfigError when it is unknown, not installed, or of a version whose methods we do not find.
    Hidden attempts, their waits and rate-limit headers are seen by the HTTP library's hook, so
    name ``httpx2`` (or ``httpx``) beside ``openai``. Calling it twice is calling it once.
    """
    by_name = which != "auto"
    names = _checked([which] if isinstance(which, str) else which) if by_name else list(LIBRARIES)
    with _lock:
        for name in names:
            _active.setdefault(name, Patches())
            for module in LIBRARIES[name]:
                _hook(name, module, by_name)
        return [name for name in names if by_name or name in sys.modules]


def uninstrument_clients() -> None:
    """Put every patched method back, the same object, and await no further import."""
    with _lock:
        for patches in _active.values():
            patches.undo()
        _active.clear()


def _checked(which: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(which))
    for name in names:
        if name not in LIBRARIES:
            known = ", ".join(sorted(LIBRARIES))
            raise ConfigError(f"no hook for the client library {name!r}; there is one for {known}")
        if name not in sys.modules and not _installed(name):
            project = _PROJECTS.get(name, name)
            raise ConfigError(f"{name} is not installed; pip install {project}, or do not name it")
    return names


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # nor the package above it
        return False


def _hook(name: str, module: str, by_name: bool) -> None:
    if module in sys.modules:
        _patch(name, sys.modules[module], by_name)
    elif module not in _awaited:
        import wrapt

        _awaited.add(module)
        wrapt.register_post_import_hook(lambda imported: _imported(name, imported), module)


def _imported(name: str, module: Any) -> None:
    with _lock:
        if name in _active:
            _patch(name, module, by_name=False)


def _patch(name: str, module: Any, by_name: bool) -> None:
    patches = _active[name]
    if module.__name__ in patches.modules:
        return
    file, function = LIBRARIES[name][module.__name__]
    try:
        getattr(importlib.import_module(f"{__name__}.{file}"), function)(module, patches)
        patches.modules.add(module.__name__)
        if name in _PRICED:
            prices.load()
    except Exception as error:
        patches.undo()
        _active[name] = Patches()
        if by_name:
            raise ConfigError(f"this version of {name} cannot be recorded: {error}") from error
        internal_error(f"clients.{name}", error)
