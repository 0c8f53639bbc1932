"""Locust users that hold conversations with an agent service.

A locustfile of one's own::

    from locust import between
    from agentscope.lab.load.users import ConversationUser

    class Customer(ConversationUser):
        wait_time = between(2, 5)
        message_path = "/v1/threads/{session_id}/runs"

        def message_body(self, text, stream):
            return {"input": text, "stream": stream}
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, task
from locust.env import Environment

from agentscope.lab.load.answers import Body, events_of, json_of
from agentscope.lab.load.exchange import exchange
from agentscope.lab.load.run import LoadRun, now_s
from agentscope.lab.load.scripts import Script

_STOP_TIMEOUT_S = 2.0


class ConversationUser(FastHttpUser):
    """One simulated user: opens a session, says the turns of a script, closes it, begins anew.

    Each request carries a ``traceparent`` of its own and leaves one line in the run directory.
    Between two turns the user thinks for ``wait_time`` (``--think`` unless the class has its own).
    Override the paths and the three methods without underscore after them for another service.
    """

    abstract = True

    session_path: ClassVar[str] = "/api/sessions"
    message_path: ClassVar[str] = "/api/sessions/{session_id}/messages"
    end_path: ClassVar[str | None] = "/api/sessions/{session_id}"
    """None where the service has nothing to end a session with."""

    def session_body(self) -> dict[str, Any]:
        """What is posted to open a session."""
        return {"user_id": f"loadtest-{self.user_id}"}

    def message_body(self, text: str, stream: bool) -> dict[str, Any]:
        """What is posted to say something; ``stream`` asks for server-sent events."""
        return {"message": text, "stream": stream}

    def session_of(self, answer: dict[str, Any]) -> str | None:
        """The session id in the answer to opening a session."""
        session_id = answer.get("session_id")
        return None if session_id is None else str(session_id)

    def says(self, answer: dict[str, Any]) -> bool:
        """Whether a turn's JSON answer holds anything."""
        return bool(answer.get("response"))

    def __init__(self, environment: Environment) -> None:
        self.load_run = LoadRun.of(environment)
        settings = self.load_run.settings
        self.network_timeout = self.connection_timeout = settings.turn_timeout_s
        super().__init__(environment)
        self.user_id: str
        self._random: Random
        self.user_id, self._random = self.load_run.new_user()
        self._session: str | None = None
        self._script: Script | None = None
        self._turn = 0
        self._ended_s = self._intended_s = now_s()
        # Locust asks the instance how long to wait: whatever the class says goes through _plan.
        self._think: Callable[[], float] = self.wait_time
        self.wait_time = self._plan  # type: ignore[method-assign] # that is the point

    def wait_time(self) -> float:
        """Seconds of thought before the next turn."""
        return self._random.uniform(*self.load_run.settings.think_s)

    def _plan(self) -> float:
        # The pause is counted from the end of the last request, whatever happened since.
        self._intended_s = self._ended_s + self._think()
        return max(0.0, self._intended_s - now_s())

    @task
    def say(self) -> None:
        """One turn, with the session's opening before the first and its end after the last."""
        if self._session is None or self._script is None:
            self._open()
            if self._session is None or self._script is None or self.load_run.is_over:
                return
        text = self._script.turns[self._turn]
        self._turn += 1
        self._send_turn(text, self._random.random() < self.load_run.settings.stream_share)
        if self._turn == len(self._script.turns):
            self._close()

    def on_stop(self) -> None:
        """Close the session that the end of the run leaves open."""
        if self._session is not None:
            with gevent.Timeout(_STOP_TIMEOUT_S, False):
                self._close()

    def _open(self) -> None:
        self._script, self._turn = self._random.choice(self.load_run.settings.scripts), 0

        def judge(body: Body) -> str | None:
            self._session = self.session_of(json_of(body.content))
            return "No session id in the answer" if self._session is None else None

        self._exchange("POST", self.session_path, self._intended_s, judge, self.session_body())
        self._intended_s = self._ended_s

    def _send_turn(self, text: str, stream: bool) -> None:
        self._exchange(
            "POST",
            self.message_path,
            self._intended_s,
            self._judge_stream if stream else self._judge_answer,
            self.message_body(text, stream),
            accept="text/event-stream" if stream else "application/json",
            turn=self._turn,
        )

    def _judge_answer(self, body: Body) -> str | None:
        return None if self.says(json_of(body.content)) else "Empty response from agent"

    def _judge_stream(self, body: Body) -> str | None:
        events = events_of(body.content)
        if any(name == "error" for name, _ in events):
            return "Error event in the stream"
        said = any(data.strip() not in ("", "[DONE]") for _, data in events)
        return None if said else "Empty response from agent"

    def _close(self) -> None:
        try:
            if self.end_path is not None:
                self._exchange("DELETE", self.end_path, self._ended_s, lambda _: None)
        finally:
            self._session = self._script = None

    def _exchange(
        self,
        method: str,
        path: str,
        intended_s: float,
        judge: Callable[[Body], str | None],
        body: dict[str, Any] | None = None,
        *,
        accept: str = "application/json",
        turn: int | None = None,
    ) -> None:
        try:
            exchange(
                self.client,
                self.load_run,
                method,
                path.format(session_id=self._session),
                name=path.format(session_id="[id]"),
                body=body,
                accept=accept,
                intended_s=intended_s,
                session=lambda: self._session,
                turn=turn,
                user=self.user_id,
                judge=judge,
            )
        finally:
            self._ended_s = now_s()
