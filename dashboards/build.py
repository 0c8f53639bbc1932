"""Write boards and rules to ``generated/``, or with ``--check`` say which is not up to date.

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

from alerts.files import rule_files
from boards import llm, load_run, overview, runtime
from links import LLM, LOAD_RUN, OVERVIEW, RUNTIME

BOARDS = {
    OVERVIEW.uid: overview.build,
    LLM.uid: llm.build,
    RUNTIME.uid: runtime.build,
    LOAD_RUN.uid: load_run.build,
}
"""Every board: its uid, which names its file, and what makes it."""

GENERATED = Path(__file__).resolve().parent / "generated"


def main(argv: list[str] | None = None) -> int:
    """Write or check all files; 1 when one is stale, with a line on stderr for each."""
    parser = argparse.ArgumentParser(
        prog="python dashboards/build.py",
        description="Write the Grafana boards and Prometheus's rules.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--directory", type=Path, default=GENERATED, help="where the files are")
    options = parser.parse_args(argv)
    wanted = {options.directory / name: content for name, content in files().items()}
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


def files() -> dict[str, str]:
    """Every file: its name and its text."""
    return {f"{uid}.json": text(build()) for uid, build in BOARDS.items()} | rule_files()


def stale(directory: Path, wanted: dict[Path, str]) -> list[str]:
    """A line for each file that is missing, differs, or that nothing makes any more."""
    complaints = []
    for path, content in wanted.items():
        if not path.is_file():
            complaints.append(f"{_shown(path)} is missing: run make dashboards")
        elif path.read_text(encoding="utf-8") != content:
            complaints.append(f"{_shown(path)} is stale: run make dashboards")
    complaints += [
        f"{_shown(path)} is made by nothing: delete it"
        for path in sorted(directory.glob("*.*"))
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
