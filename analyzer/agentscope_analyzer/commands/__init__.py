"""The command ``agentscope``: one module a verb, each in three steps: check, compute, render."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from agentscope_analyzer.commands._command import Command, CommandError
from agentscope_analyzer.commands._extras import EXTRA_OF, said_of
from agentscope_analyzer.commands._parser import Parser
from agentscope_analyzer.commands.analyze import Analyze
from agentscope_analyzer.commands.dashboards import Dashboards
from agentscope_analyzer.commands.demo import Demo
from agentscope_analyzer.commands.mock_llm import MockLlm
from agentscope_analyzer.commands.questions import Questions
from agentscope_analyzer.commands.record import Record
from agentscope_analyzer.commands.trace import Trace
from agentscope_analyzer.errors import AnalysisError

__all__ = ["COMMANDS", "Command", "CommandError", "main"]

COMMANDS: tuple[type[Command], ...] = (
    Demo,
    Record,
    Analyze,
    Trace,
    Questions,
    MockLlm,
    Dashboards,
)
"""Every verb, in the order in which the help lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code: 0 fine, 1 a check failed, 2 usage, 3 damaged input."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(given)
    if args.command is None:  # options alone
        parser.error("COMMAND is missing")
    command: Command = args.command()
    try:
        return command.run(args)
    except CommandError as error:
        return _complain(command, str(error), error.exit_code)
    except AnalysisError as error:
        return _complain(command, str(error))
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRA_OF:
            raise
        return _complain(command, said_of([module]))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stderr.close()
        return 0
    except Exception:
        run = getattr(args, "run", None)
        if run is None or Path(run).exists():
            raise
        # Whatever failed, it is the files that went away under it.
        return _complain(command, f"{run} was removed while it was read")


def _complain(command: Command, what: str, exit_code: int = 2) -> int:
    print(f"agentscope {command.name}: error: {what}", file=sys.stderr)
    return exit_code


def _version() -> str:
    try:
        return importlib.metadata.version("agentscope-observability")
    except importlib.metadata.PackageNotFoundError:  # run from a copied folder
        return "0+unknown"


def _parser() -> Parser:
    parser = Parser(
        prog="agentscope",
        description="Find what binds an AI agent service under load.",
        epilog="agentscope COMMAND -h says what a command takes, with an example to paste.",
    )
    parser.add_argument("--version", action="version", version=f"agentscope {_version()}")
    parser.set_defaults(command=None)
    verbs = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        verb = verbs.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            example=command.example,
        )
        command.configure(verb)
        verb.set_defaults(command=command)
    return parser
