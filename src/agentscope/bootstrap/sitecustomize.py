"""Imported by every Python process below ``agentscope record``, before anything of its own.

It must be quick and work in any Python, also where agentscope is not installed: it waits for
FastAPI and Starlette and imports nothing of ours until then. The ``sitecustomize`` that it
hides from the process is run after it, and nothing in here catches what that one raises.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys

TYPE_CHECKING = False  # importing typing for it would cost each process milliseconds
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

_said: list[str] = []
_AWAITED = frozenset({"fastapi.applications", "starlette.applications"})


class _Finder:
    """Finds what is awaited as everybody else does, and has it loaded by ``_Loader``."""

    def __init__(self) -> None:
        self.searching: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _AWAITED or name in self.searching:
            return None
        from importlib.util import find_spec

        self.searching.add(name)
        try:
            spec = find_spec(name)
        finally:
            self.searching.discard(name)
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader)
            spec.loader = loader
        return spec


class _Loader:
    """Loads a module as its own loader would, then begins to record."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self.loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _begin(module)


def _begin(module: ModuleType) -> None:
    try:
        from agentscope.bootstrap import record_applications

        record_applications(module)
    except ImportError as error:
        advice = "pip install agentscope-observability there"
        if "agentscope" in sys.modules and not hasattr(sys.modules["agentscope"], "instrument"):
            advice = "the agentscope there is another project's; the two cannot share a Python"
        _say(f"{sys.executable} cannot be recorded: {error}; {advice}")
    except Exception as error:
        _say(f"{sys.executable} cannot be recorded: {type(error).__name__}: {error}")


def _say(text: str) -> None:
    if not _said and sys.stderr is not None:  # what fails with Starlette fails with FastAPI too
        sys.stderr.write(f"agentscope record: {text}\n")
    _said.append(text)


def _run_the_one_behind(folder: str) -> None:
    paths = [entry for entry in sys.path if entry != folder]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", paths)
    sys.path[:] = paths
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


sys.meta_path.insert(0, _Finder())
_run_the_one_behind(__file__.rpartition(os.sep)[0])
