"""One request and its answer, told to Locust and to the run directory."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import gevent
from locust.contrib.fasthttp import FastHttpSession

from agentscope.lab.load.answers import Body, describe, read_body
from agentscope.lab.load.lines import UNFINISHED, RequestLine
from agentscope.lab.load.run import LoadRun, now_s

_FAULTS = {429: "Rate limited"}


def exchange(
    client: FastHttpSession,
    run: LoadRun,
    method: str,
    path: str,
    *,
    name: str,
    body: dict[str, Any] | None,
    accept: str,
    intended_s: float,
    session: Callable[[], str | None],
    turn: int | None,
    user: str,
    judge: Callable[[Body], str | None],
) -> None:
    """Send a request, read the whole answer, let ``judge`` say what is wrong with its content.

    The line is written however this ends; a request that the end of the run cuts off is
    ``unfinished``, and leaves no line if it was still waiting for its connection.
    """
    trace_id = token_hex(16)
    line = RequestLine(
        t_intended=intended_s, t_start=now_s(), duration_s=0.0, ttfb_s=None,
        name=f"{method} {name}", session=session(), turn=turn, status=0, error=UNFINISHED, bytes=0,
        trace_id=trace_id, user=user, stage=run.stage,
    )  # fmt: skip
    headers = {"traceparent": f"00-{trace_id}-{token_hex(8)}-01", "Accept": accept}
    sent = True
    try:
        with (
            gevent.Timeout(run.settings.turn_timeout_s),
            client.request(
                method, path, name=name, json=body, headers=headers, stream=True,
                catch_response=True,
            ) as response,
        ):  # fmt: skip
            _receive(response, line, judge)
    except gevent.GreenletExit as cut:
        sent = not _was_connecting(cut)
        raise
    except gevent.Timeout as late:
        line.error = describe(late)
    except Exception as fault:  # in judge: the user's own code
        line.error = describe(fault)
        raise
    finally:
        if sent:
            line.duration_s = line.duration_s or now_s() - line.t_start
            line.session = line.session or session()
            run.record(line)


def _receive(response: Any, line: RequestLine, judge: Callable[[Body], str | None]) -> None:
    line.status = response.status_code
    received = Body(b"", 0, None)
    if response._response is not None:
        answered_s = now_s()
        received = read_body(response._response, now_s)
        line.ttfb_s = (received.first_byte_s or answered_s) - line.t_start
    line.duration_s = now_s() - line.t_start
    line.bytes = received.size_bytes
    line.error = _fault(response, received) or judge(received)
    # Locust's own table shows the whole answer too, not the time to its headers.
    response.request_meta["response_time"] = line.duration_s * 1000
    response.request_meta["response_length"] = line.bytes
    if line.error is None:
        response.success()
    else:
        response.failure(line.error)


def _fault(response: Any, received: Body) -> str | None:
    if response.status_code == 0:
        return describe(response.error)
    if response.status_code >= 400:
        return _FAULTS.get(response.status_code, f"Status {response.status_code}")
    return received.broken


def _was_connecting(cut: BaseException) -> bool:
    """Whether the user was stopped before the request could be sent."""
    return any(f.f_code.co_name == "get_socket" for f, _ in traceback.walk_tb(cut.__traceback__))
