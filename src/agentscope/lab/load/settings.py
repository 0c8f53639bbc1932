"""The options of a load run: one table for Locust's command line and for the users."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentscope.lab.load.scripts import SCRIPTS, Script, load_scripts
from agentscope.lab.load.stages import Stage, parse_stages


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What a run's options say, checked and typed."""

    run_dir: Path = Path()
    think_s: tuple[float, float] = (2.0, 8.0)
    stream_share: float = 0.0
    turn_timeout_s: float = 120.0
    scripts: tuple[Script, ...] = SCRIPTS
    stages: tuple[Stage, ...] = ()
    seed: int | None = None
    metrics_at: tuple[str, int] | None = None
    """Host and port on which the generator's own metrics are served."""

    @classmethod
    def of(cls, options: Any) -> LoadSettings:
        """Read Locust's parsed options; None stands for the defaults."""
        if options is None:
            return cls()
        return cls(
            run_dir=Path(options.run_dir),
            think_s=parse_think(options.think),
            stream_share=parse_share(options.stream_share),
            turn_timeout_s=float(options.turn_timeout),
            scripts=load_scripts(Path(options.script)) if options.script else SCRIPTS,
            stages=parse_stages(options.stages) if options.stages else (),
            seed=None if options.seed is None else int(options.seed),
            metrics_at=parse_address(options.metrics_port) if options.metrics_port else None,
        )


def parse_think(text: str) -> tuple[float, float]:
    """Least and most think time in seconds from ``MIN,MAX``. Raises ValueError."""
    low, comma, high = text.partition(",")
    think_s = float(low), float(high if comma else low)
    if not 0 <= think_s[0] <= think_s[1] < float("inf"):
        raise ValueError(f"{text!r} is not MIN,MAX in seconds")
    return think_s


def parse_share(text: str | float) -> float:
    """A share from 0 to 1. Raises ValueError."""
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a share from 0 to 1")
    return share


def parse_address(text: str) -> tuple[str, int]:
    """Host and port from ``9646`` or ``0.0.0.0:9646``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not a port such as 9646, or 0.0.0.0:9646")
    return host or "127.0.0.1", int(port)


def add_arguments(parser: Any) -> None:
    """Add the options to Locust's parser.

    The values stay the strings they were: a Locust master sends them to its workers.
    """
    group = parser.add_argument_group("Conversations")
    group.add_argument(
        "--run-dir",
        env_var="AGENTSCOPE_RUN_DIR",
        default=".",
        metavar="DIR",
        help="where load-*.jsonl and manifest.json are written (here if not given)",
    )
    group.add_argument(
        "--think",
        type=_checked(parse_think),
        default="2,8",
        metavar="MIN,MAX",
        help="seconds a user reads and types between two turns (2,8)",
    )
    group.add_argument(
        "--stream-share",
        type=_checked(parse_share),
        default="0",
        metavar="SHARE",
        help="share of the turns that ask for a stream, 0 to 1 (0)",
    )
    group.add_argument(
        "--script",
        type=_checked(lambda text: load_scripts(Path(text))),
        default="",
        metavar="FILE",
        help="JSON file with the conversations: a list of lists of what the user says",
    )
    group.add_argument(
        "--stages",
        type=_checked(parse_stages),
        default="",
        metavar="USERS:TIME,…",
        help="staged ramp instead of --users and --run-time: 5:20s,10:20s,20:1m",
    )
    group.add_argument(
        "--turn-timeout",
        type=_checked(float),
        default="120",
        metavar="SECONDS",
        help="a turn that takes longer is given up and counts as failed (120)",
    )
    group.add_argument(
        "--seed",
        type=_checked(int),
        default=None,
        metavar="N",
        help="makes scripts and think times repeatable",
    )
    group.add_argument(
        "--metrics-port",
        type=_checked(parse_address),
        default="",
        metavar="[HOST:]PORT",
        help="serve users, stage and requests to Prometheus, on 127.0.0.1 if no host is given; a "
        "master serves the sums over its workers (off)",
    )


def _checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            if text:  # argparse checks the default as well: nothing given
                parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return check
