"""How far a load run is: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from agentscope.lab.load.runner import LoadPlan, LoadTally

_PLAIN_EVERY_S = 5.0


class PlainProgress:
    """One line a step and one every five seconds of load."""

    def __init__(self, console: Console, plan: LoadPlan) -> None:
        self._console = console
        self._plan = plan
        self._next_s = _PLAIN_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, text: str) -> None:
        """Something begins."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def load(self, elapsed_s: float, tally: LoadTally) -> None:
        """The load is on for so long and has done so much."""
        if elapsed_s >= self._next_s:
            self._next_s += _PLAIN_EVERY_S
            self.step(f"{elapsed_s:4.0f} s  {_counts(tally)}")


class RichProgress:
    """The step that is on in one moving line; the steps before it stay above, with their time."""

    def __init__(self, console: Console, plan: LoadPlan) -> None:
        # No refresh thread: a process that starts others had better be single.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._console = console
        self._plan = plan
        self._step = ""
        self._began_s = time.monotonic()

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_step()
        self._live.stop()

    def step(self, text: str) -> None:
        """Something begins."""
        self._finish_step()
        self._step, self._began_s = text, time.monotonic()
        self._live.update(Text(f"… {text}"), refresh=True)

    def load(self, elapsed_s: float, tally: LoadTally) -> None:
        """The load is on for so long and has done so much."""
        row = Table.grid(padding=(0, 1))
        total_s = self._plan.duration_s
        bar = ProgressBar(total=total_s, completed=min(elapsed_s, total_s), width=30)
        row.add_row(f"… {elapsed_s:3.0f} of {total_s:.0f} s", bar, _counts(tally))
        self._live.update(row, refresh=True)

    def _finish_step(self) -> None:
        if self._step:
            took_s = time.monotonic() - self._began_s
            done = Text.assemble(("✓ ", "green"), self._step, (f" {took_s:.1f} s", "dim"))
            self._console.print(done, soft_wrap=True)
        self._step = ""


def _counts(tally: LoadTally) -> str:
    return f"{len(tally.users)} users  {tally.turns} turns  {tally.errors} failed"
