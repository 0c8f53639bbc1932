"""How long models take: until the first chunk, between chunks, in all."""

from __future__ import annotations

from agentscope import conventions as c
from by_model import REQUEST_MODEL, quantile
from frame import Panel
from links import RUNTIME
from panels import NO_CALLS, NO_STREAMS, Line, lines

_BY_MODEL = (REQUEST_MODEL,)
_LEGEND = f"{{{{{REQUEST_MODEL}}}}}"


def panels() -> list[Panel]:
    """The three parts of a call that a user feels."""
    return [
        lines(
            c.OPERATION_FIRST_CHUNK,
            "First chunk",
            Line(quantile(0.95, c.OPERATION_FIRST_CHUNK, by=_BY_MODEL), f"p95 {_LEGEND}"),
            Line(quantile(0.5, c.OPERATION_FIRST_CHUNK, by=_BY_MODEL), f"median {_LEGEND}"),
            empty=NO_STREAMS,
            read="Streamed calls only; hidden retries are in it, so a p95 far above the median is "
            "often a sleep.",
            then="p95 up and the median not: callers asleep says whether it is retries. Both up: fewer "
            "input tokens per call, or a faster model.",
        ),
        lines(
            c.OPERATION_CHUNK_GAP,
            "Between chunks, p95",
            Line(quantile(0.95, c.OPERATION_CHUNK_GAP, by=_BY_MODEL), _LEGEND),
            empty=NO_STREAMS,
            read="As the reader saw it: a blocked event loop shows here as well as a slow model.",
            then="if the event loop's delay rises with it, the service is the slow one.",
            more=RUNTIME,
        ),
        lines(
            c.OPERATION_DURATION,
            "Whole call",
            Line(quantile(0.95, c.OPERATION_DURATION, by=_BY_MODEL), f"p95 {_LEGEND}"),
            Line(quantile(0.5, c.OPERATION_DURATION, by=_BY_MODEL), f"median {_LEGEND}"),
            empty=NO_CALLS,
            read="From the request to the last chunk, retries and sleeps included.",
            then="longer with the same first chunk: longer answers, or a slow reader.",
        ),
    ]
