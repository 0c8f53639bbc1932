"""What the recorder and the load generator say about a run themselves: the manifests, merged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypedDict

from agentscope import conventions
from agentscope_analyzer.ingest.otlp import integer
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit

__all__ = ["MergedManifest", "merge", "read_manifests"]

_MAX_BYTES: Final = 16 << 20


class LedgerEntry(TypedDict):
    """Records of one signal on their way to one sink: created = delivered + dropped + pending."""

    signal: str
    sink: str
    created: int
    delivered: int
    dropped: dict[str, int]
    pending: int


class MergedManifest(TypedDict):
    """All manifests of a run as one; None where none of them says."""

    run_id: str | None
    service: str | None
    started_ns: int | None
    ended_ns: int | None
    """None also when one of the processes never said that it ended."""
    complete: bool
    """True only if the manifests say so: all processes ended well and nothing was dropped."""
    reasons: list[str]
    """Why the run is not known to be complete."""
    instances: list[str]
    load: dict[str, Any] | None
    note: dict[str, Any]
    ledger: list[LedgerEntry]
    open_turns: int
    internal_errors: dict[str, int]


def read_manifests(paths: Iterable[Path], tally: Tally) -> list[dict[str, Any]]:
    """The manifests that can be read, in the order of their names; others are counted."""
    manifests = []
    for path in sorted(paths):
        tally.read[Unit.FILES.value] += 1
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                raise ValueError(path)
            manifest = json.loads(path.read_bytes())
            if not isinstance(manifest, dict) or manifest.get("schema") != conventions.RUN_SCHEMA:
                raise ValueError(path)
        except (OSError, ValueError, RecursionError):
            tally.refuse(Reason.BAD_MANIFEST)
        else:
            manifests.append(manifest)
    return manifests


def merge(manifests: list[dict[str, Any]], tally: Tally) -> MergedManifest:
    """One view of all manifests, and whether the run is known to be complete."""
    processes = [manifest for manifest in manifests if "instance" in manifest]
    whole_run = [manifest for manifest in manifests if "instance" not in manifest]
    ends = [integer(manifest.get("ended_ns")) for manifest in manifests]
    starts = [integer(manifest.get("started_ns")) for manifest in manifests]
    ledger = _merged_ledger(processes)
    reasons = [
        *_unended(processes, whole_run),
        *_dropped(ledger),
        *_missing(ledger, tally),
        *([f"{torn} torn lines"] if (torn := tally.rejected[Reason.TORN_LINE.value]) else []),
    ]
    return {
        "run_id": _first(str, whole_run + processes, "run_id"),
        "service": _first(str, processes + whole_run, "service"),
        "started_ns": min((ns for ns in starts if ns is not None), default=None),
        "ended_ns": None if None in ends else max((ns for ns in ends if ns), default=None),
        "complete": not reasons,
        "reasons": reasons,
        "instances": [str(process["instance"]) for process in processes],
        "load": _first(dict, whole_run, "load"),
        "note": _first(dict, whole_run, "note") or {},
        "ledger": ledger,
        "open_turns": sum(integer(process.get("open_turns")) or 0 for process in processes),
        "internal_errors": dict(
            sum((_counts(process.get("internal_errors")) for process in processes), Counter())
        ),
    }


def _unended(processes: list[dict[str, Any]], whole_run: list[dict[str, Any]]) -> list[str]:
    if not processes:
        return ["no manifest of a process: nothing says whether its recording is complete"]
    reasons = [
        f"process {process['instance']} was cut off or is still running"
        for process in processes
        if integer(process.get("ended_ns")) is None
    ]
    if any(integer(manifest.get("ended_ns")) is None for manifest in whole_run):
        reasons.append("the load run was cut off or is still running")
    return reasons


def _dropped(ledger: list[LedgerEntry]) -> list[str]:
    return [
        f"{count} {entry['signal']} dropped on the way to {entry['sink']}: {reason}"
        for entry in ledger
        for reason, count in entry["dropped"].items()
        if count
    ]


def _missing(ledger: list[LedgerEntry], tally: Tally) -> list[str]:
    units = {"spans": Unit.SPANS, "metrics": Unit.METRIC_POINTS}
    return [
        f"{entry['delivered']} {entry['signal']} were written, {read} are in the files"
        for entry in ledger
        if entry["sink"] == "run_directory" and entry["signal"] in units
        if entry["delivered"] > (read := tally.read[units[entry["signal"]].value])
    ]


def _merged_ledger(processes: list[dict[str, Any]]) -> list[LedgerEntry]:
    merged: dict[tuple[str, str], LedgerEntry] = {}
    for process in processes:
        ledger = process.get("ledger")
        for entry in ledger if isinstance(ledger, list) else []:
            if not isinstance(entry, dict):
                continue
            signal, sink = str(entry.get("signal")), str(entry.get("sink"))
            total = merged.setdefault(
                (signal, sink),
                {
                    "signal": signal,
                    "sink": sink,
                    "created": 0,
                    "delivered": 0,
                    "dropped": {},
                    "pending": 0,
                },
            )
            total["created"] += integer(entry.get("created")) or 0
            total["delivered"] += integer(entry.get("delivered")) or 0
            total["pending"] += integer(entry.get("pending")) or 0
            total["dropped"] = dict(Counter(total["dropped"]) + _counts(entry.get("dropped")))
    return list(merged.values())


def _counts(value: Any) -> Counter[str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return Counter({str(key): integer(count) or 0 for key, count in pairs})


def _first(kind: type, manifests: list[dict[str, Any]], key: str) -> Any:
    found = (manifest.get(key) for manifest in manifests)
    return next((value for value in found if isinstance(value, kind)), None)
