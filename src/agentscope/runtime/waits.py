"""Waits inside the process, for a lock or for a worker thread, as spans below the current one."""

from __future__ import annotations

from agentscope import conventions as c
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue, Role
from agentscope.runtime.frames import Site

MIN_WAIT_NS = round(c.MIN_WAIT_S * 1e9)


def record_wait(
    recorder: Recorder,
    kind: c.Wait,
    resource: str,
    start_ns: int,
    end_ns: int,
    error: BaseException | None = None,
    site: Site | None = None,
) -> None:
    """Record a wait that is over, where it lasted long enough.

    ``error`` is what it ended with instead of what was waited for; ``site`` is who waited.
    """
    if end_ns - start_ns < MIN_WAIT_NS:
        return
    attributes: dict[str, AttributeValue] = {c.WAIT_KIND: kind.value, c.WAIT_RESOURCE: resource}
    if site is not None:
        attributes[c.CODE_FUNCTION] = site.function
        attributes[c.CODE_FILE] = site.file
        attributes[c.CODE_LINE] = site.line
    span = recorder.start(f"wait {kind.value}", Role.WAIT, attributes, start_ns=start_ns)
    if isinstance(error, Exception):
        span.fail(error)
    recorder.take(span, end_ns)
