"""What an instrumented service could see, as files of a run directory.

Only what the recorder of a process would write is here: spans by the process's own clock, waits of
a millisecond or more, rounds of the loop and collections as events, gauges once a second. Nothing
in these files says what was planted.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planted.process import Process

from agentscope import conventions as c

T0_NS = 1_790_000_000_000_000_000
MIN_PAUSE_S = 0.001
MIN_FREEZE_S = 0.001

Attributes = dict[str, Any]
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3}


def ns(at_s: float) -> int:
    """A moment of the simulation as nanoseconds since 1970."""
    return T0_NS + round(at_s * 1e9)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


@dataclass
class Seen:
    """The recorder of one process."""

    process: Process
    draw: random.Random
    scope: str = "agentscope"
    service: str = "support-agent"
    detailed: bool = True
    """False: another instrumentation, that knows calls and statements but no waits or attempts."""
    spans: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[tuple[c.Metric, float, Attributes, dict[str, Any]]] = field(default_factory=list)

    def id(self) -> str:
        """A fresh span id."""
        return f"{self.draw.getrandbits(64) | 1:016x}"

    def span(
        self,
        trace_id: str,
        name: str,
        start_s: float,
        *,
        parent: str = "",
        span_id: str = "",
        kind: str = "INTERNAL",
        end_s: float | None = None,
        error: bool = False,
        **attributes: Any,
    ) -> str:
        """A span that ends now, unless it says otherwise."""
        return self.write(trace_id, name, start_s, attributes, parent, span_id, kind, end_s, error)

    def write(
        self,
        trace_id: str,
        name: str,
        start_s: float,
        attributes: Attributes,
        parent: str = "",
        span_id: str = "",
        kind: str = "INTERNAL",
        end_s: float | None = None,
        error: bool = False,
    ) -> str:
        """The same with attributes of any name."""
        ahead_s = self.process.clock_ahead_s
        end_s = self.process.world.now_s if end_s is None else end_s
        span = {
            "traceId": trace_id,
            "spanId": span_id or self.id(),
            "name": name,
            "kind": KINDS[kind],
            "startTimeUnixNano": str(ns(start_s + ahead_s)),
            "endTimeUnixNano": str(ns(end_s + ahead_s)),
            "attributes": _attributes(attributes),
        }
        if parent:
            span["parentSpanId"] = parent
        if error:
            span["status"] = {"code": 2}
        self.spans.append(span)
        return str(span["spanId"])

    def wait(
        self, trace_id: str, parent: str, kind: c.Wait, resource: str, start_s: float,
        end_s: float | None = None,
    ) -> None:  # fmt: skip
        """A wait that was over now, or at a moment."""
        end_s = self.process.world.now_s if end_s is None else end_s
        if self.detailed and end_s - start_s >= c.MIN_WAIT_S:
            attributes = {c.WAIT_KIND: kind.value, c.WAIT_RESOURCE: resource}
            self.write(trace_id, f"wait {kind.value}", start_s, attributes, parent, end_s=end_s)

    def gauge(self, metric: c.Metric, value: float, **labels: str) -> None:
        """A gauge or counter as it is now."""
        self.metrics.append((metric, self.process.world.now_s, labels, {"asDouble": value}))

    def events(self) -> None:
        """Put down when the process stood still."""
        interpreter = self.process.interpreter
        for start_s, end_s in self.process.blocks:
            attributes: Attributes = {c.RUNTIME_EVENT: "loop_blocked"}
            self._event("event_loop.blocked", start_s, end_s, attributes)
        for start_s, end_s in interpreter.pauses:
            if end_s - start_s >= MIN_PAUSE_S:
                attributes = {c.RUNTIME_EVENT: "gc_pause", c.GC_GENERATION: 2}
                self._event("gc.pause", start_s, end_s, attributes)
        for start_s, end_s in interpreter.freezes:
            if end_s - start_s >= MIN_FREEZE_S:
                doubt_s = 0.0 if self.draw.random() < 0.8 else self.draw.uniform(0.001, 0.01)
                attributes = {c.RUNTIME_EVENT: "cpu_throttled", c.START_UNCERTAINTY: doubt_s}
                self._event("cpu.throttled", start_s, end_s, attributes)

    def _event(self, name: str, start_s: float, end_s: float, attributes: Attributes) -> None:
        trace_id = f"{self.draw.getrandbits(128) | 1:032x}"
        self.write(trace_id, name, start_s, attributes, end_s=end_s)

    def save(self, folder: Path) -> None:
        """Write the traces, the metrics and the manifest of this process."""
        name = self.process.name
        resource = {
            "attributes": _attributes(
                {c.SERVICE_NAME: self.service, c.SERVICE_INSTANCE_ID: name, c.HOST_NAME: name}
            )
        }
        scope = {"name": self.scope, "version": "1"}
        with (folder / f"traces-{name}.jsonl").open("w") as file:
            for i in range(0, len(self.spans), 512):
                spans = [{"scope": scope, "spans": self.spans[i : i + 512]}]
                file.write(
                    json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": spans}]})
                )
                file.write("\n")
        if self.metrics:
            with (folder / f"metrics-{name}.jsonl").open("w") as file:
                metrics = [
                    {"scope": scope, "metrics": [self._metric(*one) for one in self.metrics]}
                ]
                file.write(
                    json.dumps(
                        {"resourceMetrics": [{"resource": resource, "scopeMetrics": metrics}]}
                    )
                )
                file.write("\n")
        if self.detailed:
            self._save_manifest(folder)

    def _metric(
        self, metric: c.Metric, at_s: float, labels: Attributes, figures: dict[str, Any]
    ) -> dict[str, Any]:
        ahead_s = self.process.clock_ahead_s
        point = {
            "attributes": _attributes(labels),
            "startTimeUnixNano": str(ns(ahead_s)),
            "timeUnixNano": str(ns(at_s + ahead_s)),
            **figures,
        }
        told: dict[str, Any] = {"name": metric.name, "unit": metric.unit}
        if metric.instrument == "gauge":
            told["gauge"] = {"dataPoints": [point]}
        elif metric.instrument == "counter":
            told["sum"] = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
        else:
            told["histogram"] = {"aggregationTemporality": 2, "dataPoints": [point]}
        return told

    def _save_manifest(self, folder: Path) -> None:
        spans = len(self.spans)
        account = {"signal": "spans", "sink": "run_directory", "created": spans, "delivered": spans,
                   "dropped": {}, "pending": 0}  # fmt: skip
        end_ns = ns(self.process.world.now_s)
        manifest = {
            "schema": c.RUN_SCHEMA,
            "instance": self.process.name,
            "service": self.service,
            "pid": 1,
            "host": self.process.name,
            "started_ns": ns(0),
            "updated_ns": end_ns,
            "ended_ns": end_ns,
            "config": {},
            "ledger": [account],
            "open_turns": 0,
            "internal_errors": {},
        }
        (folder / f"manifest-{self.process.name}.json").write_text(json.dumps(manifest))
