"""What k6 writes: a point a measurement (``--out json=FILE``), or figures of the whole run.

The points of one HTTP request stand one after the other, with the same time, the end of the
request, and the same tags; ``http_req_duration`` excludes making the connection.
https://grafana.com/docs/k6/latest/results-output/real-time/json/ and
https://grafana.com/docs/k6/latest/results-output/end-of-test/
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from agentscope_analyzer.ingest.documents import parse
from agentscope_analyzer.ingest.otlp import integer, number
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally, Unit

__all__ = ["K6Points", "k6_totals"]

_GENERATOR: Final = "k6"
_OF_REQUESTS: Final = frozenset(
    {"http_req_duration", "http_req_waiting", "http_req_sending", "http_req_failed"}
)
_OF_LOAD: Final = frozenset({"vus", "dropped_iterations"})
_NEEDED: Final = tuple(f'"{name}"'.encode() for name in (*_OF_REQUESTS, *_OF_LOAD))
_SESSION: Final = ("conversation_id", "conversation", "session_id", "session")


class K6Points:
    """Reads the lines of one file; ``requests`` and ``history`` hold the rows so far.

    A line whose metric says nothing about requests or load is counted and passed over.
    """

    def __init__(self, file: str, tally: Tally) -> None:
        self.requests: list[dict[str, Any]] = []
        """What a line of our own load generator would say of each request."""
        self.file = file
        self._tally = tally
        self._begun: dict[str, Any] | None = None
        self._key: tuple[Any, Any] | None = None
        self._users: dict[int, int] = {}
        self._dropped: Counter[int] = Counter()

    def take(self, line: bytes) -> None:
        """Take one line; bad ones are counted."""
        self._tally.read[Unit.GENERATOR_ROWS.value] += 1
        if not any(name in line for name in _NEEDED):
            if not (line.startswith(b"{") and line.endswith(b"}")):
                self._tally.refuse(Reason.BAD_ROW)
            return
        try:
            document = parse(line)
            if not isinstance(document, dict):
                raise Refused(Reason.BAD_ROW)
            if document.get("type") == "Point":
                self._point(document)
        except Refused:
            self._tally.refuse(Reason.BAD_ROW)

    def history(self) -> list[dict[str, Any]]:
        """Rows of ``load_history``: users and turns never sent, second by second."""
        self._end_request()
        return [
            {
                "at_s": float(second),
                "users": self._users.get(second),
                "name": "",
                "dropped": self._dropped[second],
                "generator": _GENERATOR,
                "file": self.file,
            }
            for second in sorted(self._users.keys() | self._dropped.keys())
        ]

    def _point(self, document: dict[str, Any]) -> None:
        metric, data = document.get("metric"), document.get("data")
        if not isinstance(data, dict):
            raise Refused(Reason.BAD_ROW)
        value, at_s = number(data.get("value")), _epoch_s(data.get("time"))
        if value is None or value < 0:
            raise Refused(Reason.BAD_ROW)
        if metric == "vus" and value < 2**31:
            self._users[int(at_s)] = int(value)
        elif metric == "dropped_iterations":
            self._dropped[int(at_s)] += int(value)
        elif metric in _OF_REQUESTS:
            self._measurement(metric, value / 1000, at_s, data)

    def _measurement(self, metric: str, value: float, at_s: float, data: dict[str, Any]) -> None:
        tags = {**_texts(data.get("metadata")), **_texts(data.get("tags"))}
        if metric == "http_req_duration":
            self._end_request()
            self._key = (data.get("time"), data.get("tags"))
            self._begun = _request(at_s, value, tags)
        elif self._begun is not None and self._key == (data.get("time"), data.get("tags")):
            if metric == "http_req_failed":
                failed = value > 0
                self._begun["error"] = _error(tags) if failed else None
            else:
                self._begun["ttfb_s"] = (self._begun["ttfb_s"] or 0.0) + value

    def _end_request(self) -> None:
        if self._begun is not None:
            self.requests.append(self._begun)
        self._begun = self._key = None


def k6_totals(document: Any, file: str, tally: Tally) -> list[dict[str, Any]]:
    """The row of ``load_totals`` that a summary gives: of ``--summary-export`` or handleSummary.

    Counted as refused where it says nothing of HTTP requests.
    """
    tally.read[Unit.GENERATOR_ROWS.value] += 1
    metrics = document.get("metrics") if isinstance(document, dict) else None
    metrics = metrics if isinstance(metrics, dict) else {}
    requests = integer(_of(metrics, "http_reqs").get("count"))
    if requests is None or requests < 0:
        tally.refuse(Reason.BAD_ROW)
        return []
    duration, failed = _of(metrics, "http_req_duration"), _of(metrics, "http_req_failed")
    share = number(failed.get("rate", failed.get("value")))
    return [
        {
            "name": "",
            "requests": requests,
            "failures": round(share * requests) if share is not None and share <= 1 else None,
            "p50_s": _seconds(duration.get("med")),
            "p95_s": _seconds(duration.get("p(95)")),
            "per_second": number(_of(metrics, "http_reqs").get("rate")),
            "dropped": integer(_of(metrics, "dropped_iterations").get("count")),
            "generator": _GENERATOR,
            "file": file,
        }
    ]


def _request(at_s: float, duration_s: float, tags: dict[str, str]) -> dict[str, Any]:
    status = tags.get("status", "")
    answered = status.isdecimal() and status != "0"
    return {
        "t_start": at_s - duration_s,
        "duration_s": duration_s,
        "ttfb_s": None,
        "name": f"{tags.get('method', '')} {tags.get('name') or tags.get('url', '')}".strip(),
        "session": next((tags[key] for key in _SESSION if tags.get(key)), None),
        "turn": int(tags["turn"]) if tags.get("turn", "").isdecimal() else None,
        "status": int(status) if answered else None,
        "error": None if answered and int(status) < 400 else _error(tags),
        "trace_id": tags.get("trace_id") or None,
        "user": tags.get("vu"),
        "stage": tags.get("stage") or tags.get("scenario"),
    }


def _error(tags: dict[str, str]) -> str:
    return tags.get("error") or f"Status {tags.get('status') or tags.get('error_code', 'unknown')}"


def _epoch_s(text: Any) -> float:
    """An RFC 3339 time; Python reads six digits of a second, k6 writes nine."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Refused(Reason.BAD_ROW) from None


def _texts(tags: Any) -> dict[str, str]:
    pairs = tags.items() if isinstance(tags, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _of(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """A metric's figures: bare as ``--summary-export`` writes them, or under ``values``."""
    found = metrics.get(name)
    found = found.get("values", found) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _seconds(milliseconds: Any) -> float | None:
    value = number(milliseconds)
    return None if value is None or value < 0 else value / 1000
