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
from agentscope.recording.guard import internal_error

__all__ = ["LIBRARIES", "instrument_clients", "uninstrument_clients"]

LIBRARIES: dict[str, dict[str, tuple[str, str]]] = {
    "aiohttp": {"aiohttp": ("aiohttp", "patch")},
    "anthropic": {
        "anthropic._base_client": ("anthropic", "patch"),
        "anthropic._response": ("stainless", "patch_responses"),
    },
    "asyncpg": {"asyncpg": ("asyncpg", "patch")},
    "google.genai": {"google.genai.models": ("google_genai", "patch")},
    "httpx": {"httpx": ("httpx", "patch")},
    "httpx2": {"httpx2": ("httpx", "patch")},
    "langchain_core": {"langchain_core.tools.base": ("langchain", "patch_tools")},
    "langgraph": {"langgraph.pregel._runner": ("langchain", "patch_nodes")},
    "openai": {
        "openai._response": ("stainless", "patch_responses"),
        "openai.resources.chat.completions.completions": ("openai", "patch_chat"),
        "openai.resources.embeddings": ("openai", "patch_embeddings"),
        "openai.resources.responses.responses": ("openai", "patch_responses"),
    },
    "urllib3": {"urllib3": ("urllib3", "patch")},
}
"""Library → its modules that are patched once imported → our file and its function."""

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
            project = name.replace(".", "-")
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
    except Exception as error:
        patches.undo()
        _active[name] = Patches()
        if by_name:
            raise ConfigError(f"this version of {name} cannot be recorded: {error}") from error
        internal_error(f"clients.{name}", error)
