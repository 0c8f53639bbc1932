"""Signs of a CPU quota that is used up."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope import conventions as c
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.signs.before import before_turns
from agentscope_analyzer.signs.event_loop import MIN_BLOCKED_SHARE
from agentscope_analyzer.signs.sign import Sign, sign
from agentscope_analyzer.wording import amount, percent


def throttled(facts: Facts) -> Iterator[Sign]:
    """For how much of the run the kernel ran nothing, and how small the quota is."""
    stopped = facts.metric(c.CGROUP_THROTTLED_TIME.name)
    seen_s = facts.stopped_s(c.RuntimeEvent.CPU_THROTTLED)
    if facts.lived_s > 0 and (seen_s or (stopped and stopped["increase"] is not None)):
        # The kernel's total is of all processors; freezes were seen one by one.
        share = (seen_s or float(stopped["increase"] if stopped else 0.0)) / facts.lived_s
        share = min(1.0, share)
        limit = facts.metric(c.CGROUP_CPU_LIMIT.name)
        cores = limit["most"] if limit else None
        quota = f"CPU quota of {amount(cores, 'core')}: " if cores else ""
        yield sign(
            "share of the run in which the container was throttled",
            share,
            "share",
            "runtime/blocks" if seen_s else "run/metrics",
            limit=MIN_BLOCKED_SHARE,
            agrees=share >= MIN_BLOCKED_SHARE,
            says=f"{quota}throttled for {percent(share)} of the run"
            if share
            else "the container was never throttled",
        )
        if cores:
            yield sign(
                "processors that the container may use",
                cores,
                "cores",
                "run/metrics",
                agrees=False,
                says=f"the quota is {amount(cores, 'core')}",
            )
    yield from before_turns("runtime.throttled", facts)
