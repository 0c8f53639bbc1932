"""The command line, read: a mistake is one line that names the verb and what to type next."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from agentscope_analyzer.commands._runs import with_run

_MISSING = "the following arguments are required: "
_WITHOUT_VALUE = re.compile(r"argument (?:\S+/)?(?P<option>-\S+): expected .*argument")
"""What argparse says; in another language its sentences stay as they are."""
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
"""What looks like an option and is none, as argparse has it."""


class Parser(argparse.ArgumentParser):
    """An argument parser without usage dumps, which says what a misspelt word may have meant.

    What is left over is complained of by the verb that cannot use it, not by the parser above it.
    Options are not abbreviated: one that is added later would change what an abbreviation means.
    """

    def __init__(self, *, example: str = "", **settings: Any) -> None:
        """``example`` is a command line to end the help with, see ``with_run``."""
        super().__init__(allow_abbrev=False, **settings)
        self._example = example
        self._given: Sequence[str] = ()
        self._has_verbs = False

    def format_help(self) -> str:
        """As the library's, and the example."""
        example = f"\nexample: {with_run(self._example)}\n" if self._example else ""
        return super().format_help() + example

    def add_subparsers(self, **settings: Any) -> Any:
        """As the library's."""
        self._has_verbs = True
        return super().add_subparsers(**settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the library's, but nothing stays unknown."""
        self._given = args or ()
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"{unknown[0]!r} is one argument too many")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Say it in one line and exit with 2."""
        # A misspelt option comes first: what else seems wrong may only follow from it.
        misspelt = next(self._unknown_options(), None)
        if misspelt is not None:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            message = f"there is no option {misspelt}{meant(misspelt, known)}"
        elif message.startswith(_MISSING):
            message = f"{message.removeprefix(_MISSING)} is missing"
            if self._example:
                message += f", as in {with_run(self._example)}"
        elif (match := _WITHOUT_VALUE.fullmatch(message)) is not None:
            option = match["option"]
            message = f"{option} needs its value: {option} {self._value_of(option)}"
        message = message.removeprefix("argument ")
        self.exit(2, f"{self.prog}: error: {message}; {self.prog} -h says more\n")

    def _value_of(self, option: str) -> str:
        metavar = self._option_string_actions[option].metavar
        return metavar if isinstance(metavar, str) else "VALUE"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Words to choose from: the verbs."""
        known = [str(choice) for choice in action.choices or ()]
        if known and value not in known:
            kind = str(action.metavar or action.dest).lower()
            said = f"there is no {kind} {value!r}{meant(str(value), known)}"
            raise argparse.ArgumentError(None, said)

    def _unknown_options(self) -> Iterator[str]:
        """Words that look like options and are none; behind a verb they are for it to judge."""
        for word in self._given:
            if word == "--" or (self._has_verbs and not word.startswith("-")):
                return
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            looks_like_one = len(word) > 1 and word[0] == "-" and not _NUMBER.fullmatch(word)
            if looks_like_one and " " not in word and name not in self._option_string_actions:
                yield name


def meant(word: str, known: Iterable[str]) -> str:
    """``, did you mean --html?``, or nothing where no known word is like this one.

    >>> meant("analize", ["analyze", "trace"])
    ', did you mean analyze?'
    """
    plain, word = {one.lstrip("-"): one for one in known}, word.lstrip("-")
    near = [one for one in plain if one.startswith(word)] or get_close_matches(word, plain, n=1)
    return f", did you mean {plain[near[0]]}?" if near else ""
