"""``agentscope analyze``: what binds a recorded run."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._files import check_writable, written
from agentscope_analyzer.commands._layers import add_layers_option, analyze_layers
from agentscope_analyzer.commands._runs import checked
from agentscope_analyzer.commands._values import seconds

if TYPE_CHECKING:
    from agentscope_analyzer.document import Report
    from agentscope_analyzer.thresholds import Threshold

FAILED, DAMAGED = 1, 3
STDOUT = "-"

FIGURES: Final[Mapping[str, str]] = {
    "turns": "p50_s p90_s p95_s p99_s max_s error_rate per_second ttfb_p50_s ttfb_p95_s",
    "run": "duration_s turns sessions spans instances complete rejected.REASON",
    "verdict": "share",
    "llm": "calls calls_per_turn attempts retries_hidden rate_limited backoff_s cost_usd tokens.KIND",
    "attribution": "seconds",
    "attribution.groups.GROUP": "share seconds",
    "attribution.causes.CAUSE": "share seconds low high p95_share share_low share_high "
    "p95_share_low p95_share_high",
    "ceilings.RESOURCE": "sessions low high limit demand_per_session reached binding censored",
    "margin": "times",
    "memory": "base_bytes bytes_per_live_session live_low live_high bytes_per_ended_session low high "
    "bytes_per_turn turn_low turn_high turns_freed leak limit_bytes time_to_limit_s",
    "scalability": "peak_sessions peak_low peak_high peak_turns_per_s knee_sessions knee_low "
    "knee_high largest_sessions valid_to_sessions gamma alpha alpha_low alpha_high beta beta_low "
    "beta_high aicc.MODEL",
    "tail": "difference_s slow_s middle_s shape_s slow_turns middle_turns slow_calls middle_calls",
    "growth": "change_s low_s high_s least_s most_s least_turns most_turns least_in_flight "
    "most_in_flight",
}
"""What --fail-on can name, by the section of the report."""

_DETAILS = """\
Exit code: 0 all is well, 1 a --fail-on held, 2 the command line is wrong, 3 the run is too damaged
to trust. RUN is a run directory, one file of OTLP-JSON, or a pattern of such files in quotes.

Figures for --fail-on, each compared by < <= > >= == or != with a number or a percentage, written
SECTION.FIGURE, or FIGURE alone where one section has it or it is of turns: p95_s, cost_usd.

{figures}

Words in capitals are to be filled in, as the JSON report has them: ceilings.cpu.sessions."""


def _details() -> str:
    lines = [
        textwrap.fill(f"{section}: {keys}", 98, initial_indent="  ", subsequent_indent="    ")
        for section, keys in FIGURES.items()
    ]
    return _DETAILS.format(figures="\n".join(lines))


class Analyze:
    """Check the arguments, analyse the run, print the report."""

    name: ClassVar[str] = "analyze"
    summary: ClassVar[str] = "say what binds a recorded run, and what is ruled out"
    example: ClassVar[str] = 'agentscope analyze runs/today --fail-on "p95_s > 8"'

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.epilog = _details()
        add = parser.add_argument
        add("run", metavar="RUN", nargs="?", help="the recorded run, see below")
        add(
            "--json", metavar="FILE", nargs="?", const=STDOUT,
            help="write the report as JSON to FILE, or to standard output instead of the text",
        )  # fmt: skip
        add(
            "--html", metavar="FILE",
            help="write the report with its pictures to one HTML file",
        )  # fmt: skip
        add(
            "--markdown", metavar="FILE", nargs="?", const=STDOUT,
            help="write it as a pull request comment to FILE, or to standard output",
        )  # fmt: skip
        for quantile, default, of in (("p50", 3.0, "half"), ("p95", 8.0, "95 %%")):
            add(
                f"--target-{quantile}", metavar="S", type=seconds, default=default,
                help=f"seconds within which {of} of the turns should end (default: {default:g})",
            )  # fmt: skip
        add(
            "--limit", metavar="RESOURCE=N/UNIT", action="append", default=[],
            help="a quota to reckon with, in place of the recorded one: llm.requests=150/min; "
            "per s, min, hour or day, of llm.requests, llm.tokens, llm.input_tokens or "
            "llm.output_tokens; may be given for each of them",
        )  # fmt: skip
        add(
            "--fail-on", metavar="EXPRESSION", action="append", default=[],
            help='exit with 1 if it holds, or if the run has no such value: "p95_s > 8"; may be '
            "given several times",
        )  # fmt: skip
        add_layers_option(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Analyse and print; 0 fine, 1 a --fail-on held, 2 usage, 3 the input is too damaged."""
        if args.layers is not None:
            if args.html is not None or args.markdown is not None:
                raise CommandError("--html and --markdown show one run; leave --layers out")
            return analyze_layers(args, _say)
        run = checked(args.run, self.example)
        if args.json == args.markdown == STDOUT:
            raise CommandError("--json and --markdown both print; give one of them a FILE")
        check_writable(_files(args))
        from agentscope_analyzer.ceilings.quotas import quota_given
        from agentscope_analyzer.report import Targets, analyze_run
        from agentscope_analyzer.thresholds import Threshold

        try:
            thresholds = [Threshold.parse(text) for text in args.fail_on]
            limits = [quota_given(text) for text in args.limit]
        except ValueError as error:
            raise CommandError(str(error)) from None
        report = analyze_run(run, targets=Targets(args.target_p50, args.target_p95), limits=limits)
        _print(report, args)
        failed = _failed(report, thresholds)
        if report.verdict.confidence == "withheld":
            return DAMAGED
        return FAILED if failed else 0


def _files(args: argparse.Namespace) -> Mapping[str, str]:
    """The files to write, by option."""
    given = {"--json": args.json, "--html": args.html, "--markdown": args.markdown}
    return {option: path for option, path in given.items() if path not in (None, STDOUT)}


def _print(report: Report, args: argparse.Namespace) -> None:
    """The text on standard output, unless another form was asked for there; then the files."""
    from agentscope_analyzer.reporters import html, json, markdown

    if args.json == STDOUT:
        _say(json.dumps(report) + "\n")
    elif args.markdown == STDOUT:
        _say(markdown.render(report))
    else:
        _say(_text(report))
    reporters = {"--json": json, "--html": html, "--markdown": markdown}
    for option, path in _files(args).items():
        with written("analyze", path):
            reporters[option].write(report, path)


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
    judgements = [threshold.judge(figures) for threshold in thresholds]
    for judgement in judgements:
        print(judgement, file=sys.stderr)
    return any(judgement.held for judgement in judgements)
