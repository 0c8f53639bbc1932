"""``agentscope trace``: one turn of a recorded run, looked at closely."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, ClassVar

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._files import check_writable, written
from agentscope_analyzer.commands._runs import checked

if TYPE_CHECKING:
    from agentscope_analyzer import traced
    from agentscope_analyzer.excerpt import Turns


class Trace:
    """Find the turn, attribute it, draw it."""

    name: ClassVar[str] = "trace"
    summary: ClassVar[str] = "show one turn: its spans, its critical path and where its time went"
    example: ClassVar[str] = "agentscope trace runs/today --slowest --perfetto slowest.json"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "run", metavar="RUN", nargs="?", help="run directory, or OTLP-JSON files"
        )
        parser.add_argument(
            "trace_id",
            metavar="TRACE_ID",
            nargs="?",
            help="id of the turn's trace, or its first digits; without one, turns are listed",
        )
        chosen = parser.add_mutually_exclusive_group()
        for place, said in (
            ("slowest", "the turn that took longest"),
            ("p95", "the turn that took longer than 95 %% of the others"),
            ("median", "the turn in the middle by duration"),
        ):
            chosen.add_argument(
                f"--{place}", dest="place", action="store_const", const=place, help=said
            )
        chosen.add_argument(
            "--cause", metavar="CAUSE", help="the turn that lost most time to it: llm.rate_limit"
        )
        parser.add_argument(
            "--turn", metavar="SPAN_ID", help="which turn, where a trace holds several"
        )
        parser.add_argument(
            "--spans", metavar="N", type=_count, default=40, help="spans to draw (default: 40)"
        )
        parser.add_argument("--json", action="store_true", help="print the turn as JSON instead")
        parser.add_argument(
            "--perfetto", metavar="FILE", help="write the turn as a trace for ui.perfetto.dev"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Show the turn; 0 fine, 2 usage."""
        run = checked(args.run, self.example)
        if args.perfetto is not None:
            check_writable({"--perfetto": args.perfetto})
        from agentscope_analyzer.excerpt import Turns
        from agentscope_analyzer.ingest import open_run

        try:
            with open_run(run) as opened:
                turns = Turns(opened.engine)
                trace = _chosen(turns, args)
                if trace is None:
                    _list(turns, args)
                else:
                    _show(trace, args)
        except LookupError as error:
            raise CommandError(str(error.args[0])) from None
        return 0


def _chosen(turns: Turns, args: argparse.Namespace) -> traced.Trace | None:
    given = [args.trace_id, args.place, args.cause]
    if sum(one is not None for one in given) > 1:
        msg = "give a trace id, or one of --slowest, --p95, --median and --cause; not both"
        raise CommandError(msg)
    if args.trace_id is not None:
        return turns.trace(turns.whole_id(args.trace_id), args.turn)
    if args.turn is not None:
        raise CommandError("--turn chooses among the turns of one trace: give its id as well")
    if args.place is not None:
        chosen = turns.at(args.place)
    elif args.cause is not None:
        chosen = turns.by_cause(args.cause)
    else:
        return None
    return turns.trace(chosen.trace_id, chosen.turn_id)


def _show(trace: traced.Trace, args: argparse.Namespace) -> None:
    from agentscope_analyzer.reporters import json, perfetto

    if args.perfetto is not None:
        with written("trace", args.perfetto, "open it in https://ui.perfetto.dev"):
            perfetto.write(trace, args.perfetto)
    if args.json:
        sys.stdout.write(json.dumps_turn(trace) + "\n")
        return
    from rich.console import Console

    from agentscope_analyzer.reporters import turn

    console = Console()
    with console.capture() as page:
        turn.render(trace, console, most_spans=args.spans)
    sys.stdout.write(page.get())


def _list(turns: Turns, args: argparse.Namespace) -> None:
    if args.json or args.perfetto is not None:
        raise CommandError("give a trace id, or one of --slowest, --p95, --median and --cause")
    from rich.console import Console

    from agentscope_analyzer.reporters import turn

    console = Console()
    with console.capture() as page:
        turn.render_candidates(turns.candidates(), console)
    sys.stdout.write(page.get())
    print("give one of these ids, its first digits, or --cause llm.rate_limit", file=sys.stderr)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a number of spans"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
