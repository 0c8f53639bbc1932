"""One load run inside a Locust process: its options, its file, its stage, its manifest."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

import locust
import psutil
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from agentscope.lab.load.lines import LineWriter, RequestLine
from agentscope.lab.load.manifest import MANIFEST, RunManifest
from agentscope.lab.load.metrics import LoadCollector, RequestCounts, serve
from agentscope.lab.load.settings import LoadSettings, add_arguments
from agentscope.lab.load.shape import StagedRamp

RAMP, STEADY = "ramp", "steady"
"""The stages of a run that was given none."""

_STAGE_MESSAGE = "agentscope_stage"
_COUNTS = "agentscope_counts"
_WORKER_GRACE_S = 5.0
_log = logging.getLogger(__name__)

# One anchor a process: a step of the wall clock can neither stretch nor reorder what we write.
_EPOCH_S = time.time() - time.perf_counter()


def now_s() -> float:
    """Epoch seconds that only ever grow."""
    return _EPOCH_S + time.perf_counter()


class LoadRun:
    """What the users of one process share."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.settings = LoadSettings.of(environment.parsed_options)
        self.lines = LineWriter(self.settings.run_dir)
        self.counts = RequestCounts()
        self.stage = self.settings.stages[0].name if self.settings.stages else RAMP
        self.is_over = False
        """The time is over: users end the turn that they are in and begin no other."""
        self._process = ""
        self._users = 0

    @classmethod
    def of(cls, environment: Environment) -> LoadRun:
        """The run that belongs to a Locust environment."""
        run = _runs.get(environment)
        if run is None:
            run = _runs[environment] = cls(environment)
        return run

    def record(self, line: RequestLine) -> None:
        """A request has ended, however it did: write its line, count it."""
        self.lines.write(line)
        self.counts.add(line)

    def new_user(self) -> tuple[str, Random]:
        """An id that no other process gives, and the user's own source of chance."""
        if not self._process:  # not before the first user: a worker is forked before it works
            self._process = secrets.token_hex(4)
        self._users += 1
        user = f"{self._process}-{self._users}"
        seed = self.settings.seed
        if seed is None:
            return user, Random()
        worker = getattr(self.environment.runner, "worker_index", 0)
        return user, Random(f"{seed}/{worker}/{self._users}")


_runs: WeakKeyDictionary[Environment, LoadRun] = WeakKeyDictionary()


def _on_init(environment: Environment, **_: Any) -> None:
    run, runner = LoadRun.of(environment), environment.runner
    if not isinstance(runner, MasterRunner) and runner is not None:
        runner.register_message(_STAGE_MESSAGE, lambda msg, **_: setattr(run, "stage", msg.data))
    _listen(environment.events.test_start, lambda **_: setattr(run, "is_over", False))
    _listen(environment.events.test_stopping, lambda **_: setattr(run, "is_over", True))
    if isinstance(runner, WorkerRunner):
        _listen(environment.events.report_to_master, lambda data, **_: _report(run, data))
    else:
        _lead(run)


def _report(run: LoadRun, data: dict[str, Any]) -> None:
    data[_COUNTS] = run.counts.take()


def _serve_metrics(run: LoadRun, manifest: RunManifest) -> None:
    """Serve the generator's own metrics until Locust quits, if they are asked for."""
    if run.settings.metrics_at is None:
        return
    runner, hooks = run.environment.runner, run.environment.events

    def merge(data: dict[str, Any], **_: Any) -> None:
        if _COUNTS in data:  # a worker that was started with another locustfile has none
            run.counts.merge(data[_COUNTS])

    host, port = run.settings.metrics_at
    collector = LoadCollector(
        run.counts,
        users=lambda: 0 if runner is None else runner.user_count,
        stage=lambda: manifest.current_stage,
    )
    try:
        stop = serve(collector, host, port)
    except OSError as error:
        sys.exit(f"--metrics-port {host}:{port}: {error.strerror}; take another one")
    _listen(hooks.worker_report, merge)
    _listen(hooks.quit, lambda **_: stop())


def _lead(run: LoadRun) -> None:
    """Lead the stages and keep the manifest: in the only process, or in the master."""
    environment, settings = run.environment, run.settings
    options, hooks = environment.parsed_options, environment.events
    manifest = RunManifest(
        run_dir=settings.run_dir,
        users=0,
        spawn_rate=getattr(options, "spawn_rate", None) or 1,
        think_s=settings.think_s,
        generator=f"locust {locust.__version__}",
    )
    if (settings.run_dir / MANIFEST).exists():
        _log.warning("%s is of an earlier run and is replaced", settings.run_dir / MANIFEST)

    def announce(stage: str, users: int) -> None:
        manifest.stage(stage, users)
        if environment.runner is not None:
            environment.runner.send_message(_STAGE_MESSAGE, stage)

    def on_start(**_: Any) -> None:
        manifest.start()
        if settings.stages:
            announce(settings.stages[0].name, settings.stages[0].users)
        else:
            announce(RAMP, getattr(options, "num_users", None) or 1)

    def on_quit(**_: Any) -> None:
        _wait_for_workers(environment.stop_timeout + _WORKER_GRACE_S)
        if manifest.started_ns:
            manifest.end()

    def on_spawned(user_count: int, **_: Any) -> None:
        if not settings.stages:
            announce(STEADY, user_count)

    _serve_metrics(run, manifest)
    _listen(hooks.test_start, on_start)
    _listen(hooks.spawning_complete, on_spawned)
    _listen(hooks.test_stopping, lambda **_: manifest.stop())
    _listen(hooks.test_stop, lambda **_: manifest.end())
    _listen(hooks.quit, on_quit)
    if settings.stages:
        # Set here and not found by Locust in the locustfile: a shape class that Locust finds
        # replaces --users and --run-time even where no stages were asked for.
        shape = StagedRamp(settings.stages, getattr(options, "spawn_rate", None), announce)
        shape.runner = environment.runner
        environment.shape_class = shape


def _wait_for_workers(timeout_s: float) -> None:
    """Wait for the workers that ``--processes`` forked to finish their last turns.

    Locust's master leaves half a second after it has told them to quit (``kill_workers`` takes a
    worker that still runs for one that has ended). Whoever waits for the master then reads files
    that are still being written. The workers are not reaped here: Locust wants to.
    """
    deadline = time.monotonic() + timeout_s
    for worker in psutil.Process().children():
        while time.monotonic() < deadline and not _has_ended(worker.pid):
            time.sleep(0.05)


def _has_ended(child_pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, child_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _listen(hook: Any, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)


_listen(events.init_command_line_parser, lambda parser, **_: add_arguments(parser))
_listen(events.init, _on_init)
