"""A run told turn by turn, as the tables that ingest and attribution leave behind."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.document import Report
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest import insert_load, insert_metrics, insert_spans
from agentscope_analyzer.report import Targets, report_of

T0_NS = 1_790_000_000_000_000_000
MANIFEST = {"run_id": "story", "complete": True, "ledger": [], "internal_errors": {}}
PROCESS = {"instance": "instance-1", "ended_ns": 1, "open_turns": 0}


class Story:
    """Collects turns, calls and whatever else was recorded, then tells them to an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.spans: list[dict[str, Any]] = []
        self.turns: list[dict[str, Any]] = []
        self.sections: list[dict[str, Any]] = []
        self.bounds: list[dict[str, Any]] = []
        self.load: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []

    def turn(self, session: str, at_s: float, *parts: tuple[str, float], **columns: Any) -> str:
        """A turn that is made of these causes, one after the other; returns its trace id."""
        number = len(self.turns) + 1
        trace_id, turn_id = f"{number:032x}", f"{number:016x}"
        at_ns = T0_NS + round(at_s * 1e9)
        end_ns = at_ns
        for cause, seconds in parts:
            start_ns, end_ns = end_ns, end_ns + round(seconds * 1e9)
            self.sections.append(
                {
                    "turn_id": turn_id,
                    "trace_id": trace_id,
                    "span_id": turn_id,
                    "cause": cause,
                    "start_ns": start_ns,
                    "end_ns": end_ns,
                }
            )
        times = {"start_ns": at_ns, "end_ns": end_ns, "session": session}
        self.turns.append(
            {
                "turn_id": turn_id,
                "trace_id": trace_id,
                "instance": "instance-1",
                "duration_s": (end_ns - at_ns) / 1e9,
                "error": False,
                **times,
                **columns,
            }
        )
        self.span(trace_id, kind="SERVER", is_turn=True, span_id=turn_id, **times)
        return trace_id

    def crowd(
        self,
        users: int,
        length_s: float,
        took_s: Callable[[float, Random], float],
        *,
        think_s: tuple[float, float] = (1.0, 4.0),
        every_s: float = 0.0,
        late_s: float = 0.0,
        seed: int = 1,
    ) -> None:
        """Users who think, ask, wait for the answer, and begin a session anew after a few turns.

        ``took_s`` is how long a turn takes that begins then; a user comes ``every_s`` seconds, and
        what was due is sent ``late_s`` later.
        """
        for user in range(users):
            random = Random(f"{seed}/{user}")
            free_s, turn = user * every_s, 0
            while (due_s := free_s + random.uniform(*think_s)) < length_s:
                start_s = due_s + late_s
                duration_s = took_s(start_s, random)
                session, turn = f"{user}/{turn // 6}", turn + 1
                trace = self.turn(session, start_s, ("llm.first_token", duration_s))
                self.load.append(
                    {
                        "t_intended": T0_NS / 1e9 + due_s,
                        "t_start": T0_NS / 1e9 + start_s,
                        "duration_s": duration_s,
                        "trace_id": trace,
                        "session": session,
                        "turn": turn,
                        "user": str(user),
                        "status": 200,
                    }
                )
                free_s = start_s + duration_s

    def span(self, trace_id: str, **columns: Any) -> str:
        """Any other span; returns its id."""
        row = {"trace_id": trace_id, "span_id": f"{len(self.spans) + 1_000_000:016x}", **columns}
        self.spans.append(row)
        return str(row["span_id"])

    def call(self, trace_id: str, at_s: float, *statuses: int, took_s: float = 0.1) -> None:
        """A model call with one HTTP attempt for each status, 0.1 s apart."""
        at_ns = T0_NS + round(at_s * 1e9)
        took_ns = round(took_s * 1e9)
        call = self.span(
            trace_id,
            kind="CLIENT",
            operation="chat",
            provider="openai",
            model="gpt-4o-mini",
            start_ns=at_ns,
            end_ns=at_ns + took_ns,
            input_tokens=100,
            output_tokens=20,
        )
        for i, status in enumerate(statuses):
            start_ns = at_ns + i * 100_000_000
            self.span(
                trace_id,
                parent_id=call,
                kind="CLIENT",
                http_method="POST",
                http_status=status,
                status="ERROR" if status >= 400 else "UNSET",
                start_ns=start_ns,
                end_ns=start_ns + 50_000_000,
                attrs=self.headers(status),
            )

    def headers(self, status: int) -> dict[str, str]:
        """The rate-limit headers of an answer: 60 requests a minute, none left when refused."""
        left, reset = ("0", "60s") if status == 429 else ("30", "30s")
        name = "http.response.header.x-ratelimit-{}-requests"
        return {
            name.format("limit"): '["60"]',
            name.format("remaining"): f'["{left}"]',
            name.format("reset"): f'["{reset}"]',
        }

    def gauge(self, name: str, *values: float, **attrs: str) -> None:
        """Points of a gauge, a second apart."""
        self.metrics += [
            {"name": name, "value": value, "time_ns": T0_NS + i * 1_000_000_000, "attrs": attrs}
            for i, value in enumerate(values)
        ]

    def told(self) -> Engine:
        """The engine with all of it in its tables."""
        create_tables(self.engine)
        if self.spans:
            insert_spans(self.engine, self.spans)
        if self.metrics:
            insert_metrics(self.engine, self.metrics)
        if self.load:
            insert_load(self.engine, self.load)
        for table in ("turns", "sections", "bounds"):
            rows = getattr(self, table)
            names = sorted({name for row in rows for name in row})
            if rows:
                self.engine.insert(table, {n: [row.get(n) for row in rows] for n in names})
        return self.engine

    def report(self, **told: Any) -> Report:
        """The report on the story; the run's manifest says that all went well."""
        given = {"manifest": MANIFEST, "manifests": [PROCESS], "targets": Targets(), **told}
        return report_of(self.told(), **given)


@pytest.fixture
def story() -> Iterator[Story]:
    with Engine.in_memory(threads=1) as engine:
        yield Story(engine)
