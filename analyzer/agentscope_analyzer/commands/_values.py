"""The types of arguments: each says what it takes where it is given something else."""

from __future__ import annotations

import argparse


def whole_number(text: str) -> int:
    """An argument that is one; raises ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        msg = f"{text!r} is not a whole number"
        raise argparse.ArgumentTypeError(msg) from None


def seconds(text: str) -> float:
    """An argument that is a length of time above 0; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return value
