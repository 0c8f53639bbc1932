"""Requests and turns in flight."""

from __future__ import annotations

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role


class TurnSampler:
    """Counts what the recorder holds open."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.turns.active`` and ``http.server.active_requests``."""
        requests = [s for s in list(self._recorder.open.values()) if s.role is Role.REQUEST]
        instruments.set(c.TURNS_ACTIVE, (), self._recorder.turns_open())
        instruments.set(c.HTTP_SERVER_ACTIVE, (), len(requests))
