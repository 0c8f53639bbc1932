"""At whose door a block is laid."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from types import FunctionType

from agentscope.runtime.frames import Place, place

told: list[Place | None] = []


def look(*_: object) -> str:
    """Ask for the place of the caller, as the watchdog would from its thread."""
    told.append(place(sys._getframe(1)))
    return ""


def in_a_callback(work: Callable[[], object]) -> Place | None:
    """What ``look`` was told last, while a loop ran ``work``."""
    told.clear()
    loop = asyncio.new_event_loop()
    loop.call_soon(work)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return told[-1]


def lookup_order() -> None:
    look()


def serialise() -> None:
    json.dumps({"a": object()}, default=look, indent=1)


def total() -> None:
    sum(len(look(i)) for i in range(2))


def test_the_users_function_and_line() -> None:
    """The innermost frame of the user's, fully named."""
    line = lookup_order.__code__.co_firstlineno + 1
    assert in_a_callback(lookup_order) == Place(f"{__name__}.lookup_order", __file__, line, "")


def test_what_the_user_called_is_the_users_doing() -> None:
    """Inside ``json``, inside the user's function: the function is named, and what it called."""
    line = serialise.__code__.co_firstlineno + 1
    assert in_a_callback(serialise) == Place(f"{__name__}.serialise", __file__, line, "json.dumps")


def test_a_comprehension_goes_by_its_function() -> None:
    """Nobody looks for ``<genexpr>``."""
    where = in_a_callback(total)
    assert where is not None
    assert where.function == f"{__name__}.total"


def test_a_callback_of_a_library_is_named_by_the_library() -> None:
    """Where no frame is the user's there is still somebody to name."""
    file = "/opt/site-packages/broker/client.py"
    code = lookup_order.__code__.replace(co_filename=file, co_firstlineno=7)
    poll = FunctionType(code, {"__name__": "broker.client", "look": look})
    assert in_a_callback(poll) == Place("broker.client.lookup_order", file, 8, "")


def test_between_callbacks_there_is_no_place() -> None:
    """The code that started the loop, and waits for it, is not what blocks it."""

    def callback() -> None:
        runner = sys._getframe(1)  # asyncio's, of one callback
        told.extend([place(runner), place(runner.f_back)])

    assert in_a_callback(callback) is None
    assert told == [None, None]
    assert place(None) is None


def test_the_bottom_frame_ends_the_search() -> None:
    """uvloop runs callbacks from C: the frame below them is the one that runs the loop."""
    here = sys._getframe()
    assert place(here, id(here)) is None

    def above() -> Place | None:
        return place(sys._getframe(), id(here))

    found = above()
    assert found is not None
    assert found.function.endswith("above")
