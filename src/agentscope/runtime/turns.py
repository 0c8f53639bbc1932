"""Requests and turns in flight."""

from __future__ import annotations

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.runtime.sessions import SessionTable


class TurnSampler:
    """Counts what the recorder holds open; the sessions of open turns stay active."""

    def __init__(self, recorder: Recorder, sessions: SessionTable) -> None:
        self._recorder = recorder
        self._sessions = sessions

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.turns.active`` and ``http.server.active_requests``."""
        spans = list(self._recorder.open.values())
        for span in spans:
            session_id = span.attributes.get(c.CONVERSATION_ID)
            if isinstance(session_id, str) and span.attributes.get(c.TURN):
                self._sessions.renew(session_id)
        requests = sum(1 for span in spans if span.role is Role.REQUEST)
        instruments.set(c.TURNS_ACTIVE, (), self._recorder.turns_open())
        instruments.set(c.HTTP_SERVER_ACTIVE, (), requests)
