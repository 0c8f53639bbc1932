"""Write the boards to ``generated/``, or with ``--check`` say which file there is not up to date.

python dashboards/build.py
python dashboards/build.py --check
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from boards import overview

BOARDS = {overview.UID: overview.build}
"""Every board: its uid, which names its file, and what makes it."""

GENERATED = Path(__file__).resolve().parent / "generated"


def main(argv: list[str] | None = None) -> int:
    """Write or check all boards; 1 when a file is stale, with a line on stderr for each."""
    parser = argparse.ArgumentParser(
        prog="python dashboards/build.py", description="Write the Grafana boards as JSON."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--directory", type=Path, default=GENERATED, help="where the files are")
    options = parser.parse_args(argv)
    wanted = {options.directory / f"{uid}.json": text(build()) for uid, build in BOARDS.items()}
    if options.check:
        complaints = stale(options.directory, wanted)
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        return 1 if complaints else 0
    options.directory.mkdir(parents=True, exist_ok=True)
    for path, content in wanted.items():
        path.write_text(content, encoding="utf-8")
        print(f"wrote {_shown(path)}")
    return 0


def stale(directory: Path, wanted: dict[Path, str]) -> list[str]:
    """A line for each file that is missing, differs, or that no board makes any more."""
    complaints = []
    for path, content in wanted.items():
        if not path.is_file():
            complaints.append(f"{_shown(path)} is missing: run make dashboards")
        elif path.read_text(encoding="utf-8") != content:
            complaints.append(f"{_shown(path)} is stale: run make dashboards")
    complaints += [
        f"{_shown(path)} is made by no board: delete it"
        for path in sorted(directory.glob("*.json"))
        if path not in wanted
    ]
    return complaints


def text(board: model.Dashboard) -> str:
    """The board's file: sorted keys, so that a change of the generator is a small difference."""
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(board) + "\n"


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
