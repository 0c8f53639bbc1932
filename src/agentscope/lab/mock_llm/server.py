"""The mock LLM as a process, and as a thread beside a test."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from agentscope.lab.mock_llm.app import MockLlmApp
from agentscope.lab.mock_llm.settings import MockLlmSettings

_STOP_GRACE_S = 1
"""Answers that are still running then are cut off."""
_BACKLOG = 4096
_START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningMockLlm:
    """A mock LLM that is being served: where, and what it has done."""

    base_url: str
    """What an OpenAI client takes as its ``base_url``."""
    app: MockLlmApp

    @property
    def root_url(self) -> str:
        """What Google's and Amazon's clients take as their address: it is without ``/v1``."""
        return self.base_url.removesuffix("/v1")

    @property
    def anthropic_base_url(self) -> str:
        """What an Anthropic client takes as its ``base_url``, the same."""
        return self.root_url


def serve(
    settings: MockLlmSettings, on_ready: Callable[[RunningMockLlm], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; raises OSError if the address cannot be bound.

    ``on_ready`` is called once the server answers.
    """
    app = MockLlmApp(settings)
    with contextlib.closing(_bind(settings)) as listener:
        running_llm = RunningMockLlm(_base_url(listener), app)
        server = _Server(app, lambda: on_ready and on_ready(running_llm))
        server.run(sockets=[listener])


@contextlib.contextmanager
def running(
    settings: MockLlmSettings, clock_ns: Callable[[], int] = time.monotonic_ns
) -> Iterator[RunningMockLlm]:
    """Serve in a thread of this process for as long as the block lasts.

    ``clock_ns`` is the quotas' clock. Raises OSError if the address cannot be bound.
    """
    app = MockLlmApp(settings, clock_ns)
    ready = threading.Event()
    with contextlib.closing(_bind(settings)) as listener:
        server = _Server(app, ready.set)
        thread = threading.Thread(
            target=server.run, args=([listener],), name="mock-llm", daemon=True
        )
        thread.start()
        try:
            if not ready.wait(_START_TIMEOUT_S):
                msg = f"the mock LLM did not start within {_START_TIMEOUT_S:g} s"
                raise TimeoutError(msg)
            yield RunningMockLlm(_base_url(listener), app)
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """uvicorn, silent, telling when it is ready, and ended by a signal without an error."""

    def __init__(self, app: MockLlmApp, on_ready: Callable[[], Any]) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_GRACE_S,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again after a clean end, which would make it an error.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._stop) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        # A second signal does not wait for running answers.
        self.force_exit = self.should_exit
        self.should_exit = True


def _bind(settings: MockLlmSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except BaseException:
        listener.close()
        raise
    return listener


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
