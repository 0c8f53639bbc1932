"""The estimate of lateness against a real event loop and a server that says when it answered."""

from __future__ import annotations

import asyncio
import random
import selectors
import struct
import subprocess
import sys
import time
from typing import Any

import pytest

MOMENT = struct.Struct("d")
SHORT_S, LONG_S = 0.004, 0.4
MIN_BLOCK_NS = 5_000_000
MAX_COST_NS = 2_000_000
"""What an await costs by itself is no more than this, also where all of them are late."""


def serve() -> None:
    """Print the port; answer each request after the time it asks for, with the moment of that."""

    async def answer(writer: asyncio.StreamWriter, after_s: float) -> None:
        await asyncio.sleep(after_s)
        writer.write(struct.pack("q", time.monotonic_ns()))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = set()
        while len(asked := await reader.read(MOMENT.size)) == MOMENT.size:
            answers.add(asyncio.create_task(answer(writer, *MOMENT.unpack(asked))))

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


class Watched(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # chosen at run time
    """Notes the rounds of the loop that took long."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[tuple[int, int]] = []
        self._began_ns = time.monotonic_ns()

    def select(self, timeout: float | None = None) -> Any:
        now_ns = time.monotonic_ns()
        if now_ns - self._began_ns >= MIN_BLOCK_NS:
            self.rounds.append((self._began_ns, now_ns))
        found = super().select(timeout)
        self._began_ns = time.monotonic_ns()
        return found


def measured(port: int, connections: int, block_s: float, blocks: float, seconds: float) -> Any:
    """Awaits of two kinds as (kind, start, answered, end), and the rounds, in nanoseconds."""
    draw, selector = random.Random(connections), Watched()
    awaits: list[tuple[str, int, int, int]] = []

    async def client(until_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until_s:
            for kind, natural_s in (("long", LONG_S), ("short", SHORT_S)):
                start_ns = time.monotonic_ns()
                writer.write(MOMENT.pack(natural_s * draw.uniform(0.5, 1.5)))
                (answered_ns,) = struct.unpack("q", await reader.readexactly(8))
                awaits.append((kind, start_ns, answered_ns, time.monotonic_ns()))
                if draw.random() < blocks:
                    stop_s = time.monotonic() + block_s * draw.uniform(0.5, 1.5)
                    while time.monotonic() < stop_s:
                        pass
        writer.close()

    async def main() -> None:
        await asyncio.gather(*(client(time.monotonic() + seconds) for _ in range(connections)))

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main())
    return awaits, selector.rounds


@pytest.mark.proofs
@pytest.mark.parametrize(
    ("connections", "block_s", "blocks"), [(10, 0.1, 0.15), (20, 0.2, 0.1), (40, 0.01, 1.0)]
)
def test_lateness_is_found_to_a_quarter(tell, span, connections, block_s, blocks):
    """Of short awaits, which are nearly all lateness, and of long ones; a wrong rule finds half.

    In the last case one round follows the other, and what comes waits for two of them to end.
    """
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            awaits, rounds = measured(port, connections, block_s, blocks, 8.0)
        finally:
            server.kill()
    zero_ns = min(start for _, start, _, _ in awaits)
    spans = [
        span(f"b{i}", "", (a - zero_ns) / 1e6, (b - zero_ns) / 1e6, runtime_event="loop_blocked",
             trace_id=f"{i + 1:032x}")
        for i, (a, b) in enumerate(rounds)
    ]  # fmt: skip
    for i, (kind, start, _, end) in enumerate(awaits):
        trace, a, b = f"{1_000_000 + i:032x}", (start - zero_ns) / 1e6, (end - zero_ns) / 1e6
        spans += [
            span(f"t{i}", "", a, b + 1, is_turn=True, trace_id=trace),
            span(f"q{i}", f"t{i}", a, b, db_system="postgresql", name=kind, trace_id=trace),
        ]
    story = tell(*spans)
    found = dict(
        story.engine.rows(
            "SELECT q.name, sum(s.end_ns - s.start_ns) FROM sections AS s "
            "JOIN spans AS q ON q.span_id = s.span_id "
            "WHERE s.cause = 'runtime.event_loop' AND q.db_system IS NOT NULL GROUP BY q.name"
        )
    )
    for kind in ("short", "long"):
        late = sorted(end - answered for name, _, answered, end in awaits if name == kind)
        undelayed_ns = min(late[len(late) // 20], MAX_COST_NS)
        true_ns = sum(max(0, one - undelayed_ns) for one in late)
        assert 0.75 < found[kind] / true_ns < 1.25, kind


if __name__ == "__main__":
    serve()
