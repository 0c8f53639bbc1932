"""The report as JSON, schema ``agentscope.report/1``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agentscope_analyzer.document import Report


def dumps(report: Report) -> str:
    """The report as indented JSON; every key of the schema is there, unknown values are null."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def write(report: Report, path: str | Path) -> None:
    """Write the report to a file, replacing it in one step; raises OSError.

    A device or a pipe is written to, never replaced.
    """
    final, text = Path(path), dumps(report) + "\n"
    if final.exists() and not final.is_file():
        final.write_text(text, encoding="utf-8")
        return
    draft = final.with_name(f".{final.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(final)
