"""Processes: do all of a service do as well at the same requests?"""

from __future__ import annotations

from collections.abc import Iterator

from agentscope_analyzer.audit import Apart
from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import percent, seconds

__all__ = ["alike", "apart_says"]

MAX_NAMED = 3


def alike(facts: Facts) -> Iterator[Check]:
    """One sick process among healthy ones, whose turns all figures mix with the others'."""
    apart = facts.audit.apart
    if apart is None:
        return
    detail = apart_says(apart)
    if apart.cause is not None:
        there, elsewhere = seconds(apart.cause_s), seconds(apart.others_cause_s)
        detail += f"; {apart.cause} takes {there} of a turn there, {elsewhere} elsewhere"
    detail += (
        "; means over all processes are those of none: look at that process and its host, or at what "
        "is sent to it alone"
    )
    yield check("processes", "warn", detail, apart.there)


def apart_says(apart: Apart) -> str:
    """``requests take 3.53 s in process i-1, 546 ms in the other 3 of agent, median``; or how many fail."""
    names = ", ".join(apart.instances[:MAX_NAMED])
    if len(apart.instances) > MAX_NAMED:
        names += f" and {len(apart.instances) - MAX_NAMED} more"
    where = f"{'process' if len(apart.instances) == 1 else 'processes'} {names}"
    others = f"the other {apart.others}" if apart.others > 1 else "the other one"
    if apart.service:
        others += f" of {apart.service}"
    if apart.fails:
        there, elsewhere = percent(apart.there), percent(apart.elsewhere)
        return f"{there} of turns fail in {where}, {elsewhere} in {others}"
    there, elsewhere = seconds(apart.there), seconds(apart.elsewhere)
    return f"requests take {there} in {where}, {elsewhere} in {others}, median"
