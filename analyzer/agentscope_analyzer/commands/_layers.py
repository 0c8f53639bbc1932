"""``agentscope analyze --layers``: what each dependency added, run by run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._files import check_writable, written
from agentscope_analyzer.commands._runs import checked

FEWEST, MOST = 2, 6
WITHHELD = 3
MAX_NAME = 40

_EXAMPLE = "agentscope analyze --layers mocked=runs/a mocked+db=runs/b real=runs/c"


def add_layers_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--layers``."""
    parser.add_argument(
        "--layers",
        metavar="NAME=RUN",
        nargs="+",
        help="compare runs under the same load instead: the first with its dependencies mocked, each "
        "of the others with one more of them real; says what each added to a turn, and what not",
    )


def analyze_layers(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Compare and print; 0 compared, 2 usage, 3 the runs cannot be compared."""
    named = _named(args.layers)
    _without_others(args)
    for run in named.values():
        checked(run, _EXAMPLE)
    if args.json not in (None, "-"):
        check_writable({"--json": args.json})
    from agentscope_analyzer.layers import compare, read_layer
    from agentscope_analyzer.report import Targets

    targets = Targets(args.target_p50, args.target_p95)
    report = compare([read_layer(name, run, targets=targets) for name, run in named.items()])
    if args.json == "-":
        from agentscope_analyzer.layers.json import dumps

        say(dumps(report) + "\n")
        return WITHHELD if report.withheld else 0
    from rich.console import Console

    from agentscope_analyzer.layers import terminal

    console = Console()
    with console.capture() as page:
        terminal.render(report, console)
    say(page.get())
    if args.json is not None:
        from agentscope_analyzer.layers.json import write

        with written("analyze", args.json):
            write(report, args.json)
    return WITHHELD if report.withheld else 0


def _named(given: list[str]) -> dict[str, str]:
    """Runs by name, in the order given; raises CommandError."""
    named: dict[str, str] = {}
    folders = set()
    for text in given:
        name, equals, run = text.partition("=")
        if not (equals and name.strip() and run) or len(name) > MAX_NAME:
            raise CommandError(f"--layers {text}: it must be NAME=RUN; type {_EXAMPLE}")
        folder = Path(run).resolve()
        if name in named or folder in folders:
            raise CommandError(
                f"--layers {text}: that name or run is there already; type {_EXAMPLE}"
            )
        named[name] = run
        folders.add(folder)
    if not FEWEST <= len(named) <= MOST:
        raise CommandError(
            f"--layers takes {FEWEST} to {MOST} runs, not {len(named)}; type {_EXAMPLE}"
        )
    return named


def _without_others(args: argparse.Namespace) -> None:
    """What is said of one run means nothing for several."""
    if args.run is not None:
        raise CommandError(f"{args.run}: with --layers every run has a name; type {_EXAMPLE}")
    for option in ("limit", "fail_on", "html"):
        if getattr(args, option, None):
            raise CommandError(
                f"--{option.replace('_', '-')} is of one run, not of --layers; leave it out"
            )
