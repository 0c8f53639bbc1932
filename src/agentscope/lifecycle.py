"""This process's recorder: made, found, remade after a fork, ended."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import secrets
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, cast

from agentscope.errors import AgentscopeWarning, ConfigError
from agentscope.recording.guard import forget_internal_errors
from agentscope.recording.process import resource_of
from agentscope.recording.recorder import Recorder
from agentscope.recording.sink import Sink
from agentscope.recording.span import AttributeValue
from agentscope.runtime.sessions import SessionTable
from agentscope.settings import Settings, load, metrics_directory

if TYPE_CHECKING:
    import asyncio

    from agentscope.recording.genai_names import Names
    from agentscope.runtime.event_loop import LoopMonitor
    from agentscope.runtime.gc_pauses import GcMonitor
    from agentscope.runtime.throttling import QuotaMonitor
    from agentscope.runtime.wait_hooks import WaitMonitor

_lock = threading.RLock()
_settings: Settings | None = None

recorder: Recorder | None = None
"""The recorder of this process, None while nothing is recorded. Read it at call time."""

sessions = SessionTable()
"""The sessions that this process has seen lately."""

_applications = 0
"""Applications between start-up and shutdown: the last to end ends the recording."""

_ends_with_worker = False

_loops: LoopMonitor | None = None
_collector: GcMonitor | None = None
_quota: QuotaMonitor | None = None
_waits: WaitMonitor | None = None


def configure(**given: Any) -> Settings:
    """Take the settings and start recording with them; raises ConfigError for what cannot work."""
    global _settings
    sources = load(given)
    settings = sources.settings
    if settings.run_dir is not None:
        from agentscope.export.run_directory import check_writable

        try:
            check_writable(settings.run_dir)
        except OSError as error:
            message = f"cannot write the run directory {settings.run_dir}: {error.strerror}"
            if settings.strict or "run_dir" not in sources.from_environment:
                raise ConfigError(f"{message}; choose another with run_dir=…") from error
            warnings.warn(
                f"agentscope: {message}; going on without it", AgentscopeWarning, stacklevel=3
            )
            settings = load({**given, "run_dir": None}, {}).settings
    with _lock:
        watched = _loops.watched() if _loops is not None else []
        if recorder is not None:
            shutdown()
        _settings = settings
        _start(settings)
        for loop in watched:  # an application may configure us in its own start-up
            start_serving(loop)
    return settings


def ensure() -> Recorder:
    """The recorder, started with the environment's settings if nobody has configured one."""
    if recorder is None:
        with _lock:
            if recorder is None:
                if _settings is None:
                    configure()
                else:
                    _start(_settings)
    assert recorder is not None
    return recorder


def settings() -> Settings:
    """The settings in force."""
    return _settings if _settings is not None else Settings()


def flush(timeout_s: float = 2.0) -> bool:
    """Deliver everything that has ended; False when ``timeout_s`` was not enough.

    Blocks, so call it from a thread where an event loop runs:
    ``await asyncio.to_thread(agentscope.flush)``.
    """
    return recorder is None or recorder.flush(timeout_s)


def shutdown(timeout_s: float = 2.0) -> bool:
    """Stop recording: open turns are written as ``open``, everything is delivered, bounded.

    ``instrument``, ``configure`` or the start of an instrumented application record again, into
    files of their own. False when ``timeout_s`` was not enough.
    """
    global recorder
    with _lock:
        ending, recorder = recorder, None
        _stop_monitors()
    return ending is None or ending.shutdown(timeout_s)


