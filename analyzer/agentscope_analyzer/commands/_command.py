"""What a verb of the command line is."""

from __future__ import annotations

import argparse
from typing import ClassVar, Protocol


class CommandError(Exception):
    """What the user did cannot work; the message is one line that says what to type next."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Command(Protocol):
    """A verb: its module imports only what is light, ``run`` imports the rest.

    So ``agentscope --help`` is fast, and works where an extra is missing.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """Half a sentence, lower case, no full stop."""
    example: ClassVar[str]
    """A command line that works as it stands."""

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code; raises CommandError for what the user must change."""
        ...
