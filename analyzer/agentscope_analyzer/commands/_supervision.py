"""A child process that is as good as run directly: signals go in, its end comes out."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Mapping

_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
}
"""What servers are told by signals: to end, to reload, to have a worker more or less."""

_POLL_S = 1.0
"""The child's end is noticed at once; this is for the one that could be missed."""


def supervise(program: str, line: list[str], environment: Mapping[str, str]) -> int:
    """Run ``program`` with the arguments ``line``; returns its wait status. Raises OSError.

    A signal that somebody sends to us is passed on. One that a terminal sends (Ctrl-C) is not: the
    terminal gives it to all of its foreground processes, and a second one makes servers give up
    what they are still answering.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    try:
        child = os.posix_spawn(
            program,
            line,
            environment,
            setsigmask=before,
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them; others need not
        )
        while True:
            told = signal.sigtimedwait(_FORWARDED | {signal.SIGCHLD}, _POLL_S)
            if told is not None and told.si_signo != signal.SIGCHLD and _by_somebody(told):
                os.kill(child, told.si_signo)
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _by_somebody(told: signal.struct_siginfo) -> bool:
    # kill() and its like have codes of 0 and below; what the kernel itself sends, above.
    return told.si_code <= 0


def as_the_command_ended(status: int) -> int:
    """The exit code of a wait status; where a signal was the end, end by that signal too."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump of ours says nothing
    with contextlib.suppress(ValueError, OSError):  # SIGKILL has no handler to reset
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code