def start_serving(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """An application runs on ``loop``, or the event loop that runs here: record."""
    ensure().ensure_running()
    if _loops is not None:
        _loops.start(loop)


def enter_application() -> None:
    """An application starts up: record, also after the end of an earlier one."""
    global _applications
    with _lock:
        _applications += 1
    start_serving()


def leave_application() -> bool:
    """An application is over; whether it was the last of this process."""
    global _applications
    with _lock:
        _applications = max(0, _applications - 1)
        return not _applications


async def stop_serving() -> None:
    """An application is about to end: deliver everything, without blocking its event loop.

    While others run in this process, it goes on recording for them.
    """
    import anyio.to_thread

    deliver = shutdown if leave_application() else flush
    await anyio.to_thread.run_sync(deliver, limiter=anyio.CapacityLimiter(1))


def version() -> str:
    """The version of the installed distribution."""
    try:
        return importlib.metadata.version("agentscope-observability")
    except importlib.metadata.PackageNotFoundError:  # run from a copied folder
        return "0+unknown"


def _start(settings: Settings) -> None:
    global recorder
    # One process on one boot: a pid alone comes again.
    instance = f"{os.getpid()}-{secrets.token_hex(4)}"
    release = version()
    resource = resource_of(settings.service_name, instance, release)
    sinks: list[Sink] = []
    if settings.run_dir is not None:
        from agentscope.export.run_directory import RunDirectory

        sinks.append(RunDirectory(settings.run_dir, instance, resource, release))
    starting = Recorder(
        resource,
        sinks,
        config={
            "sample_ratio": settings.sample_ratio,
            "trust_incoming": settings.trust_incoming,
            "session_idle_s": settings.session_idle_s,
        },
        sample_ratio=settings.sample_ratio,
        max_queue_bytes=settings.max_queue_bytes,
    )
    starting.genai_names = cast("Names", settings.genai_metrics)  # checked when they were made
    if settings.tracer_provider is not None:
        from agentscope.export.provider import forward_to

        starting.listeners.append(forward_to(settings.tracer_provider, release))
    if settings.prometheus and metrics_directory() is not None:
        from agentscope.export.prometheus.workers import publish_each_second

        publish_each_second(starting)
    _attach_otlp(settings, starting, resource, release)
    sessions.configure(settings.session_idle_s, starting.clock, settings.max_sessions)
    _start_monitors(starting)
    if settings.postgres_dsn is not None:
        from agentscope.runtime.postgres import PostgresSampler

        sampler = PostgresSampler(settings.postgres_dsn, settings.service_name)
        starting.samplers.append(sampler.sample)
    _end_with_worker()
    recorder = starting


def _attach_otlp(
    settings: Settings, starting: Recorder, resource: dict[str, AttributeValue], release: str
) -> None:
    """Have records sent, where that is wished for; raises ConfigError where ``configure`` said so.

    What only the environment asks for, perhaps for somebody else, is warned about.
    """
    from agentscope.export.otlp.endpoint import is_asked_for, is_disabled

    if is_disabled(os.environ):
        return
    asked_for = settings.otlp_endpoint is not None or is_asked_for(os.environ)
    if not (asked_for if settings.otlp is None else settings.otlp):
        return
    from agentscope.export.otlp.setup import courier_of

    try:
        courier = courier_of(settings, starting, resource, release)
    except ConfigError as error:
        if settings.strict or settings.otlp or settings.otlp_endpoint is not None:
            raise
        warnings.warn(f"agentscope sends nothing by OTLP: {error}", AgentscopeWarning, stacklevel=5)
        return
    if courier is not None:
        starting.attach(courier)


def _start_monitors(starting: Recorder) -> None:
    """Watch what the process does besides its turns. Event loops are watched once they serve."""
    global _loops, _collector, _quota, _waits
    from agentscope.runtime.event_loop import LoopMonitor
    from agentscope.runtime.gc_pauses import GcMonitor
    from agentscope.runtime.process import ProcessSampler
    from agentscope.runtime.throttling import QuotaMonitor
    from agentscope.runtime.turns import TurnSampler
    from agentscope.runtime.wait_hooks import WaitMonitor

    starting.samplers += [
        TurnSampler(starting, sessions).sample,
        sessions.sample,
        ProcessSampler().sample,
    ]
    _loops = LoopMonitor(starting)
    _collector = GcMonitor(starting)
    _collector.start()
    _quota = QuotaMonitor(starting)
    _quota.start()
    _waits = WaitMonitor(starting)
    _waits.start()


def _stop_monitors() -> None:
    global _loops, _collector, _quota, _waits
    for monitor in (_loops, _collector, _quota, _waits):
        if monitor is not None:
            monitor.stop()
    _loops = _collector = _quota = _waits = None


def _after_fork_in_child() -> None:
    # The child has the parent's objects but not its thread, and its locks may be held for ever.
    global recorder, _lock, _loops, _applications
    _lock = threading.RLock()
    _loops = None  # its loops are the parent's
    _applications = 0
    parents, recorder = recorder, None
    forget_internal_errors()
    if parents is not None:
        # Spans that were open at the fork are the parent's to end.
        parents.take = lambda span, end_ns: None  # type: ignore[method-assign]
        if _settings is not None:
            sessions.clear()
            _start(_settings)


def _at_exit() -> None:
    # For scripts and queue workers; servers end by signals that skip this. A process that has
    # recorded nothing, such as the parent of workers, has nothing to say.
    if recorder is not None and recorder.running:
        shutdown()


def _end_with_worker() -> None:
    """Have ``multiprocessing`` call us when a worker of its ends: workers skip ``atexit``."""
    global _ends_with_worker
    util = sys.modules.get("multiprocessing.util")
    if util is None or _ends_with_worker:
        return
    _ends_with_worker = True

    def finalize(_: object = None) -> None:
        util.Finalize(None, _at_exit, exitpriority=0)

    # First thing in a worker it forgets the finalizers and calls what is registered here.
    util.register_after_fork(sessions, finalize)
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        finalize()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
