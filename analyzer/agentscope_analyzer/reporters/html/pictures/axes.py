"""What pictures over the course of the run have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters.html.markup import number
from agentscope_analyzer.reporters.html.picture import rows_of
from agentscope_analyzer.reporters.html.scales import Linear, elapsed, headroom, moments
from agentscope_analyzer.reporters.html.svg import Canvas, width_of

NS = 1e9
LEFT = 52.0
"""Room for the figures of the axis: panels above each other share it."""


@dataclass(frozen=True)
class Course:
    """The run's course: its stretches, in seconds since the first turn's start."""

    edges_s: tuple[float, ...]
    origin_ns: int

    @classmethod
    def of(cls, report: Report) -> Course | None:
        """None where the run has no turns, and so no course."""
        rows = rows_of(report, "timeline/turns")
        if not rows:
            return None
        origin_ns = rows[0]["start_ns"]
        starts = [(row["start_ns"] - origin_ns) / NS for row in rows]
        return cls((*starts, (rows[-1]["end_ns"] - origin_ns) / NS), origin_ns)

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return self.edges_s[-1]

    def width_s(self, bucket: int) -> float:
        """How long one stretch lasts."""
        return self.edges_s[bucket + 1] - self.edges_s[bucket]

    def named(self, bucket: int) -> str:
        """A stretch in words: ``from 10 s``."""
        return f"from {elapsed(self.edges_s[bucket], self.length_s)}"


@dataclass(frozen=True)
class Panel:
    """A part of a picture with a scale to the right and one upwards."""

    canvas: Canvas
    x: Linear
    y: Linear

    @classmethod
    def over_time(
        cls, canvas: Canvas, course: Course, most: float, top: float, height: float
    ) -> Panel:
        """Room for values from 0 to ``most`` over the run's course."""
        return cls(
            canvas,
            Linear(0.0, course.length_s, LEFT, canvas.width - 6),
            Linear(0.0, headroom(most), top + height, top),
        )

    def grid(self, label: str, said: Callable[[float], str] = number) -> None:
        """Lines at round values, and above them what they are of."""
        height = self.y.start - self.y.end
        for value in self.y.ticks(ticks_for(height)):
            y = self.y.at(value)
            self.canvas.line(self.x.start, y, self.x.end, y, "grid" if value else "axis")
            self.canvas.text(self.x.start - 5, y + 4, said(value), "t", "end")
        self.canvas.text(0, self.y.end - 9, label, "t strong")

    def clock(self, course: Course, *, named: bool = True) -> None:
        """Round moments of the run along the bottom."""
        wanted = 9 if self.canvas.width > 500 else 5
        for at_s in moments(course.length_s, wanted):
            x = self.x.at(at_s)
            self.canvas.line(x, self.y.start, x, self.y.start + 4, "axis")
            if named:
                words = elapsed(at_s, course.length_s)
                last = x + width_of(words, bold=False) / 2 > self.canvas.width
                self.canvas.text(x, self.y.start + 16, words, "t", "end" if last else "middle")

    def edges(self, course: Course) -> list[float]:
        """The places of the run's stretches."""
        return [self.x.at(edge) for edge in course.edges_s]

    def heights(self, values: Iterable[float]) -> list[float]:
        """The places of values."""
        return [self.y.at(value) for value in values]


def ticks_for(height: float) -> int:
    """How many round values an axis of this height has room for."""
    return max(2, int(height / 40))
