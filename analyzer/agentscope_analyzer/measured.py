"""Whether a run could have shown a cause: what nobody measured is not ruled out."""

from __future__ import annotations

from collections.abc import Callable

from agentscope import conventions as c
from agentscope_analyzer.document import Rows
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.stretches import NS
from agentscope_analyzer.wording import amount, number

WATCH_SHARE = 0.03
"""Share of turn time from which contention is watched."""
MIN_ATTEMPTS_SHARE = 0.95
"""With HTTP attempts known for less of the calls than this, retries may hide in the rest."""
MAX_CPU_SHARE = 0.1
"""With all CPU time of all processes below this share of turn time, own code cannot bind."""

MIN_WORK_SHARE = 0.01
"""Of all spans: a process with less of them can hide little."""
MAX_NAMED = 3
MIN_READ_SHARE = 0.5
"""Of the time that a process was at work: processor time that was read for less of it is not known."""

HTTP_POOL = "agentscope.http.pool."
THREADPOOL = "agentscope.threadpool."
CGROUP_CPU = "agentscope.cgroup.cpu."
DB_POOL = "db.client.connection."


def was_measured(cause: str, facts: Facts) -> str | None:
    """None if the run could have shown the cause, else what would have to be recorded for it."""
    if cause == "llm.retry" and facts.billing:
        return None
    blind = _blind(cause, facts)
    # Some calls that failed for good show a little of these two: that rules out nothing. Nor does a
    # little of a process that watched itself, where others did not.
    enough = WATCH_SHARE if cause in ("llm.rate_limit", "llm.retry") or blind else 0.0
    if facts.seconds(cause) > 0 and facts.share(cause) >= enough:
        return None
    return (_UNMEASURED[cause](facts) if cause in _UNMEASURED else None) or blind


def _blind(cause: str, facts: Facts) -> str | None:
    """Where only some processes watched themselves, which did not; None where all or none did."""
    if cause not in _WATCHED:
        return None
    what, watched = _WATCHED[cause]
    blind = [one for one in _at_work(facts) if not watched(one)]
    if not blind or (len(blind) == len(facts.processes) and cause != "runtime.cpu"):
        return None
    names = ", ".join(str(one["instance"] or "one without a name") for one in blind[:MAX_NAMED])
    more = f" and {len(blind) - MAX_NAMED} more" if len(blind) > MAX_NAMED else ""
    return f"{what} was not recorded in {len(blind)} of {len(facts.processes)} processes: {names}{more}"


def _at_work(facts: Facts) -> Rows:
    """The processes that did more than a hundredth of the work."""
    spans = sum(one["spans"] for one in facts.processes)
    return [one for one in facts.processes if one["spans"] >= MIN_WORK_SHARE * spans]


def cpu_share(facts: Facts) -> float | None:
    """CPU seconds of all processes over seconds of turns: no more of them can be own code."""
    used = facts.metric(c.CPU_TIME.name)
    if used is None or used["increase"] is None or not facts.wall_s:
        return None
    return float(used["increase"]) / facts.wall_s


def _knows_cpu(process: Row) -> bool:
    lived_s = (process["last_ns"] - process["first_ns"]) / NS
    return bool(process["cpu_s"] > 0 and process["cpu_s"] >= MIN_READ_SHARE * lived_s)


def _needs(is_there: Callable[[Facts], object], what: str) -> Callable[[Facts], str | None]:
    return lambda facts: None if is_there(facts) else what


def _has_metric(prefix: str) -> Callable[[Facts], bool]:
    return lambda facts: any(name.startswith(prefix) for name in facts.metrics)


_CALLS = _needs(lambda f: f.llm["calls"], "no model call was recorded")


def attempts_hidden(facts: Facts) -> str | None:
    """None if nearly every call shows its HTTP attempts, else how many do not."""
    calls, seen = facts.llm["calls"], facts.llm["calls_with_attempts"]
    if not calls:
        return "no model call was recorded"
    if not seen:
        return "no HTTP attempt of a model call was recorded"
    if seen < MIN_ATTEMPTS_SHARE * calls:
        return f"{number(calls - seen)} of {amount(calls, 'model call')} show no HTTP attempt"
    return None


_WATCHED: dict[str, tuple[str, Callable[[Row], object]]] = {
    "runtime.event_loop": ("the delay of the event loop", lambda one: one["loop"]),
    "runtime.gc": ("the collector's pauses", lambda one: one["collector"]),
    "runtime.throttled": ("the container's processor quota", lambda one: one["quota"]),
    "runtime.threadpool": ("the pool of worker threads", lambda one: one["threads"]),
    "runtime.cpu": ("processor time", lambda one: one["lock"] or _knows_cpu(one)),
}
"""Causes that each process can see in itself alone: what that is, and whether it did."""

_UNMEASURED: dict[str, Callable[[Facts], str | None]] = {
    "llm.first_token": _CALLS,
    "llm.generation": _needs(
        lambda f: f.llm["streamed"], "no first chunk of an answer was recorded: see llm.first_token"
    ),
    "llm.rate_limit": attempts_hidden,
    "llm.retry": attempts_hidden,
    "llm.connection": _needs(
        lambda f: (
            f.llm["pooled_attempts"]
            or f.waits_of(c.Wait.HTTP_POOL, c.Wait.HTTP_CONNECT)
            or _has_metric(HTTP_POOL)(f)
        ),
        "no wait for a connection and no agentscope.http.pool metric",
    ),
    "db.query": _needs(lambda f: f.spans["database"], "no database statement was recorded"),
    "db.pool": _needs(
        lambda f: (
            f.spans["pooled_database"]
            or f.held
            or f.waits_of(c.Wait.DB_POOL)
            or _has_metric(DB_POOL)(f)
        ),
        "no wait for a connection and no db.client.connection metric",
    ),
    "runtime.event_loop": _needs(
        lambda f: f.spans["loop_blocks"] or c.LOOP_DELAY_MAX.name in f.metrics,
        "no agentscope.event_loop.delay.max metric and no event_loop.blocked span",
    ),
    "runtime.cpu": _needs(
        lambda f: f.pressure or ((cpu := cpu_share(f)) is not None and cpu < MAX_CPU_SHARE),
        "the CPU time of single turns was not recorded",
    ),
    "runtime.threadpool": _needs(
        lambda f: _has_metric(THREADPOOL)(f) or f.waits_of(c.Wait.THREADPOOL),
        "no agentscope.threadpool metric",
    ),
    "runtime.gc": _needs(
        lambda f: f.spans["gc_pauses"] or c.GC_PAUSE.name in f.metrics,
        "no agentscope.gc.pause metric",
    ),
    "runtime.throttled": _needs(
        lambda f: _has_metric(CGROUP_CPU)(f) or f.stopped_s(c.RuntimeEvent.CPU_THROTTLED),
        "no agentscope.cgroup.cpu metric",
    ),
    "tool.execution": _needs(lambda f: f.spans["tools"], "no tool execution was recorded"),
    "http.upstream": _needs(
        lambda f: f.spans["http"] > (f.llm["attempts_seen"] or 0),
        "no HTTP call but the models' was recorded",
    ),
    "context.load": _needs(lambda f: f.spans["context_loads"], "no context loading was marked"),
    "client.send": _needs(lambda f: f.spans["send_measured"], "no turn measured its send()"),
    "wait.lock": _needs(lambda f: f.waits_of(c.Wait.LOCK), "no wait for a lock was recorded"),
}
