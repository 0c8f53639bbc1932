"""The staged ramp as Locust's load shape."""

from __future__ import annotations

import time
from collections.abc import Callable

from locust import LoadTestShape

from agentscope.lab.load.stages import Stage, stage_at


class StagedRamp(LoadTestShape):
    """Holds each stage's users for its time; Locust asks once a second.

    ``announce(name, users)`` is called as a stage begins, before its users come; not
    for the first one, which begins with the test itself.
    """

    abstract = True  # not for Locust to find: it is used only where stages are asked for

    def __init__(
        self,
        stages: tuple[Stage, ...],
        spawn_rate: float | None,
        announce: Callable[[str, int], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Locust's has no types
        self._stages = stages
        self._spawn_rate = spawn_rate
        self._announce = announce
        self._current = stages[0]

    def tick(self) -> tuple[int, float] | None:
        """The users that there should be now and how many may come a second; None at the end."""
        stage = stage_at(self._stages, time.perf_counter() - self.start_time)
        if stage is None:
            return None
        if stage is not self._current:
            self._current = stage
            self._announce(stage.name, stage.users)
        # Without a rate of the user's own, a stage is reached within five seconds.
        return stage.users, self._spawn_rate or max(1.0, stage.users / 5)
