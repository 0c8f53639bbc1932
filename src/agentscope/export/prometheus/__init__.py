"""``/metrics``: the instruments as Prometheus text, rendered off the event loop."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from agentscope.export.prometheus import workers
from agentscope.export.prometheus.aliases import AliasFamily, aliases_of
from agentscope.export.prometheus.families import counted, family_of, without_older_names
from agentscope.export.prometheus.pace import Pace, PacedSamples
from agentscope.recording.guard import note_error
from agentscope.recording.recorder import Recorder
from agentscope.settings import metrics_directory

FLUSH_S = 0.5
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


def render(recorder: Recorder, accept: str = "") -> tuple[bytes, str]:
    """What a scrape is answered with, and its content type. Blocks; call it from a thread.

    The service's own metrics (prometheus_client's default registry) stand behind ours. Where its
    workers share a directory, ``PROMETHEUS_MULTIPROC_DIR``, the answer is of all of them.
    Exemplars are told to who asks for OpenMetrics.
    """
    recorder.flush(FLUSH_S)
    pace = Pace()
    shared = metrics_directory()
    if shared is None:
        ours, theirs = list(InstrumentsCollector(recorder, pace).collect()), _collected(REGISTRY)
    else:
        workers.publish(recorder, shared)
        ours, theirs = workers.merged(shared, pace), []
    aliases = aliases_of(ours, pace)
    if recorder.genai_names == "new":
        ours = list(without_older_names(ours))
    for family in ours:
        family.samples = PacedSamples(family.samples, pace)
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(_named_once([*aliases, *ours, *theirs])))
    return encode(registry), content_type


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


# One thread, and not of those that the service has for its own work; one for each event loop, for
# a limiter belongs to the loop that used it first.
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("agentscope-metrics")


def _one_at_a_time() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(1)
        _limiter.set(limiter)
        return limiter


def _answer(recorder: Recorder, asked: dict[bytes, str]) -> tuple[bytes, list[Header]]:
    body, content_type = render(recorder, asked.get(b"accept", ""))
    headers = [(b"content-type", content_type.encode()), (b"vary", b"accept, accept-encoding")]
    if len(body) >= MIN_GZIP_BYTES and "gzip" in asked.get(b"accept-encoding", ""):
        body = gzip.compress(body, 1)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    return body, headers


async def serve(
    recorder: Recorder,
    send: Callable[[dict[str, Any]], Awaitable[None]],
    headers: Iterable[Header] = (),
) -> None:
    """Answer a scrape that came with these headers."""
    asked = {name: value.decode("latin-1") for name, value in headers}
    body, answered = await anyio.to_thread.run_sync(
        _answer, recorder, asked, limiter=_one_at_a_time()
    )
    await send({"type": "http.response.start", "status": 200, "headers": answered})
    await send({"type": "http.response.body", "body": body})
