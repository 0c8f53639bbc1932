"""The recorder itself: whether what the other rows show is all there was."""

from __future__ import annotations

from agentscope import conventions as c
from frame import Panel
from panels import PER_SECOND, Line, lines
from queries import gauge, rate

_SINK = ("signal", "sink")
_SINK_LEGEND = "{{signal}} {{sink}}"


def panels() -> list[Panel]:
    """The ledger: created is delivered, dropped or pending."""
    return [
        lines(
            c.SDK_CREATED,
            "Records made, delivered",
            Line(rate(c.SDK_CREATED, by=_SINK), f"made {_SINK_LEGEND}"),
            Line(rate(c.SDK_DELIVERED, by=_SINK), f"delivered {_SINK_LEGEND}"),
            empty="no sink",
            unit=PER_SECOND,
            span=6,
            read="The two should lie on each other.",
            then="a gap: see what was given up, and the backlog.",
        ),
        lines(
            c.SDK_DROPPED,
            "Records given up",
            Line(rate(c.SDK_DROPPED, by=(*_SINK, "reason")), f"{{{{reason}}}} {_SINK_LEGEND}"),
            empty="none given up",
            unit=PER_SECOND,
            span=6,
            read="Zero is right, except not_sampled, which is what sampling asked for.",
            then="any other reason: the traces of that time are incomplete; the disk or the "
            "collector behind the sink is too slow.",
        ),
        lines(
            c.SDK_PENDING,
            "Records on their way",
            Line(f"sum by (signal, sink) ({gauge(c.SDK_PENDING)})", _SINK_LEGEND),
            empty="no sink",
            span=6,
            read="A short backlog is normal.",
            then="a steady rise ends in records given up: look at the sink.",
        ),
        lines(
            c.SDK_INTERNAL_ERRORS,
            "Recorder's own faults",
            Line(rate(c.SDK_INTERNAL_ERRORS, by=("where",)), "{{where}}"),
            empty="no faults",
            unit=PER_SECOND,
            span=6,
            read="Caught, so the service goes on with less telemetry.",
            then="the log has the traceback of the first: report it.",
        ),
    ]
