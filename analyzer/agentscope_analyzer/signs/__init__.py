"""The signs of each cause: figures that confirm or deny it, independent of where the time went.

A share of wall time says where turns stood; it does not say why. A cause binds only where other
figures agree: refusals counted, a pool at its cap, a wait that grows with load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentscope_analyzer.facts import Facts
from agentscope_analyzer.signs import (
    container,
    database,
    event_loop,
    interpreter,
    models,
    waiting,
    work,
)
from agentscope_analyzer.signs.growth import growth_of, growth_sign
from agentscope_analyzer.signs.sign import Sign

__all__ = ["Sign", "growth_of", "own_signs", "signs_of"]


def signs_of(cause: str, facts: Facts) -> list[Sign]:
    """Every sign of a cause for which the run has data, the strongest first."""
    growth = growth_sign(cause, facts)
    return [*own_signs(cause, facts), *([growth] if growth is not None else [])]


def own_signs(cause: str, facts: Facts) -> list[Sign]:
    """The signs that only this cause has: without its growth with load."""
    own = _SIGNS.get(cause)
    return list(own(facts)) if own is not None else []


_SIGNS: dict[str, Callable[[Facts], Iterator[Sign]]] = {
    "llm.rate_limit": models.rate_limit,
    "llm.retry": models.retry,
    "llm.connection": models.connection,
    "db.query": database.queries,
    "db.pool": database.pools,
    "runtime.event_loop": event_loop.blocks,
    "runtime.cpu": interpreter.cpu,
    "runtime.gc": interpreter.collector,
    "runtime.throttled": container.throttled,
    "runtime.threadpool": waiting.threads,
    "tool.execution": work.tools,
    "http.upstream": work.services,
    "client.send": waiting.sending,
    "wait.lock": waiting.locks,
}
