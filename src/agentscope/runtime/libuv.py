"""How long uvloop has been idle: the one thing that its C library tells about its rounds.

libuv can add up the time that a loop spends waiting for events; Node.js computes its event-loop
utilisation from it. uvloop hands out the loop's address for such use and exports the library's
functions; where either is missing there is no idle clock, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

_METRICS_IDLE_TIME = 1
"""``UV_METRICS_IDLE_TIME`` of ``uv_loop_option``: libuv 1.39 and later."""


def idle_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], int] | None:
    """A function that gives the nanoseconds ``loop`` has been idle; None if it is no uvloop.

    The function may be called only from callbacks of the loop: a closed loop has no memory.
    It makes each round of the loop one system call longer.
    """
    module = sys.modules.get("uvloop.loop")
    if module is None or not isinstance(loop, module.Loop):
        return None
    import ctypes

    try:
        # PyDLL: the calls take nanoseconds, so the interpreter lock is kept.
        library = ctypes.PyDLL(str(module.__file__))
        configure, idle_time = library.uv_loop_configure, library.uv_metrics_idle_time
        capsule = module.libuv_get_loop_t_ptr(loop)
    except (AttributeError, OSError):
        return None
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    pointer = ctypes.c_void_p(pointer_of(capsule, None))
    configure.argtypes = [ctypes.c_void_p, ctypes.c_int]
    configure.restype = ctypes.c_int
    idle_time.argtypes = [ctypes.c_void_p]
    idle_time.restype = ctypes.c_uint64
    if configure(pointer, _METRICS_IDLE_TIME) != 0:
        return None

    def idle_ns() -> int:
        return int(idle_time(pointer))

    return idle_ns
