"""How figures and causes are written for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

LABELS: Final[dict[str, str]] = {
    "llm.first_token": "the model's time to the first token",
    "llm.generation": "the model's own generation time",
    "llm.rate_limit": "the provider's quota",
    "llm.retry": "failed model calls and their retries",
    "llm.connection": "the connection pool to the model's provider",
    "db.query": "database queries",
    "db.pool": "the database connection pool",
    "runtime.event_loop": "the blocked event loop",
    "runtime.cpu": "the service's own code",
    "runtime.threadpool": "the worker threads",
    "runtime.gc": "the garbage collector",
    "runtime.throttled": "the container's CPU quota",
    "tool.execution": "the tools' own work",
    "http.upstream": "other HTTP services",
    "context.load": "context loading",
    "client.send": "slowly reading clients",
    "wait.lock": "locks and semaphores in the service",
    "unattributed": "time that nothing recorded explains",
}
"""Every cause as a sentence says it."""

PLURAL: Final = frozenset(
    {
        "llm.retry",
        "db.query",
        "runtime.threadpool",
        "http.upstream",
        "client.send",
        "wait.lock",
    }
)
"""Causes whose label takes a plural verb."""


def label(cause: str, *, streamed: bool = True) -> str:
    """The cause in words; without streaming the whole answer is its first token."""
    if cause == "llm.first_token" and not streamed:
        return "the model's own response time"
    return LABELS[cause]


def binds(cause: str, *, streamed: bool = True) -> str:
    """``the provider's quota binds``."""
    return f"{label(cause, streamed=streamed)} {'bind' if cause in PLURAL else 'binds'}"


def seconds(value: float) -> str:
    """``102 s``, ``1.94 s``, ``340 ms``, ``0.4 ms``: three digits, the unit last."""
    if value and abs(value) < 0.9995:
        return f"{_three(value * 1000)} ms"
    return f"{_three(value)} s"


def percent(share: float) -> str:
    """``63 %``, ``1.2 %``, ``0 %``; never 0 for what is there, never 100 for what is not all."""
    value = share * 100
    if value == 0:
        return "0 %"
    if value < 0:
        return f"-{percent(-share)}" if value <= -0.1 else "> -0.1 %"
    if value < 0.1:
        return "< 0.1 %"
    if 99.5 <= value < 100:
        return "> 99 %"
    return f"{value:.2g} %" if value < 9.95 else f"{value:.0f} %"


def number(value: float) -> str:
    """``1 500``, ``2.35``, ``0.0125``: three digits, thousands apart."""
    return _three(value)


def amount(n: float, noun: str) -> str:
    """``1 turn``, ``412 turns``, ``2 queries``."""
    plural = noun[:-1] + "ies" if noun.endswith("ry") else noun + "s"
    told = _three(n)
    return f"{told} {noun if told == '1' else plural}"


def moment(at_ns: int) -> str:
    """``14:02:10 UTC``."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%H:%M:%S UTC")


def figure(value: float | str | None, unit: str) -> str:
    """A value with its unit as evidence shows it; an unknown one is a dash."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "s":
        return seconds(value)
    if unit == "share":
        return percent(value)
    return f"{number(value)} {unit}".rstrip()


_WINDOWS: Final = {
    1.0: "second", 60.0: "minute", 3600.0: "hour", 86_400.0: "day", 30 * 86_400.0: "month",
}  # fmt: skip


def window_name(window_s: float) -> str:
    """``minute``, ``day``, ``10 s``: the window that a quota is counted in."""
    return _WINDOWS.get(window_s, seconds(window_s))


def per_window(window_s: float) -> str:
    """``/min``, ``/day``, ``/10 s``: behind the unit of a quota."""
    return "/" + {60.0: "min", 1.0: "s"}.get(window_s, window_name(window_s))


def span(length_s: float) -> str:
    """``45 s``, ``12 min``, ``3.2 h``, ``2.5 days``: how long something lasts."""
    if length_s < 120:
        return seconds(length_s)
    if length_s < 7200:
        return f"{_three(length_s / 60)} min"
    if length_s < 2 * 86_400:
        return f"{_three(length_s / 3600)} h"
    return f"{_three(length_s / 86_400)} days"


def size(size_bytes: float) -> str:
    """``512 B``, ``1.94 KiB``, ``95.5 MiB``, ``23.5 GiB``: three digits of the unit that fits."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(size_bytes) >= factor:
            return f"{_three(size_bytes / factor)} {unit}"
    return f"{_three(size_bytes)} B"


def size_interval(low_bytes: float | None, high_bytes: float | None) -> str:
    """``[1.2 KiB, 3.4 KiB]``, or nothing where there is no interval."""
    if low_bytes is None or high_bytes is None:
        return ""
    return f"[{size(low_bytes)}, {size(high_bytes)}]"


def dollars(value: float | None) -> str:
    """``$12.30``, ``$0.0042``: cents, or three digits where there are none; a dash for unknown."""
    if value is None:
        return "–"
    if value and abs(value) < 0.995:
        return f"${_three(value)}"
    return f"${value:,.2f}".replace(",", " ")


def interval(low: float | None, high: float | None) -> str:
    """``[61, 90]``, ``[≥ 61]`` where it has no upper end, or nothing where there is no interval."""
    if low is None:
        return ""
    return f"[≥ {count(low)}]" if high is None else f"[{count(low)}, {count(high)}]"


def count(n: float) -> str:
    """``7``, ``9 680``, ``47.5 k``, ``3.41 M``: an estimate, so three digits where it is large."""
    for letter, factor in (("M", 1e6), ("k", 1e3)):
        if abs(n) >= max(10_000, 0.9995 * factor):
            return f"{_three(n / factor)} {letter}"
    return _three(n)


def live_sessions(
    sessions: float, low: float | None, high: float | None, *, censored: bool = False
) -> str:
    """``62 live sessions [55, 70]``; where demand is a lower bound, ``… [55, 70] or fewer``."""
    if sessions < 1:
        return "less than 1 live session"
    noun = "live session" if int(sessions) == 1 else "live sessions"
    parts = [count(int(sessions)), noun, interval(low, high), "or fewer" if censored else ""]
    return " ".join(part for part in parts if part)


def limited(limit: float, unit: str) -> str:
    """``240 requests/min``, ``1 core``, ``23.5 GiB``: how much of it there is."""
    if unit == "bytes":
        return size(limit)
    noun, slash, window = unit.partition("/")
    if limit == 1 and noun.endswith("s"):
        noun = noun.removesuffix("s")
    return f"{number(limit)} {noun}{slash}{window}".rstrip()


def _three(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text
