"""The simulated service: its processes, the provider and the database behind them, one world."""

from __future__ import annotations

import random

from planted.agent import Agent
from planted.clockwork import Event, Places, World
from planted.design import Design
from planted.process import Collector, Process, Strand, Stretch
from planted.provider import Provider
from planted.seen import Seen
from planted.turns import Turn, serve

from agentscope import conventions as c


class Service:
    """Some processes of one design, a provider and a database, in one world."""

    def __init__(self, world: World, draw: random.Random, design: Design) -> None:
        self.world, self.draw, self.design = world, draw, design
        self.provider = Provider(world, draw, design.model)
        self.database = Places(world, design.database_workers)
        self.turns: list[Turn] = []
        self.user_of: dict[str, int] = {}
        """Whose session it is."""
        self.open_sessions = 0
        self.ended_sessions = 0
        self.refusals_s: list[float] = []
        self.competed_s = 0.0
        """Seconds that threads which computed waited for each other."""
        self.agents = [self._agent(number) for number in range(design.instances)]
        self.gateways = [
            self._gateway(number) for number in range(design.instances if design.hop else 0)
        ]

    def _agent(self, number: int) -> Agent:
        design = self.design
        collector = None
        if design.collector_every_s is not None:
            collector = Collector(design.collector_every_s, design.collector_pause_s)
        process = Process(
            self.world, self.draw, name=f"agent-{number}", step_cost_s=design.step_cost_s,
            threads=design.threads, cores=design.cores, collector=collector,
            clock_ahead_s=design.clock_ahead_s,
        )  # fmt: skip
        seen = Seen(process, self.draw, design.foreign or "agentscope", detailed=not design.foreign)
        return Agent(self, process, seen)

    def _gateway(self, number: int) -> Gateway:
        process = Process(self.world, self.draw, name=f"gateway-{number}")
        return Gateway(self, process, Seen(process, self.draw, service="gateway"))

    @property
    def recorders(self) -> list[Seen]:
        """The recorders of all processes."""
        return [agent.seen for agent in self.agents] + [gate.seen for gate in self.gateways]

    def request(self, session: str, turn: int, user: int, trace_id: str) -> Event:
        """A caller's request arrives; the event is the answer, True if it is a good one."""
        front: list[Agent | Gateway] = list(self.gateways or self.agents)
        one = front[user % len(front)]
        return one.process.begin(one.turn(session, turn, user, trace_id))


class Gateway:
    """A process in front of the agents that passes each turn on by HTTP."""

    def __init__(self, service: Service, process: Process, seen: Seen) -> None:
        self.service, self.process, self.seen = service, process, seen

    async def turn(self, session: str, number: int, user: int, trace_id: str) -> bool:
        """One turn, as the caller sees it."""
        service, world, seen = self.service, self.service.world, self.seen
        start_s = world.now_s
        strand = Strand(self.process, trace_id, seen.id())
        await strand.work(0.0005)
        agent = service.agents[user % len(service.agents)]
        call_s, call = world.now_s, seen.id()
        inner: list[Turn] = []

        async def there() -> bool:
            await world.after(service.draw.uniform(0.0005, 0.003))
            ok = await agent.process.begin(agent.turn(session, number, user, trace_id, call, inner))
            await world.after(service.draw.uniform(0.0005, 0.003))
            return bool(ok)

        ok = await strand.wait(world.begin(there()), "http.upstream")
        _lay_over(strand.truth, inner[0])
        seen.write(
            trace_id, "POST", call_s, {c.HTTP_REQUEST_METHOD: "POST", c.HTTP_STATUS_CODE: 200},
            strand.span_id, call, "CLIENT",
        )  # fmt: skip
        await strand.work(0.0003)
        serve(seen, strand, "", session, start_s, world.now_s, 0.0, ok)
        turn = Turn(strand.span_id, session, start_s, world.now_s, strand.truth, ok, self.process)
        service.turns.append(turn)
        return bool(ok)


def _lay_over(truth: list[Stretch], inner: Turn) -> None:
    """What the called service did in its turn takes the place of waiting for it."""
    i = next(i for i, one in enumerate(truth) if one.cause == "http.upstream")
    outer = truth[i]
    truth[i : i + 1] = [
        Stretch(outer.process, outer.cause, outer.start_s, inner.start_s),
        *inner.truth,
        Stretch(outer.process, outer.cause, inner.end_s, outer.end_s),
    ]
