"""``/metrics``: the instruments as Prometheus text, rendered off the event loop."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from agentscope.export.prometheus import burial, exemplars, merging, neighbours, workers
from agentscope.export.prometheus.aliases import AliasFamily, aliases_of
from agentscope.export.prometheus.families import counted, family_of, without_older_names
from agentscope.export.prometheus.negotiation import format_for, takes_gzip
from agentscope.export.prometheus.pace import Pace, PacedSamples
from agentscope.recording.guard import note_error
from agentscope.recording.recorder import Recorder
from agentscope.settings import METRICS_DIRECTORY, metrics_directory

_log = logging.getLogger("agentscope")

CATCH_UP_S = 0.5
"""How long a scrape waits for spans that have ended but are not counted yet."""

MIN_GZIP_BYTES = 1024

Header = tuple[bytes, bytes]


class InstrumentsCollector(Collector):
    """The recorder's instruments as prometheus_client wants them."""

    def __init__(self, recorder: Recorder, pace: Pace | None = None) -> None:
        self._recorder = recorder
        self._pace = pace or Pace()

    def collect(self) -> Iterator[Family]:
        """Every metric that has a series, as of now."""
        clock = self._recorder.clock
        for metric, points in counted(self._recorder):
            yield family_of(metric, self._pace.over(points), clock)


class NothingToTell(Exception):
    """What the workers share cannot be written, so that the figures of one alone would mislead."""


def render(recorder: Recorder, accept: str = "") -> tuple[bytes, str]:
    """What a scrape is answered with, and its content type. Blocks; call it from a thread.

    The service's own metrics (prometheus_client's default registry) stand behind ours. Where its
    workers share a directory, ``PROMETHEUS_MULTIPROC_DIR``, the answer is of all of them; raises
    NothingToTell where this one never could write there. Exemplars are told to who asks for
    OpenMetrics.
    """
    recorder.catch_up(CATCH_UP_S)
    pace = Pace()
    shared = metrics_directory()
    if shared is None:
        _warn_of_neighbours()
        ours, theirs = list(InstrumentsCollector(recorder, pace).collect()), _collected(REGISTRY)
    else:
        ours, theirs = _of_all_workers(recorder, shared, pace), []
    aliases = aliases_of(ours, pace)
    if recorder.genai_names == "new":
        ours = list(without_older_names(ours))
    exemplars.bound(ours)
    for family in ours:
        family.samples = PacedSamples(family.samples, pace)
    encode, content_type = choose_encoder(format_for(accept))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(_named_once([*aliases, *ours, *theirs])))
    return encode(registry), content_type


@cache  # once
def _warn_of_neighbours() -> None:
    workers_asked_for = neighbours.workers_asked_for()
    if workers_asked_for > 1:
        _log.warning(
            "agentscope: %d workers answer /metrics in turns, each for itself, so that counters jump "
            "back and forth; set %s to an empty directory that they share",
            workers_asked_for,
            METRICS_DIRECTORY,
        )


def _of_all_workers(recorder: Recorder, shared: Path, pace: Pace) -> list[Family]:
    try:
        workers.publish(recorder, shared)
    except OSError as error:
        note_error("metrics of workers", error)
        if not workers.has_published(recorder):
            raise NothingToTell(f"{METRICS_DIRECTORY}={shared}: {error.strerror}") from error
    try:
        burial.bury(shared, pace)
    except OSError as error:
        note_error("files of ended workers", error)
    families = merging.merged(shared, pace)
    exemplars.attach(families, shared)
    return families


class _Families(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        yield from self._families


def _collected(registry: CollectorRegistry) -> list[Family]:
    """The service's own metrics; one of its collectors that fails must not hide ours."""
    try:
        return list(registry.collect())
    except Exception as error:
        note_error("the service's own collectors", error)
        return []


def _named_once(families: Iterable[Family]) -> list[Family]:
    """A name that stands twice would fail the scrape: the first has it, but an alias gives way."""
    found: dict[str, Family] = {}
    for family in families:
        if family.name not in found or isinstance(found[family.name], AliasFamily):
            found[family.name] = family
    return list(found.values())


@dataclass(slots=True)
class _Answer:
    status: int
    headers: list[Header]
    body: bytes


class _Scrapes:
    """The scrapes of one event loop, one at a time: those that wait for the same share an answer.

    In one thread, and not of those that the service has for its own work; one for each event loop,
    for a limiter belongs to the loop that used it first.
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._turn = anyio.Lock()
        self._waiting: dict[tuple[Recorder, str, bool], _Scrape] = {}

    async def answer(self, recorder: Recorder, wanted: str, compressed: bool) -> _Answer:
        key = recorder, wanted, compressed
        while (scrape := self._waiting.get(key)) is not None:
            await scrape.over.wait()
            if scrape.answer is not None:  # None where who asked first has gone away
                return scrape.answer
        scrape = self._waiting[key] = _Scrape()
        try:
            async with self._turn:
                del self._waiting[key]  # who comes now wants newer figures
                scrape.answer = await anyio.to_thread.run_sync(_answer, *key, limiter=self._limiter)
        finally:
            if self._waiting.get(key) is scrape:
                del self._waiting[key]
            scrape.over.set()
        return scrape.answer


class _Scrape:
    def __init__(self) -> None:
        self.over = anyio.Event()
        self.answer: _Answer | None = None


_scrapes: RunVar[_Scrapes] = RunVar("agentscope-metrics")


def _of_this_loop() -> _Scrapes:
    try:
        return _scrapes.get()
    except LookupError:
        scrapes = _Scrapes()
        _scrapes.set(scrapes)
        return scrapes


def _answer(recorder: Recorder, wanted: str, compressed: bool) -> _Answer:
    try:
        body, content_type = render(recorder, wanted)
        status = 200
    except NothingToTell as reason:
        body, content_type, status = f"{reason}\n".encode(), "text/plain; charset=utf-8", 503
    headers = [(b"content-type", content_type.encode()), (b"vary", b"accept, accept-encoding")]
    if compressed and len(body) >= MIN_GZIP_BYTES:
        body = gzip.compress(body, 1)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    return _Answer(status, headers, body)


async def serve(
    recorder: Recorder,
    send: Callable[[dict[str, Any]], Awaitable[None]],
    headers: Iterable[Header] = (),
) -> None:
    """Answer a scrape that came with these headers."""
    asked: dict[bytes, list[str]] = {}
    for name, value in headers:
        asked.setdefault(name, []).append(value.decode("latin-1"))
    answer = await _of_this_loop().answer(
        recorder,
        format_for(",".join(asked.get(b"accept", []))),
        takes_gzip(",".join(asked.get(b"accept-encoding", []))),
    )
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})
