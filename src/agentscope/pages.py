"""The pages that the middleware answers itself: ``/metrics`` and, where wished for, resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agentscope import lifecycle
from agentscope.recording.recorder import Recorder

Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = Callable[[Recorder, Scope, Any], Awaitable[None]]


class Pages:
    """Which paths are ours, and what answers them; None for no such path.

    An application that has a route of its own at one of them keeps it.
    """

    def __init__(self, app: Any, metrics_path: str | None, resources_path: str | None) -> None:
        self._app = app
        self._answers: dict[str, Answer] = {}
        if metrics_path is not None:
            self._answers[metrics_path] = _metrics
        if resources_path is not None:
            self._answers[resources_path] = _resources
        self.endings = tuple(self._answers)
        """What a path of ours ends with: looked at first, for every request."""

    def of(self, scope: Scope) -> Answer | None:
        """What answers the request; None for the application itself."""
        if scope["method"] not in ("GET", "HEAD"):
            return None
        # Behind a proxy's prefix (uvicorn --root-path) the path begins with the prefix.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        answer = self._answers.get(path)
        if answer is None or (answer is _metrics and not lifecycle.settings().prometheus):
            return None
        routes = getattr(scope.get("app", self._app), "routes", None) or ()
        return None if any(getattr(route, "path", None) == path for route in routes) else answer


async def _metrics(recorder: Recorder, scope: Scope, send: Send) -> None:
    from agentscope.export.prometheus import serve

    await serve(recorder, send, scope["headers"])


async def _resources(recorder: Recorder, scope: Scope, send: Send) -> None:
    from agentscope.export.resources import serve

    await serve(scope, send)
