"""What a simulated service and the load on it are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from planted.provider import Model


@dataclass
class Tool:
    """A tool: what it does and how long that takes."""

    name: str
    kind: str = "opaque"
    """opaque, database, http, thread (blocking I/O there) or thread_cpu (pure Python there)."""
    takes_s: float = 0.05
    spread: float = 0.3


@dataclass
class Design:
    """What the service is made of; the defaults are healthy."""

    model: Model = field(default_factory=Model)
    calls: tuple[int, int] = (1, 3)
    """Calls of the model a turn, least and most."""
    heavy: float = 0.0
    """Share of turns with ``heavy_calls`` calls of ``heavy_output`` tokens, some in parallel."""
    heavy_calls: int = 5
    heavy_output: tuple[int, int] = (1000, 3000)
    input_tokens: tuple[int, int] = (300, 900)
    grows_by: int = 60
    """Input tokens that each turn of a session adds."""
    output_tokens: tuple[int, int] = (20, 80)
    streamed: bool = True
    retries: int = 2
    tools: list[Tool] = field(default_factory=lambda: [Tool("lookup_order", "database", 0.003)])
    tools_a_round: tuple[int, int] = (1, 2)
    parallel: bool = False
    context_s: float = 0.0
    """Own awaiting in context loading that no span explains."""
    query_s: float = 0.003
    query_spread: float = 0.4
    database_workers: int = 64
    """Statements that the database works on at a time; the others queue inside it."""
    db_pool: int = 20
    held_s: float = 0.0
    """Seconds for which a connection is held beside its statements."""
    http_pool: int = 1000
    threads: int = 40
    own_s: float = 0.0008
    """Own code of the turn between its steps."""
    blocking: float = 0.0
    """Share of turns in which the code blocks the loop for ``blocking_s``."""
    blocking_s: float = 0.1
    lock_s: float = 0.0
    """Seconds for which a turn keeps a lock of the process, after waiting for it."""
    answer_bytes: int = 2_000
    reads_bytes_per_s: float = 5e6
    buffer_bytes: int = 64_000
    slow_readers: float = 1.0
    """Share of callers that read at that pace."""
    instances: int = 1
    cores: float | None = None
    collector_every_s: float | None = None
    collector_pause_s: float = 0.0
    step_cost_s: float = 1.5e-4
    hop: bool = False
    """A gateway in front: the agent runs in another process, by another clock."""
    clock_ahead_s: float = 0.0
    foreign: str = ""
    """Another instrumentation in place of the recorder's: the name of its scope."""
    counts_refusals: bool = False
    """And whether an HTTP client's metrics tell of refusals."""
    base_bytes: float = 2e8
    live_bytes: float = 2e5
    ended_bytes: float = 0.0
    memory_limit: float | None = None


@dataclass
class Load:
    """The load generator: users that are always there, each with one session after the other."""

    users: int = 15
    run_s: float = 90.0
    ramp_s: float = 5.0
    think_s: tuple[float, float] = (2.0, 6.0)
    turns: tuple[int, int] = (3, 8)
    every_s: tuple[float, float] | None = None
    """Turns begin so long one after the other, however long they take; in place of thinking."""
