"""``manifest.json``: the run as a whole, as its load generator knows it."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentscope.conventions import RUN_SCHEMA

MANIFEST = "manifest.json"


@dataclass
class RunManifest:
    """Start, end and stages of a run; written whole at every change, by one process only.

    ``ended_ns`` stays null when the generator was killed before it could say goodbye.
    """

    run_dir: Path
    users: int
    spawn_rate: float
    think_s: tuple[float, float]
    generator: str
    run_id: str = ""
    started_ns: int = 0
    ended_ns: int | None = None
    stages: list[dict[str, Any]] = field(default_factory=list)

    def start(self, now_ns: int | None = None) -> None:
        """The first user is about to come."""
        self.started_ns = time.time_ns() if now_ns is None else now_ns
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.started_ns / 1e9))
        self.run_id = f"{moment}-{secrets.token_hex(3)}"
        self.write()

    def stage(self, name: str, users: int, now_ns: int | None = None) -> None:
        """A stage begins, the one before it ends."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        if self.stages:
            self.stages[-1]["end_ns"] = now_ns
        self.stages.append({"name": name, "start_ns": now_ns, "end_ns": None, "users": users})
        self.users = max(self.users, users)
        self.write()

    def stop(self, now_ns: int | None = None) -> None:
        """The time is over: turns that run may end, none begins, so this is the last stage's end."""
        if self.stages:
            self.stages[-1]["end_ns"] = time.time_ns() if now_ns is None else now_ns
            self.write()

    def end(self, now_ns: int | None = None) -> None:
        """The last user has gone; said again, the later end counts."""
        self.ended_ns = time.time_ns() if now_ns is None else now_ns
        if self.stages and self.stages[-1]["end_ns"] is None:
            self.stages[-1]["end_ns"] = self.ended_ns
        self.write()

    @property
    def current_stage(self) -> str | None:
        """The name of the stage that is on; None before the run and after it."""
        if not self.stages or self.ended_ns is not None:
            return None
        return str(self.stages[-1]["name"])

    def write(self) -> None:
        """Replace the file: a reader sees the old one or the new one, never half of it."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        temporary = self.run_dir / f".{MANIFEST}.{os.getpid()}"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.run_dir / MANIFEST)

    def as_dict(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "schema": RUN_SCHEMA,
            "run_id": self.run_id,
            "started_ns": self.started_ns,
            "ended_ns": self.ended_ns,
            "load": {
                "stages": self.stages,
                "users": self.users,
                "spawn_rate": self.spawn_rate,
                "think_time_s": list(self.think_s),
                "generator": self.generator,
            },
        }
