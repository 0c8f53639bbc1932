"""The models: who answered, and are the attempts of calls to them known?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentscope_analyzer.audit import Addresses
from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.hidden import RECORD_THEM
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number

MAX_NAMED = 3


def answered_by(facts: Facts) -> Iterator[Check]:
    """A run against a mock tells nothing of a provider; what is known is where calls went."""
    addresses = facts.audit.addresses
    if addresses is None:
        return
    near = addresses.of("loopback")
    own = addresses.of("private")
    not_theirs = "latency and quotas of models are its own, not a provider's"
    if addresses.pretending:
        names = _named(addresses.pretending)
        n = sum(addresses.pretending.values())
        detail = f"{amount(n, 'model call')} asked for {names}: a mock by its name; {not_theirs}"
    elif near:
        detail = (
            f"{_part(near, addresses)} to models went to {_named(near)}, this host: a mock, a gateway or a "
            f"model of its own; unless it is a gateway, {not_theirs}"
        )
    elif own:
        detail = (
            f"{_part(own, addresses)} to models went to {_named(own)}: a gateway or a model of one's own "
            "network"
        )
    elif addresses.hosts:
        detail = f"models answered from {_named(addresses.hosts)}"
    else:
        detail = "no call to a model says which host it went to: mock or provider is not known"
    yield check("models", "ok", detail, next(iter(addresses.hosts), None))


def _part(found: Mapping[str, int], addresses: Addresses) -> str:
    n, of = sum(found.values()), sum(addresses.hosts.values())
    noun = addresses.noun
    return f"all {amount(n, noun)}" if n == of else f"{number(n)} of {amount(of, noun)}"


def _named(found: Mapping[str, int]) -> str:
    names = list(found)
    told = ", ".join(names[:MAX_NAMED])
    return told + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


def hidden_attempts(facts: Facts) -> Iterator[Check]:
    """Retries inside calls whose HTTP attempts were not recorded."""
    calls, seen = facts.llm["calls"], facts.llm["calls_with_attempts"]
    if not calls and facts.seconds("llm.first_token"):
        detail = (
            "models are known by llm_call phases only: retries and back-off look like inference"
        )
        yield check("attempts", "warn", detail, None)
    if calls and seen < calls:
        detail = (
            f"{number(calls - seen)} of {amount(calls, 'model call')} show no HTTP attempt: retries and "
            "back-off inside them look like inference"
        )
        if facts.hidden.growth is not None and facts.hidden.cause is None:
            detail += f"; {facts.hidden.growth}"
        detail += f"; {RECORD_THEM}"
        yield check("attempts", "warn", detail, calls - seen)
