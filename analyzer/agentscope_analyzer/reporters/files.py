"""Reports on their way to the disk."""

from __future__ import annotations

from pathlib import Path


def write_text(path: str | Path, text: str) -> None:
    """Write a file, replacing it in one step; raises OSError.

    A device or a pipe is written to, never replaced.
    """
    final = Path(path)
    if final.exists() and not final.is_file():
        final.write_text(text, encoding="utf-8")
        return
    draft = final.with_name(f".{final.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(final)
