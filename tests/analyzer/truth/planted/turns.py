"""A turn: what truly became of it, and the span that its recorder writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planted.process import Process, Strand, Stretch
from planted.seen import Seen

from agentscope import conventions as c

ROUTE = "/api/sessions/{session_id}/messages"


@dataclass
class Turn:
    """What truly became of a turn."""

    span_id: str
    session: str
    start_s: float
    end_s: float
    truth: list[Stretch]
    ok: bool
    process: Process


def serve(
    seen: Seen, strand: Strand, parent: str, session: str, start_s: float, first_byte_s: float,
    send_wait_s: float, ok: bool,
) -> None:  # fmt: skip
    attributes: dict[str, Any] = {
        c.HTTP_REQUEST_METHOD: "POST",
        c.HTTP_ROUTE: ROUTE,
        c.HTTP_STATUS_CODE: 200 if ok else 502,
    }
    if seen.detailed:
        attributes |= {
            c.TURN: True,
            c.CONVERSATION_ID: session,
            c.TIME_TO_FIRST_BYTE: first_byte_s - start_s,
            c.SEND_WAIT: send_wait_s,
            c.OUTCOME: "ok" if ok else "error",
        }
    seen.write(
        strand.trace_id, f"POST {ROUTE}", start_s, attributes, parent, strand.span_id, "SERVER",
        error=not ok,
    )  # fmt: skip
