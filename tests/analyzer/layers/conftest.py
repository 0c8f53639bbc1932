"""Run directories with known differences: what was planted is what must be found."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.document import Report
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.layers.sample import Layer, Sample
from agentscope_analyzer.report import report_of

T0_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000
MS = 1_000_000


class Recording:
    """Writes the run of closed-loop users who each hold one session, as a recorder would.

    A turn asks its database for ``db_ms`` and its model ``calls`` times for ``llm_ms``; ``spread``
    is how far sessions differ from one another (lognormal), beside what every turn differs by.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._random = Random(folder.name)

    def __call__(
        self,
        *,
        users: int = 16,
        turns: int = 12,
        db_ms: float = 5.0,
        llm_ms: float = 40.0,
        own_ms: float = 10.0,
        calls: Callable[[Random], int] = lambda _: 2,
        think_s: float = 1.0,
        spread: float = 0.2,
        jitter: float = 0.1,
        named: bool = True,
        users_told: bool = True,
        route: str = "/chat",
        seed: str = "",
    ) -> Path:
        self._random.seed(self._folder.name + seed)
        lines, trace, last_ns = [], 0, T0_NS
        for user in range(users):
            slow = self._random.lognormvariate(0.0, spread)
            at_ns = T0_NS + round(self._random.random() * think_s * SECOND_NS)
            for _ in range(turns):
                trace += 1
                parts = [("db", db_ms)] if db_ms else []
                parts += [("llm", llm_ms)] * calls(self._random)
                took = [
                    (kind, round(ms * slow * self._random.lognormvariate(0.0, jitter) * MS))
                    for kind, ms in [*parts, ("own", own_ms)]
                ]
                session = f"s{user}" if named else None
                lines.append(_turn(trace, at_ns, took, session, route))
                at_ns += sum(ns for _, ns in took)
                last_ns = max(last_ns, at_ns)
                at_ns += round(think_s * self._random.uniform(0.9, 1.1) * SECOND_NS)
        self._folder.mkdir()
        (self._folder / "traces-i1.jsonl").write_text("".join(lines))
        load = {"users": users, "stages": []} if users_told else {}
        manifest = {
            "schema": "agentscope.run/1",
            "started_ns": T0_NS,
            "ended_ns": last_ns,
            "load": load,
        }
        (self._folder / "manifest.json").write_text(json.dumps(manifest))
        return self._folder


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """``record("mocked", db_ms=5)`` writes a run of that name and returns its folder."""
    return lambda name, **planted: Recording(tmp_path / name)(**planted)


def _turn(
    trace: int, at_ns: int, took: list[tuple[str, int]], session: str | None, route: str
) -> str:
    whole_ns = sum(ns for _, ns in took)
    asked: dict[str, Any] = {"agentscope.turn": True, "http.route": route}
    if session is not None:
        asked["gen_ai.conversation.id"] = session
    spans = [_span(trace, 1, 2, f"POST {route}", at_ns, whole_ns, asked)]
    for number, (kind, ns) in enumerate(took, start=2):
        if kind == "db":
            spans.append(
                _span(trace, number, 3, "SELECT", at_ns, ns, {"db.system.name": "postgresql"})
            )
        elif kind == "llm":
            called = {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 20,
            }
            spans.append(_span(trace, number, 3, "chat gpt-4o-mini", at_ns, ns, called))
        at_ns += ns
    instance = {"key": "service.instance.id", "value": {"stringValue": "i1"}}
    scoped = [{"scope": {"name": "agentscope"}, "spans": spans}]
    document = {"resourceSpans": [{"resource": {"attributes": [instance]}, "scopeSpans": scoped}]}
    return json.dumps(document) + "\n"


def _span(
    trace: int, number: int, kind: int, name: str, start_ns: int, ns: int, attrs: dict[str, Any]
) -> dict[str, Any]:
    kinds = {bool: "boolValue", int: "intValue", str: "stringValue"}
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{trace * 100 + number:016x}",
        "parentSpanId": "" if number == 1 else f"{trace * 100 + 1:016x}",
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + ns),
        "attributes": [
            {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
            for key, value in attrs.items()
        ],
        "status": {},
    }


_NAMES = list(CAUSES)


def _believed() -> Report:
    """The report of a run that can be believed; its figures are not looked at."""
    with Engine.in_memory(threads=1) as engine:
        create_tables(engine)
        empty = report_of(engine)
    verdict = msgspec.structs.replace(empty.verdict, confidence="high", statement="nothing binds")
    turns = msgspec.structs.replace(empty.turns, error_rate=0.0)
    return msgspec.structs.replace(empty, verdict=verdict, turns=turns, validity=[])


def layer_of(
    believed: Report,
    name: str,
    *,
    users: int = 40,
    turns: int = 12,
    db_ms: float = 5.0,
    llm_ms: float = 40.0,
    own_ms: float = 10.0,
    calls: Callable[[Any], int] = lambda _: 2,
    spread: float = 0.05,
    jitter: float = 0.05,
    think_s: float = 1.0,
    route: str = "/chat",
    output_tokens: int = 20,
    known: bool = True,
    users_told: float | None = -1.0,
    rate: float | None = None,
    error_rate: float = 0.0,
    seed: int = 0,
) -> Layer:
    """A run of sessions with ``turns`` turns each: a database, a model, code of its own.

    ``spread`` is by how much sessions differ from one another, ``jitter`` their turns (lognormal).
    """
    random = np.random.default_rng((sum(name.encode()), seed))
    count = users * turns
    session = np.repeat(np.arange(users), turns)
    slow = np.exp(random.normal(0, spread, users))[session] if users else np.zeros(0)
    asked = np.array([calls(random) for _ in range(count)], dtype=np.int64)
    seconds = np.zeros((count, len(_NAMES)))
    for cause, ms in (
        ("db.query", np.full(count, db_ms)),
        ("llm.first_token", llm_ms * asked),
        ("unattributed", np.full(count, own_ms)),
    ):
        seconds[:, _NAMES.index(cause)] = ms / 1e3 * slow * np.exp(random.normal(0, jitter, count))
    duration_s = seconds.sum(axis=1)
    per_s = users / (think_s + float(duration_s.mean())) if count else None
    sample = Sample(
        session=session if known else np.arange(count),
        sessions=users if known else count,
        known=known,
        route=[route] * count,
        calls=asked,
        input_tokens=100.0 * asked,
        output_tokens=np.full(count, float(output_tokens)),
        duration_s=duration_s,
        seconds=seconds,
        left_out=0,
        turns_per_s=per_s if rate is None else rate,
        think_s=think_s,
    )
    figures = msgspec.structs.replace(believed.turns, error_rate=error_rate)
    report = msgspec.structs.replace(believed, turns=figures)
    return Layer(name, name, sample, report, float(users) if users_told == -1.0 else users_told)


@pytest.fixture(scope="session")
def layer() -> Callable[..., Layer]:
    """``layer("mocked", db_ms=5)``: a run that was read, its turns from known distributions."""
    return partial(layer_of, _believed())
