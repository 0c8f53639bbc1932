"""``agentscope analyze``: what binds a recorded run."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, ClassVar

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._layers import add_layers_option, analyze_layers

if TYPE_CHECKING:
    from agentscope_analyzer.document import Report
    from agentscope_analyzer.thresholds import Threshold

FAILED, DAMAGED = 1, 3
STDOUT = "-"


class Analyze:
    """Check the arguments, analyse the run, print the report."""

    name: ClassVar[str] = "analyze"
    summary: ClassVar[str] = "say what binds a recorded run, and what is ruled out"
    example: ClassVar[str] = 'agentscope analyze runs/today --fail-on "p95_s > 8"'

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "run", metavar="RUN", nargs="?", help="run directory, or OTLP-JSON files"
        )
        parser.add_argument(
            "--json",
            metavar="FILE",
            nargs="?",
            const="-",
            help="write the report as JSON to FILE, or to standard output instead of the text",
        )
        parser.add_argument(
            "--html", metavar="FILE", help="write the report with its pictures to one HTML file"
        )
        parser.add_argument(
            "--markdown",
            metavar="FILE",
            nargs="?",
            const="-",
            help="write it as a pull request comment to FILE, or to standard output",
        )
        parser.add_argument(
            "--target-p50", metavar="S", type=_positive, default=3.0, help="seconds (default: 3)"
        )
        parser.add_argument(
            "--target-p95", metavar="S", type=_positive, default=8.0, help="seconds (default: 8)"
        )
        parser.add_argument(
            "--limit",
            metavar="RESOURCE=N/min",
            action="append",
            default=[],
            help="a quota to reckon with, in place of the recorded one: llm.requests=150/min",
        )
        parser.add_argument(
            "--fail-on",
            metavar="EXPRESSION",
            action="append",
            default=[],
            help='exit with 1 if it holds, or if the run has no such value: "p95_s > 8"',
        )
        add_layers_option(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Analyse and print; 0 fine, 1 a --fail-on held, 2 usage, 3 the input is too damaged."""
        if args.layers is not None:
            if args.html is not None or args.markdown is not None:
                raise CommandError("--html and --markdown show one run; leave --layers out")
            return analyze_layers(args, _say)
        if args.run is None:
            raise CommandError("name a run directory: agentscope analyze RUN")
        if args.json == args.markdown == STDOUT:
            raise CommandError("--json and --markdown both print; give one of them a FILE")
        from agentscope_analyzer.ceilings.quotas import quota_given
        from agentscope_analyzer.ingest import IngestError
        from agentscope_analyzer.report import Targets, analyze_run
        from agentscope_analyzer.thresholds import Threshold

        try:
            thresholds = [Threshold.parse(text) for text in args.fail_on]
            limits = [quota_given(text) for text in args.limit]
        except ValueError as error:
            raise CommandError(str(error)) from None
        try:
            report = analyze_run(
                args.run, targets=Targets(args.target_p50, args.target_p95), limits=limits
            )
        except IngestError as error:
            raise CommandError(str(error)) from None
        _print(report, args)
        failed = _failed(report, thresholds)
        if report.verdict.confidence == "withheld":
            return DAMAGED
        return FAILED if failed else 0


def _print(report: Report, args: argparse.Namespace) -> None:
    """The text on standard output, unless another form was asked for there; then the files."""
    from agentscope_analyzer.reporters import html, json, markdown

    if args.json == STDOUT:
        _say(json.dumps(report) + "\n")
    elif args.markdown == STDOUT:
        _say(markdown.render(report))
    else:
        _say(_text(report))
    for path, reporter in ((args.json, json), (args.html, html), (args.markdown, markdown)):
        if path is not None and path != STDOUT:
            try:
                reporter.write(report, path)
            except OSError as error:
                msg = f"cannot write {path}: {error.strerror}; give a file that can be written"
                raise CommandError(msg) from None


def _text(report: Report) -> str:
    from rich.console import Console

    from agentscope_analyzer.reporters import terminal

    console = Console()
    with console.capture() as page:
        terminal.render(report, console)
    return page.get()


def _say(text: str) -> None:
    """Print; a reader that leaves early, such as head, changes nothing about the run's exit code."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit


def _failed(report: Report, thresholds: list[Threshold]) -> bool:
    """Print what became of every threshold, on standard error; whether one held."""
    from agentscope_analyzer.thresholds import figures_of

    figures = figures_of(report)
    failed = False
    for threshold in thresholds:
        try:
            judgement = threshold.judge(figures)
        except ValueError as error:
            raise CommandError(str(error)) from None
        print(judgement, file=sys.stderr)
        failed = failed or judgement.held
    return failed


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return value
