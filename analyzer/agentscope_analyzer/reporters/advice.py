"""What to do about a verdict: the steps that change what binds, and those that will not."""

from __future__ import annotations

from typing import Final

from agentscope.conventions import UNATTRIBUTED
from agentscope_analyzer.document import Ceiling, Report
from agentscope_analyzer.wording import limited, live_sessions, percent

MAX_CHECKS: Final = 4
MOST_FAILED: Final = 0.5
MOST_UNKNOWN: Final = 0.3
MISSED: Final = "no single cause binds"
"""How a verdict begins where turns take too long and no cause is large enough."""

ADVICE: Final[dict[str, tuple[str, ...]]] = {
    "llm.first_token": (
        (
            "The time is the model's own: a smaller or faster model, a shorter or cached prompt, or "
            "fewer calls one after the other change it."
        ),
        "More pods or a larger machine will not make the model answer sooner.",
    ),
    "llm.generation": (
        (
            "The time is the model's own: ask for shorter answers, a faster model, or stream what is "
            "there."
        ),
        "More pods or a larger machine will not make the model write faster.",
    ),
    "llm.rate_limit": (
        (
            "Get a larger quota, or ask for less of it: fewer calls a turn, shorter or cached prompts, "
            "a second model or deployment with a quota of its own."
        ),
        (
            "Admit only as many sessions as the quota carries, so that the others wait in sight and not "
            "in retries."
        ),
        "More pods or a larger machine will not help: they share the quota.",
    ),
    "llm.retry": (
        (
            "Find out why attempts fail (their statuses are below) and mend that first: each failure "
            "costs its own time and the pause after it."
        ),
        "Set the client's time-out and retries by hand: the usual defaults wait for minutes.",
    ),
    "llm.connection": (
        (
            "Raise the connection limit of the client that calls the model, and share one client "
            "instead of making one a call."
        ),
    ),
    "db.query": (
        (
            "Look at the plan of the statement that takes most time: an index, fewer rows, or fewer "
            "statements a turn."
        ),
    ),
    "db.pool": (
        "Give connections back before the model or a tool is called; hold them for statements only.",
        "Then, if it still binds, raise the pool's size within what the database allows.",
    ),
    "runtime.event_loop": (
        (
            "Take the function named in the evidence off the event loop: an asynchronous client, "
            "asyncio.to_thread, or a process of its own where it computes."
        ),
    ),
    "runtime.cpu": (
        "Profile the service's own code under this load, then let more processes share it.",
    ),
    "runtime.threadpool": (
        (
            "Make the synchronous endpoints asynchronous, or raise the number of worker threads while "
            "they only wait."
        ),
    ),
    "runtime.gc": (
        (
            "Take out calls of gc.collect(), freeze what lives as long as the process (gc.freeze()), "
            "and make fewer objects that refer to each other."
        ),
    ),
    "runtime.throttled": (
        (
            "Raise or remove the container's CPU limit, or spread the load over more pods: here they "
            "help."
        ),
    ),
    "tool.execution": (
        (
            "Look at the tool that takes most time: cache it, give it a time-out, or run tools that do "
            "not need each other side by side."
        ),
    ),
    "http.upstream": (
        (
            "Talk to the service behind this one: it is what turns wait for; cache, batch or ask it "
            "less often."
        ),
    ),
    "context.load": (
        "Load less of the conversation, keep it in memory, or load its parts side by side.",
    ),
    "client.send": (
        (
            "Look at who reads the answers: a slow network, a proxy that does not buffer, or the load "
            "generator itself."
        ),
    ),
    "wait.lock": (
        (
            "Hold the lock for less: not across calls of models, databases or tools; or have one for "
            "each session."
        ),
    ),
}
"""What helps against each cause, and what does not."""


def next_steps(report: Report) -> list[str]:
    """Sentences in the order in which to act on them."""
    verdict = report.verdict
    if verdict.confidence == "withheld":
        return [*_mend(report), "Then record the run again: no figure below can be relied on yet."]
    steps = list(ADVICE.get(verdict.cause or "", ()))
    if verdict.cause is None:
        steps += _unbound(report)
    first = next((c for c in report.ceilings if c.binding), None)
    if first is not None and first.sessions is not None and verdict.cause is not None:
        # That more pods will not help is said above where a quota binds.
        told = verdict.cause == "llm.rate_limit" and first.resource.startswith("llm.")
        steps.append(_plan(first, "" if told else first.relief))
    return steps + _mend(report)


def _mend(report: Report) -> list[str]:
    checks = [check for check in report.validity if check.status == "fail"]
    if not checks:
        return []
    told = "; ".join(f"{check.check}: {check.detail}" for check in checks[:MAX_CHECKS])
    more = f"; and {len(checks) - MAX_CHECKS} more" if len(checks) > MAX_CHECKS else ""
    return [f"Mend what the checks of the run itself found: {told}{more}."]


def _unbound(report: Report) -> list[str]:
    """Where no cause binds: what stands in the way of a verdict, or else where to look next."""
    shares = {name: one.share for name, one in report.attribution.causes.items()}
    unknown = shares.pop(UNATTRIBUTED, 0.0)
    if (report.turns.error_rate or 0.0) >= MOST_FAILED:
        return ["Find out first why turns fail: the times of failed ones say little."]
    steps = []
    if unknown >= MOST_UNKNOWN:
        steps.append(
            f"Find the {percent(unknown)} of turn time that nothing explains: agentscope trace "
            "shows in which span it lies. Mark what runs there with agentscope.context_load, "
            "llm_call or tool, and record the run again."
        )
    watched = [one.cause for one in report.findings if one.kind == "watch"]
    if watched:
        steps.append(f"Watch {', '.join(watched)}: near binding, or not confirmed.")
    if report.verdict.statement.startswith(MISSED) and shares:
        largest = max(shares, key=lambda name: shares[name])
        steps += [f"Begin with the largest share, {largest}.", *ADVICE.get(largest, ())[:1]]
    return steps or [_more_users(report)]


def _more_users(report: Report) -> str:
    first = next((c for c in report.ceilings if c.binding and c.sessions is not None), None)
    if first is None:
        return "Run it again with more users: no limit came into sight at this load."
    return (
        f"Run it again with more users to see the first limit in sight: {first.resource} at "
        f"{_sessions(first)}."
    )


def _plan(first: Ceiling, relief: str) -> str:
    relief = f"; {relief}" if relief else ""
    return (
        f"Plan with no more than {_sessions(first)} as they behaved in this run: beyond, "
        f"{first.resource} is used up ({limited(first.limit, first.unit)}){relief}."
    )


def _sessions(ceiling: Ceiling) -> str:
    return live_sessions(ceiling.sessions or 0.0, ceiling.low, ceiling.high)
