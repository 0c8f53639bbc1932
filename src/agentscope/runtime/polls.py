"""The polls of an event loop, seen at its selector where it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def hook(
    loop: asyncio.AbstractEventLoop,
    polling: Callable[[Callable[..., Any], float | None], Any],
) -> Callable[[], None] | None:
    """Have ``polling`` called for every poll of ``loop``; gives the way back, None if impossible.

    The selector is asyncio's own; that it sits at ``_selector`` is not promised, so nothing
    depends on it.
    """
    selector = getattr(loop, "_selector", None)
    select = getattr(selector, "select", None)
    if select is None or not hasattr(selector, "__dict__"):
        return None

    def watched(timeout: float | None = None) -> Any:
        return polling(select, timeout)

    vars(selector)["select"] = watched

    def unhook() -> None:
        if vars(selector).get("select") is watched:
            del vars(selector)["select"]

    return unhook
