"""Who answered as a model: a provider, or something on this host."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentscope_analyzer.sql import Asker

_MOCKS = ("mock", "fake", "stub", "dummy", "echo")
"""What models are called that only pretend to be some."""


@dataclass(frozen=True)
class Addresses:
    """What was sent to models by the host that was asked, and by what the model is called."""

    hosts: Mapping[str, int] = field(default_factory=dict)
    pretending: Mapping[str, int] = field(default_factory=dict)
    """Calls by model, of models whose names say that they are none."""
    noun: str = "call"
    """What ``hosts`` counts: a request is an HTTP attempt, and a call may take several."""

    def of(self, kind: str) -> dict[str, int]:
        """The hosts of one kind: ``loopback``, ``private`` or ``public``."""
        return {host: n for host, n in self.hosts.items() if kind_of(host) == kind}


def addresses_of(asker: Asker) -> Addresses | None:
    """Where calls went; None where no call of a model was recorded."""
    rows = asker.ask("run/addresses")
    if not rows:
        return None
    attempts = [row for row in rows if row["source"] == "attempts" and row["address"]]
    hosts: Counter[str] = Counter()
    for row in attempts or rows:
        if row["address"]:
            hosts[row["address"]] += row["n"]
    pretending: Counter[str] = Counter()
    for row in rows:
        if row["source"] == "calls" and pretends(row["model"]):
            pretending[row["model"]] += row["n"]
    noun = "request" if attempts else "call"
    return Addresses(dict(hosts.most_common()), dict(pretending.most_common()), noun)


def kind_of(host: str) -> str:
    """``loopback`` (this host), ``private`` (a network of one's own) or ``public``."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        if name == "localhost" or name.endswith(".localhost"):
            return "loopback"
        own = "." not in name or name.endswith((".local", ".internal", ".svc", ".lan", ".test"))
        return "private" if own else "public"
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    return "private" if address.is_private or address.is_link_local else "public"


def pretends(model: str) -> bool:
    """Whether a model's name says that it is none: ``mock-gpt4o``, ``fake-llm``."""
    words = model.lower().replace("/", "-").replace("_", "-").replace(".", "-").split("-")
    return any(word in _MOCKS for word in words)
