"""A comparison of layers as JSON, schema ``agentscope.layers/1``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agentscope_analyzer.layers.document import LayersReport
from agentscope_analyzer.reporters.files import write_text

__all__ = ["dumps", "write"]


def dumps(report: LayersReport) -> str:
    """The document, indented; every key of the schema is there, unknown values are null."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def write(report: LayersReport, path: str | Path) -> None:
    """Write it to a file, replacing that in one step; raises OSError."""
    write_text(path, dumps(report) + "\n")
