"""Where a turn's time goes: turns of all kinds, of the middle, the slowest, and by load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Report, Rows
from agentscope_analyzer.reporters.html.markup import Html, join, tag
from agentscope_analyzer.reporters.html.palette import class_of
from agentscope_analyzer.reporters.html.picture import (
    Picture,
    absent,
    legend,
    rows_of,
    sentence,
)
from agentscope_analyzer.reporters.html.scales import Linear, headroom
from agentscope_analyzer.reporters.html.svg import Canvas, cause_swatch, width_of
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.wording import amount, figure, number, percent, seconds

KEY: Final = "anatomy"
TITLE: Final = "Where a turn’s time goes"

_BANDS: Final = {
    "all": "all turns",
    "middle": "middle turns",
    "slow": "slow turns",
}
_WHICH: Final = {"middle": ", the middle fifth", "slow": ", from the p95 on"}
_KINDS: Final = {
    "grows": "grows with load",
    "shrinks": "shrinks",
    "inherent": "is inherent",
    "unclear": "cannot be told",
}
_PARTS: Final = {1: "least load", 2: "middling load", 3: "most load"}


@dataclass(frozen=True)
class Bar:
    """Turns of one kind: mean seconds of one of them by cause."""

    name: str
    note: str
    causes: dict[str, float]

    @property
    def seconds(self) -> float:
        """How long such a turn takes."""
        return sum(self.causes.values())


def anatomy(report: Report) -> Html:
    """The picture, or why there is none."""
    bands = _bands(rows_of(report, "timeline/bands"))
    if not bands:
        return absent(KEY, TITLE, "No picture: the run has no turns.")
    loads = _loads(rows_of(report, "turns/by_load"))
    causes = [name for name in CAUSES if any(bar.causes.get(name) for bar in bands)]
    picture = Picture(
        key=KEY,
        title=TITLE,
        says=f"{sentence(report.tail.statement)} {sentence(report.growth.statement)}",
        description="Bars of the seconds that each cause takes of one turn on average: "
        + "; ".join(f"{bar.name} {seconds(bar.seconds)}" for bar in (*bands, *loads)),
        draw=lambda width: _draw(width, bands, loads),
        legend=join(
            legend((cause_swatch(cause), _meaning(cause)) for cause in causes),
            tag(
                "p",
                "Striped: time spent waiting for something that is used up. Plain: work that is "
                "there for a single user, too.",
                class_="note",
            ),
        ),
        tables=(_table(causes, (*bands, *loads)), _shares(report), _tail(report), _growth(report)),
    )
    return picture.shown()


def _bands(rows: Rows) -> list[Bar]:
    found = []
    for band, name in _BANDS.items():
        own = [row for row in rows if row["band"] == band]
        if own:
            causes = {row["cause"]: row["wall_s_per_turn"] for row in own}
            note = amount(own[0]["turns"], "turn")
            note += _WHICH.get(band, "")
            found.append(Bar(name, note, causes))
    return found


def _loads(rows: Rows) -> list[Bar]:
    found = []
    for part, name in _PARTS.items():
        own = [row for row in rows if row["part"] == part]
        if own:
            causes = {row["cause"]: row["wall_s_per_turn"] for row in own}
            note = f"{amount(own[0]['turns'], 'turn')}, {number(own[0]['in_flight'])} in flight"
            found.append(Bar(name, note, causes))
    return found if len(found) == len(_PARTS) else []


def _meaning(cause: str) -> Html:
    return join(tag("b", cause), f" {CAUSES[cause].doc}")


def _draw(width: float, bands: list[Bar], loads: list[Bar]) -> Canvas:
    wide = width > 500
    left, right = (210.0, 62.0) if wide else (0.0, 52.0)
    row, thick, gap = (44.0, 28.0, 30.0) if wide else (54.0, 26.0, 26.0)
    groups = [("", bands)] + ([("By load", loads)] if loads else [])
    rows = sum(len(bars) for _, bars in groups)
    canvas = Canvas(width, rows * row + (len(groups) - 1) * gap + 26)
    longest_s = max(bar.seconds for _, bars in groups for bar in bars)
    scale = Linear(0.0, headroom(longest_s), left, width - right)
    y = 0.0
    bottom = canvas.height - 22
    for value in scale.ticks(6 if wide else 4):
        x = scale.at(value)
        canvas.line(x, 0, x, bottom, "grid" if value else "axis")
        canvas.text(x, bottom + 16, seconds(value), "t", "middle" if value or wide else "start")
    for title, bars in groups:
        if title:
            y += gap
            canvas.text(0, y - 10, title, "t strong")
        for bar in bars:
            _bar(canvas, bar, scale, y, thick, wide=wide)
            y += row
    return canvas


def _bar(canvas: Canvas, bar: Bar, scale: Linear, y: float, thick: float, *, wide: bool) -> None:
    if wide:
        canvas.text(0, y + 14, bar.name, "t strong")
        canvas.text(0, y + 29, bar.note, "t")
        top = y + 6
    else:
        named = join(tag("tspan", bar.name, class_="strong"), tag("tspan", bar.note, dx=7))
        canvas.text(0, y + 13, named, "t halo")
        top = y + 19
    done_s = 0.0
    for cause in CAUSES:
        taken_s = bar.causes.get(cause, 0.0)
        x, end = scale.at(done_s), scale.at(done_s + taken_s)
        done_s += taken_s
        share = percent(taken_s / bar.seconds) if bar.seconds else ""
        says = f"{cause} {share}, {seconds(taken_s)}"
        canvas.rect(x, top, end - x, thick, f"{class_of(cause)} part", title=says)
        words = next(
            (one for one in (f"{cause} {share}", cause, share) if width_of(one) <= end - x - 10), ""
        )
        if words:
            canvas.text(x + 6, top + thick / 2 + 4, words, f"l-{class_of(cause)} label")
    canvas.text(scale.at(done_s) + 7, top + thick / 2 + 4, seconds(bar.seconds), "t strong")


def _table(causes: list[str], bars: tuple[Bar, ...]) -> Html:
    return table(
        "Seconds of each cause in one turn, on average",
        [("cause", TEXT), *((f"{bar.name} ({bar.note})", FIGURE) for bar in bars)],
        [
            *((cause, *(seconds(bar.causes.get(cause, 0.0)) for bar in bars)) for cause in causes),
            ("together", *(seconds(bar.seconds) for bar in bars)),
        ],
    )


def _shares(report: Report) -> Html:
    """Every cause of all turns' time, with its bounds."""
    rows = sorted(report.attribution.causes.items(), key=lambda item: -item[1].seconds)
    names = ("cause", "seconds", "at least", "at most", "share", "95 % interval", "of slow turns")
    return table(
        f"Where {seconds(report.attribution.seconds)} of turn time went",
        [(name, FIGURE if i else TEXT) for i, name in enumerate(names)],
        [
            (
                cause,
                seconds(one.seconds),
                figure(one.low, "s"),
                figure(one.high, "s"),
                percent(one.share),
                _within(one.share_low, one.share_high, "share"),
                figure(one.p95_share, "share"),
            )
            for cause, one in rows
        ],
    )


def _tail(report: Report) -> Html:
    names = (
        "cause",
        "slow turn",
        "middle turn",
        "difference",
        "95 % interval",
        "of the difference",
    )
    return table(
        "Slow turns against middle ones, a turn on average",
        [(name, FIGURE if i else TEXT) for i, name in enumerate(names)],
        [
            (
                one.cause,
                seconds(one.slow_s),
                seconds(one.middle_s),
                seconds(one.difference_s),
                _within(one.low_s, one.high_s, "s"),
                figure(one.share, "share"),
            )
            for one in report.tail.causes
        ],
    )


def _growth(report: Report) -> Html:
    names = ("cause", "least load", "most load", "change", "95 % interval", "so it")
    return table(
        "The third of turns with least in flight against that with most, a turn on average",
        [(name, FIGURE if 0 < i < 5 else TEXT) for i, name in enumerate(names)],
        [
            (
                one.cause,
                seconds(one.least_s),
                seconds(one.most_s),
                seconds(one.change_s),
                _within(one.low_s, one.high_s, "s"),
                _KINDS[one.kind],
            )
            for one in report.growth.causes
        ],
    )


def _within(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "–"
    return f"{figure(low, unit)} to {figure(high, unit)}"
