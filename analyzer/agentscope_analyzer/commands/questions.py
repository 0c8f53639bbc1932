"""``agentscope questions``: the SQL questions behind every report, to read, run and build upon."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from agentscope_analyzer.commands._command import CommandError
from agentscope_analyzer.commands._parameters import SAID, taken_from
from agentscope_analyzer.commands._runs import checked

if TYPE_CHECKING:
    from agentscope_analyzer.engine import Engine
    from agentscope_analyzer.sql import Param, Question


SWEEP: Final = "sweep_spans"
"""A table that is made for who reads it alone."""
MAX_WINDOWS: Final = 10_000
MOST: Final = 2**63 - 1


class Questions:
    """Check the arguments, ask, print."""

    name: ClassVar[str] = "questions"
    summary: ClassVar[str] = "list the SQL questions that reports are made of, or ask one of a run"
    example: ClassVar[str] = "agentscope questions turns/exemplars runs/today --param top=1"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "question",
            metavar="ID",
            nargs="?",
            help="a question; without one, all are listed, or those of a topic such as turns",
        )
        parser.add_argument(
            "run", metavar="RUN", nargs="?", help="the run to ask; without one, ID is explained"
        )
        parser.add_argument(
            "--param",
            metavar="NAME=VALUE",
            action="append",
            default=[],
            help="what the question takes: top=1; … in the list is taken from the run",
        )
        printed = parser.add_mutually_exclusive_group()
        printed.add_argument("--csv", action="store_true", help="print the rows as CSV")
        printed.add_argument("--json", action="store_true", help="print the rows as JSON")
        printed.add_argument(
            "--sql", action="store_true", help="print the question's SQL, ready to run elsewhere"
        )

    def run(self, args: argparse.Namespace) -> int:
        """List, explain or ask; 0 fine, 2 usage."""
        topic = _topic(args)
        if topic is not None:
            _list(topic)
            return 0
        question = _question(args.question)
        if args.sql:
            _say(_sql(question))
        elif args.run is None:
            if args.param or args.csv or args.json:
                raise CommandError(f"give the run to ask: agentscope questions {question.id} RUN")
            _say(_explained(question))
        else:
            _print(_answer(question, args), question, args)
        return 0


def _topic(args: argparse.Namespace) -> str | None:
    """How the questions to list begin: ``turns/``, or '' for all; None where one of them is meant."""
    from agentscope_analyzer.sql import questions

    if args.question is None:
        return ""
    topic = f"{args.question.rstrip('/')}/"
    alone = args.run is None and not (args.param or args.csv or args.json or args.sql)
    return topic if alone and any(name.startswith(topic) for name in questions()) else None


def _question(question_id: str) -> Question:
    from agentscope_analyzer.sql import questions

    known = questions()
    if question_id in known:
        return known[question_id]
    if Path(question_id).exists():
        raise CommandError(f"name the question first: agentscope questions ID {question_id}")
    near = get_close_matches(question_id, [one for one in known if "/_" not in one], n=1)
    hint = f"did you mean {near[0]}?" if near else "agentscope questions lists them"
    raise CommandError(f"there is no question {question_id!r}; {hint}")


def _list(topic: str) -> None:
    from agentscope_analyzer.sql import questions

    for question in questions().values():
        if question.id.startswith(topic) and not question.is_helper:
            takes = ", ".join(_signature(param) for param in question.params)
            _say(f"{question.id}\n  {question.title}\n")
            if takes:
                _say(f"  takes {takes}\n")
            _say(f"  gives {', '.join(column.name for column in question.columns)}\n\n")


def _signature(param: Param) -> str:
    return f"{param.name}={'…' if param.default is None else param.default}"


def _explained(question: Question) -> str:
    lines = [question.title, *([question.doc] if question.doc else []), ""]
    lines += [f"reads {', '.join(question.reads)}"]
    width = max(
        len(name)
        for name in (*(p.name for p in question.params), *(c.name for c in question.columns))
    )
    if question.params:
        lines.append("takes")
    for param in question.params:
        default = f" (default: {param.default or SAID[param.name]})"
        lines.append(f"  {param.name:<{width}}  {param.type:<8}  {param.doc}{default}")
    lines.append("gives")
    lines += [f"  {one.name:<{width}}  {one.type:<8}  {one.doc}" for one in question.columns]
    return "\n".join(lines) + "\n"


def _sql(question: Question) -> str:
    from agentscope_analyzer.sql import expanded

    comment = [question.title, *(question.doc.splitlines() if question.doc else [])]
    header = "\n".join(f"-- {line}".rstrip() for line in comment)
    return f"{header}\n{expanded(question)};\n"


def _answer(question: Question, args: argparse.Namespace) -> list[dict[str, Any]]:
    import duckdb

    from agentscope_analyzer.attribution import attribute, prepare_sweep
    from agentscope_analyzer.engine import TABLES
    from agentscope_analyzer.ingest import open_run
    from agentscope_analyzer.sql import ask, tables_of

    given = _params(question, args.param)
    run = checked(args.run, f"agentscope questions {question.id} runs/today")
    try:
        with open_run(run) as opened:
            engine, tables = opened.engine, tables_of(question)
            if not tables <= TABLES.keys():
                attribute(engine)
            if SWEEP in tables:
                prepare_sweep(engine)
            taken = taken_from(engine, question, given)
            params = given | taken
            _check_windows(engine, params)
            rows = ask(engine, question.id, **params)
    except duckdb.Error as error:
        why = str(error).partition("\n")[0]
        raise CommandError(
            f"{question.id} cannot be answered with these parameters: {why}"
        ) from None
    if taken:
        said = " ".join(
            f"--param {shlex.quote(f'{name}={value}')}" for name, value in taken.items()
        )
        print(f"agentscope questions: taken from the run: {said}", file=sys.stderr)
    return rows


def _check_windows(engine: Engine, params: dict[str, Any]) -> None:
    """Windows so short that the run would have millions of them would take all memory there is."""
    window_ns = params.get("window_ns")
    if window_ns is None:
        return
    ((first_ns, last_ns),) = engine.rows("SELECT MIN(start_ns), MAX(end_ns) FROM spans")
    least_ns = max(1, -(-((last_ns or 0) - (first_ns or 0)) // MAX_WINDOWS))
    if window_ns < least_ns:
        raise CommandError(
            f"--param window_ns={window_ns}: give at least {least_ns}, for a run is cut into "
            f"{MAX_WINDOWS} windows at most"
        )


def _params(question: Question, given: list[str]) -> dict[str, Any]:
    known = {param.name: param for param in question.params}
    params: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            takes = ", ".join(f"{name}=…" for name in known) or "no parameters"
            raise CommandError(f"--param {text}: {question.id} takes {takes}")
        params[name] = _value(known[name], value)
    return params


def _value(param: Param, text: str) -> Any:
    kinds: dict[str, type] = {"BIGINT": int, "INTEGER": int, "DOUBLE": float}
    try:
        value = kinds.get(param.type, str)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        if isinstance(value, int) and not -MOST <= value <= MOST:
            raise ValueError(text)
        return value
    except ValueError:
        raise CommandError(f"--param {param.name}={text}: give a {param.type}") from None


def _print(rows: list[dict[str, Any]], question: Question, args: argparse.Namespace) -> None:
    from agentscope_analyzer.reporters import rows as reporter

    names = [column.name for column in question.columns]
    if args.json:
        _say(reporter.as_json(rows))
    elif args.csv:
        _say(reporter.as_csv(names, rows))
    else:
        from rich.console import Console

        console = Console()
        with console.capture() as page:
            reporter.render(names, rows, console)
        _say(page.get())


def _say(text: str) -> None:
    sys.stdout.write(text)
