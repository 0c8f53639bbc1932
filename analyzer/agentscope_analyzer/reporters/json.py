"""The report as JSON, schema ``agentscope.report/1``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters.files import write_text
from agentscope_analyzer.traced import Trace


def dumps(report: Report) -> str:
    """The report as indented JSON; every key of the schema is there, unknown values are null."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def dumps_turn(trace: Trace) -> str:
    """One turn, as ``agentscope trace --json`` prints it."""
    document = {
        "trace_id": trace.trace_id,
        "duration_s": trace.duration_s,
        "critical_path": trace.critical_path,
        "causes": trace.causes,
        "spans": trace.spans,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def write(report: Report, path: str | Path) -> None:
    """Write the report to a file, replacing it in one step; raises OSError."""
    write_text(path, dumps(report) + "\n")
