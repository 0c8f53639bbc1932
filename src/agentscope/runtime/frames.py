"""Whose code a thread is in: the innermost frame of the user's own."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import NamedTuple

MAX_DEPTH = 400
"""Frames looked at: a deep recursion must not make the look itself a pause."""

_HERE = str(Path(__file__).resolve().parents[1]) + os.sep
_STDLIB = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_RUN_CALLBACK = asyncio.Handle._run.__code__
_RUN_ONCE = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # not in typeshed
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ITERABLE_COROUTINE
_INNER = re.compile(r"(\.<locals>\.<(genexpr|listcomp|setcomp|dictcomp)>)+$")


class Place(NamedTuple):
    """A place in the code. ``callee`` is what it was calling, empty where that is not Python."""

    function: str
    file: str
    line: int
    callee: str


class Site(NamedTuple):
    """A line of code from which something was asked for."""

    function: str
    file: str
    line: int
    name: str
    """The file within its package, and the line: the same wherever the service is installed."""
    users: bool
    """Whether the code is the user's own, and not a library's."""


def place(innermost: FrameType | None, bottom: int = 0) -> Place | None:
    """The place in the user's code that a loop's thread is in, from its innermost frame.

    Only the callback that the loop is running is looked at, not the code that started the loop: it
    ends at asyncio's runner of callbacks, or at the frame whose ``id`` is ``bottom``. A callback
    without a frame of the user's is named by the innermost frame of an installed library, or
    else of the standard library. None between callbacks.
    """
    best: FrameType | None = None
    best_callee: FrameType | None = None
    best_rank = _OURS
    frame, inner = innermost, None
    for _ in range(MAX_DEPTH):
        if frame is None or frame.f_code is _RUN_ONCE:
            return None
        if frame.f_code is _RUN_CALLBACK or id(frame) == bottom:
            break
        rank = _rank(frame.f_code.co_filename)
        if rank > best_rank:
            best, best_callee, best_rank = frame, inner, rank
            if rank == _USER:
                break
        if rank != _OURS:
            inner = frame
        frame = frame.f_back
    if best is None:
        return None
    line = best.f_lineno or best.f_code.co_firstlineno
    callee = _name(best_callee) if best_callee is not None else ""
    return Place(_name(best), best.f_code.co_filename, line, callee)


def site(
    frame: FrameType | None, barred: Callable[[str], bool] = lambda module: False
) -> Site | None:
    """The innermost line of the user's own from ``frame`` outwards, else that of a library.

    Only the present task is looked at, not the code that runs its event loop. None where a module
    that is ``barred`` asked for it, on its own or on the user's behalf, and where nobody's code but
    ours and the standard library's is on the way.
    """
    found: FrameType | None = None
    rank, in_task = _OURS, False
    for _ in range(MAX_DEPTH):
        if frame is None:
            break
        flags = frame.f_code.co_flags
        if in_task and not flags & (_COROUTINE | _GENERATOR):
            break  # what runs the task
        in_task = in_task or bool(flags & _COROUTINE)
        rank = _rank(frame.f_code.co_filename)
        if rank == _USER:
            found = frame
            break
        if rank == _LIBRARY:
            if barred(str(frame.f_globals.get("__name__"))):
                return None
            found = found or frame
        frame = frame.f_back
    if found is None:
        return None
    file, line = found.f_code.co_filename, found.f_lineno or found.f_code.co_firstlineno
    module = str(found.f_globals.get("__name__"))
    name = f"{_within_package(file, module)}:{line}"
    return Site(_name(found), file, line, name, rank == _USER)


_OURS, _STANDARD, _LIBRARY, _USER = range(4)


@lru_cache(maxsize=4096)
def _rank(filename: str) -> int:
    if filename.startswith(_HERE):
        return _OURS
    if any(part in filename for part in _INSTALLED):
        return _LIBRARY
    if filename.startswith(("<frozen ", *_STDLIB)):
        return _STANDARD
    return _USER


def _name(frame: FrameType) -> str:
    # Fully qualified, as the semantic conventions define code.function.name; a comprehension
    # goes by the function it is written in.
    module = frame.f_globals.get("__name__")
    name = _INNER.sub("", frame.f_code.co_qualname)
    return f"{module}.{name}" if isinstance(module, str) else name


@lru_cache(maxsize=4096)
def _within_package(filename: str, module: str) -> str:
    path = Path(filename)
    folders = module.count(".") + (path.name == "__init__.py")
    return "/".join(path.parts[-1 - folders :])
