"""``python tether.py COMMAND…``: become COMMAND, which ends when the process that asked for it does.

A child in a session of its own outlives a parent that is killed outright. On Linux the kernel can
be asked to send it SIGTERM then; the wish is the child's own and survives ``exec``. Done here and
not between fork and exec, where a process with threads must not run Python.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _main() -> None:
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it went before we had asked
            sys.exit(1)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")


if __name__ == "__main__":
    _main()
