"""Spans for a tracer provider of the user's: OpenTelemetry SDK objects for its processors.

They are made in the recorder's thread from ended spans, so processors see ``on_end`` and never
``on_start``; with a ``BatchSpanProcessor`` any exporter made for the SDK works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentscope.errors import ConfigError
from agentscope.recording.clock import Clock
from agentscope.recording.span import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SpanListener = Callable[[Span, Clock], None]


def forward_to(provider: TracerProvider, version: str) -> SpanListener:
    """What hands each ended span to ``provider``; raises ConfigError for what is no SDK provider."""
    processor: Any = getattr(provider, "_active_span_processor", None)
    if processor is None:
        raise ConfigError(
            "tracer_provider must be an opentelemetry.sdk.trace.TracerProvider, not "
            f"{type(provider).__name__}"
        )
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import (
        Link,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
    )

    scope = InstrumentationScope("agentscope", version)
    resource = provider.resource
    sampled = TraceFlags(TraceFlags.SAMPLED)

    def context(trace_id: int, span_id: int) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=sampled)

    def forward(span: Span, clock: Clock) -> None:
        processor.on_end(
            ReadableSpan(
                name=span.name,
                context=context(span.trace_id, span.span_id),
                parent=context(span.trace_id, span.parent_id) if span.parent_id else None,
                resource=resource,
                attributes=dict(span.attributes),
                events=[
                    Event(name, attributes=attributes, timestamp=clock.epoch_ns(at_ns))
                    for at_ns, name, attributes in span.events or ()
                ],
                links=[Link(context(*link)) for link in span.links or ()],
                kind=SpanKind(span.kind - 1),  # OTLP counts from 1
                instrumentation_scope=scope,
                status=Status(StatusCode(span.status)),
                start_time=clock.epoch_ns(span.start_ns),
                end_time=clock.epoch_ns(span.end_ns),
            )
        )

    return forward
