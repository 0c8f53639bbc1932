"""``agentscope dashboards``: the Grafana boards, rules and runbook that ship with the package."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import ClassVar, Final

from agentscope_analyzer.commands._command import CommandError

PARTS: Final = {
    "generated/*.json": "boards",
    "generated/*.yml": "rules",
    "rules/*.yml": "rules",
    "RUNBOOK.md": "rules",
    "README.md": "",
}
"""What is exported, and into which folder. The runbook stands beside the rules that link to it."""

_PICTURES = re.compile(r"^## Pictures\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
"""A section of the README: pictures are too large for the package, so they are not exported."""

_RUNBOOK_URL = re.compile(r"^( +runbook_url: )RUNBOOK\.md#(\S+)$", re.MULTILINE)
"""An alert's annotation; the runbook stands beside the rules."""


class Dashboards:
    """Copy the files out of the package: all of them, or none where one would be lost."""

    name: ClassVar[str] = "dashboards"
    summary: ClassVar[str] = (
        "write the Grafana boards, the alert rules and their runbook to a folder"
    )
    example: ClassVar[str] = "agentscope dashboards export grafana"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        actions = parser.add_subparsers(required=True, metavar="ACTION")
        export = actions.add_parser(
            "export", help="write boards, rules, runbook and a README", example=cls.example
        )
        export.add_argument("directory", metavar="DIR", type=Path, help="made if it is not there")
        export.add_argument(
            "--runbook-url", metavar="URL", type=_address, default=None,
            help="where you publish rules/RUNBOOK.md: alerts link to its sections there (without, "
            "they name the file)",
        )  # fmt: skip
        export.add_argument(
            "--force", action="store_true", help="replace files there that differ from ours"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Write the files; 0 when all of them are there."""
        files = _files(_source())
        if args.runbook_url:
            files = {name: _published(text, args.runbook_url) for name, text in files.items()}
        wanted = {args.directory / name: text for name, text in files.items()}
        try:
            changed = [path for path, text in wanted.items() if _differs(path, text)]
            if changed and not args.force:
                raise CommandError(_refusal(changed, args.directory))
            for path, text in wanted.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"cannot write {error.filename}: {error.strerror}; choose another folder"
            ) from error
        print(f"wrote {len(wanted)} files to {args.directory}: begin with its README.md")
        return 0


def _address(text: str) -> str:
    """An address that a section's name can be put behind, in an alert's annotation."""
    address = text.rstrip("#")
    if not re.fullmatch(r"https?://[^\s#{}<>\"\\]+", address):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address such as https://wiki.example.com/agentscope/RUNBOOK.md"
        )
    return address


def _published(text: str, address: str) -> str:
    """The rules with links to where the runbook is; other files are as they were."""
    return _RUNBOOK_URL.sub(lambda match: f'{match[1]}"{address}#{match[2]}"', text)


def _files(source: Path) -> dict[str, str]:
    """The text of every file by the name that it is exported under."""
    found = {}
    for pattern, folder in PARTS.items():
        for path in sorted(source.glob(pattern)):
            if not path.stem.endswith(
                "test"
            ):  # promtool's tests of the rules are for who changes those
                found[str(Path(folder) / path.name)] = path.read_text(encoding="utf-8")
    found["README.md"] = _PICTURES.sub("", found["README.md"])
    return found


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except FileNotFoundError:
        return False


def _refusal(changed: list[Path], directory: Path) -> str:
    differ = f"and {len(changed) - 1} more differ" if len(changed) > 1 else "differs"
    return (
        f"{changed[0]} {differ} from what would be written: add --force to replace, "
        f"or export to another folder than {directory}"
    )


def _source() -> Path:
    """Where the files are: in a clone, or in the installed wheel."""
    import agentscope_analyzer

    package = Path(agentscope_analyzer.__file__).resolve().parent
    clone = package.parents[1]
    for root in (clone, package):
        if (root / "dashboards" / "generated" / "agentscope-overview.json").is_file():
            return root / "dashboards"
    raise CommandError(
        "the boards are missing from this installation: "
        "pip install --force-reinstall agentscope-observability"
    )
