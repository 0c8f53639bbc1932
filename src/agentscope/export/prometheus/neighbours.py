"""Whether other workers answer in turns with this one, which makes the figures of each useless."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

SERVERS = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian", "fastapi"})
"""Servers that have workers behind one port, and say so alike."""

_OPTION = re.compile(r"(?:--workers|--web-concurrency|-w)(?:=)?(\d*)")


def workers_asked_for(
    arguments: Sequence[str] = sys.argv, environment: Mapping[str, str] = os.environ
) -> int:
    """How many workers the command line of a server asks for; 1 where that cannot be told."""
    server = PurePath(arguments[0]) if arguments else PurePath()
    if server.stem not in SERVERS and server.parent.name not in SERVERS:  # or python -m
        return 1
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        found = _OPTION.fullmatch(option)
        if found is not None:
            number = found[1] or following
            return int(number) if number.isdecimal() else 1
    number = environment.get("WEB_CONCURRENCY", "")
    return int(number) if number.isdecimal() else 1
